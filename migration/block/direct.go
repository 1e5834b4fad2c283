package block

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sector is what places, lengths and memory are whole multiples of when a disk is read past the page cache. Disks ask for
// 512 or 4096 bytes; one that asks for more is read through the cache.
const sector = 4096

func sectorsUp(n int64) int64 { return (n + sector - 1) / sector * sector }

// aligned makes memory that begins at a whole sector.
func aligned(n int) []byte {
	all := make([]byte, n+sector)
	skip := -misaligned(all) & (sector - 1)
	return all[skip : skip+n : skip+n]
}

// misaligned is how many bytes behind a whole sector some memory begins.
func misaligned(b []byte) int { return int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % sector) }

// past reads a file past the page cache, where the system can: the disk writes into our memory, nothing is copied, and
// nothing has to be dropped from the cache afterwards.
type past struct {
	file  *os.File // nil until it is needed
	never bool     // this system or this file system cannot
}

func (p *past) close() {
	if p.file != nil {
		_ = p.file.Close() // it was only read
	}
}

// read reads into buf, whose memory and place are whole sectors and which has room up to the next sector. It gives less, or
// nothing, where the page cache has all of it already, where the file ends, and where it does not work: the rest is to be read
// through the cache, which tells errors, too.
func (p *past) read(through *os.File, buf []byte, off int64) int {
	if p.never || off%sector != 0 || int64(cap(buf)) < sectorsUp(int64(len(buf))) {
		return 0
	}
	if !p.open(through, off, len(buf)) {
		return 0
	}
	room := buf[:sectorsUp(int64(len(buf)))]
	done := 0
	for done < len(buf) && done%sector == 0 {
		n, err := unix.Pread(int(p.file.Fd()), room[done:], off+int64(done))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			p.never = p.never || errors.Is(err, unix.EINVAL)
			break
		}
		done += n
	}
	return min(done, len(buf))
}

// open opens the file past the cache, when it is worth it: what the cache has is read from there.
func (p *past) open(through *os.File, off int64, n int) bool {
	hot, err := cached(through, off, n)
	if hot || err != nil {
		p.never = err != nil
		return false
	}
	if p.file != nil {
		return true
	}
	// The same file whatever has its name by now.
	file, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", through.Fd()), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		p.never = true
		return false
	}
	p.file = file
	return true
}

// cached says whether all of a range is in the page cache (Linux 6.5 and later).
func cached(f *os.File, off int64, n int) (bool, error) {
	var found unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &found, 0); err != nil {
		return false, err
	}
	page := int64(os.Getpagesize())
	pages := (off+int64(n)-1)/page - off/page + 1
	return found.Cache >= uint64(pages), nil
}
