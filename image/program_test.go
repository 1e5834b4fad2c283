package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"
)

// program writes the head of a program, with a loader or without.
func program(t testing.TB, file string, machine elf.Machine, loader bool) string {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	p := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	if loader {
		p.Type = uint32(elf.PT_INTERP)
	}
	var b bytes.Buffer
	for _, part := range []any{h, p} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, file, b.String())
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		name, file, want, wrong string
	}{
		{"a static program tells its architecture", program(t, filepath.Join(dir, "a"), elf.EM_X86_64, false), "amd64", ""},
		{"and of another one", program(t, filepath.Join(dir, "b"), elf.EM_AARCH64, false), "arm64", ""},
		{"a program with a loader is refused", program(t, filepath.Join(dir, "c"), elf.EM_X86_64, true), "", "it is not static, and would not start in an image without a distribution; build it with CGO_ENABLED=0"},
		{"an unknown architecture is refused", program(t, filepath.Join(dir, "d"), elf.EM_68K, false), "", "its architecture EM_68K is not known here"},
		{"a script is refused", write(t, filepath.Join(dir, "e"), "#!/bin/sh\n"), "", "it is no program of Linux"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := Program(c.file)
			if got != c.want || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q, %v; want %q, %q", got, err, c.want, c.wrong)
			}
		})
	}
}
