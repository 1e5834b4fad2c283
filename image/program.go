package image

import (
	"debug/elf"
	"fmt"
)

// Program says for which architecture a program was made, as Go names it. A program that needs a loader or libraries is an error: an image
// without a distribution has neither.
func Program(file string) (architecture string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", fmt.Errorf("looking at %s: it is no program of Linux: %w", file, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("looking at %s: it is not static, and would not start in an image without a distribution; build it with CGO_ENABLED=0", file)
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	case elf.EM_PPC64:
		return "ppc64le", nil
	case elf.EM_S390:
		return "s390x", nil
	case elf.EM_RISCV:
		return "riscv64", nil
	}
	return "", fmt.Errorf("looking at %s: its architecture %v is not known here", file, f.Machine)
}
