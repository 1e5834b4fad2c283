package block

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAlignedMemoryBeginsAtASector(t *testing.T) {
	for _, n := range []int{1, 100, 4096, 300_000} {
		b := aligned(n)
		if misaligned(b) != 0 || len(b) != n || cap(b) != n {
			t.Errorf("%d bytes: %d behind a sector, %d long, room for %d", n, misaligned(b), len(b), cap(b))
		}
	}
}

func TestPastLeavesTheCacheAsItWas(t *testing.T) {
	data := make([]byte, 3*sector+100)
	for i := range data {
		data[i] = byte(i * 7 / 3)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p past
	defer p.close()
	buf := aligned(4 * sector)[:len(data)]
	if n := p.read(f, buf, 0); n != 0 { // where the system cannot say what is cached, nothing is read past the cache
		t.Errorf("%d bytes were read past the cache that holds them", n)
	}
	if n := (&past{never: true}).read(f, buf, 0); n != 0 {
		t.Errorf("%d bytes where it cannot be", n)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	before, err := cached(f, 0, sector)
	n := p.read(f, buf, 0)
	if n > 0 && !bytes.Equal(buf[:n], data[:n]) {
		t.Errorf("%d bytes are not those of the file", n)
	}
	if after, again := cached(f, 0, sector); err == nil && again == nil && !before && n == len(data) && after {
		t.Error("what was read past the cache is in it")
	}
}
