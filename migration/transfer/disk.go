package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/slipway-dev/slipway/migration/block"
	"golang.org/x/sys/unix"
)

// NoSpaceError says that the target's file system has no room. Everything that arrived stays.
type NoSpaceError struct {
	Path     string
	Free     uint64 // bytes
	KeepFree uint64
	Needed   int64
	Err      error // what the system said, nil when it was seen before
}

func (e *NoSpaceError) Error() string {
	text := fmt.Sprintf("%s has %d bytes free, %d more are needed", e.Path, e.Free, e.Needed)
	if e.KeepFree > 0 {
		text += fmt.Sprintf(" and %d are to stay free", e.KeepFree)
	}
	text += ": make room and run again, what arrived is kept"
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *NoSpaceError) Unwrap() error { return e.Err }

// SpaceError turns what a system says about a full disk into a NoSpaceError, and leaves everything else as it is.
func SpaceError(path string, needed int64, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) && !errors.Is(err, syscall.EFBIG) {
		return err
	}
	free, _ := freeBytes(path) // only for the text
	return &NoSpaceError{Path: path, Free: free, Needed: needed, Err: err}
}

func freeBytes(path string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, fmt.Errorf("asking for free space at %s: %w", path, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// DiskOf is the file system of a path.
func DiskOf(path string) (*Disk, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return nil, fmt.Errorf("asking for the space at %s: %w", path, err)
	}
	return &Disk{FreeBytes: int64(stat.Bavail) * stat.Bsize, SizeBytes: int64(stat.Blocks) * stat.Bsize}, nil
}

// targetError is an error of the target's disk: asking the source again does not help.
type targetError struct{ err error }

func (e *targetError) Error() string { return e.err.Error() }
func (e *targetError) Unwrap() error { return e.err }

// openStaged opens a file in a staging folder at its full size; the space is taken where the file system can.
func openStaged(root *os.Root, name string, bytes int64) (*os.File, error) {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != bytes {
		err = f.Truncate(bytes)
	}
	if err == nil && bytes > 0 {
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
			err = nil
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// pieceWriter writes a piece in its place and sums it. Write-back starts at once, so that it is spread over the time of
// the transfer and no flush has much to do.
type pieceWriter struct {
	file  *os.File
	off   int64
	sum   *block.Summer
	fresh int64 // bytes whose write-back was not started
}

func newPieceWriter(f *os.File, off int64) *pieceWriter {
	return &pieceWriter{file: f, off: off, sum: block.NewSummer()}
}

const writeBack = 1 << 20

// Write writes to the file.
func (w *pieceWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.off)
	if err != nil {
		return n, &targetError{err}
	}
	_, _ = w.sum.Write(p) // never fails
	w.off += int64(n)
	w.fresh += int64(n)
	if w.fresh >= writeBack {
		// Advice: the flush at the checkpoint makes it sure.
		_ = unix.SyncFileRange(int(w.file.Fd()), w.off-w.fresh, w.fresh, unix.SYNC_FILE_RANGE_WRITE)
		w.fresh = 0
	}
	return n, nil
}

func dataSync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// forget drops a file from the page cache; what is not on the disk stays. Advice: nothing depends on it but what a server
// beside us finds cached, and that a verification reads the disk.
func forget(f *os.File, off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}

// giveTo makes a tree belong to whom a folder belongs, where we may: a server deletes only what is its own.
func giveTo(tree, like string) error {
	var owner unix.Stat_t
	if err := unix.Stat(like, &owner); err != nil {
		return fmt.Errorf("looking whose %s is: %w", like, err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			return fmt.Errorf("giving it to user %d: %w", owner.Uid, err)
		}
		return nil
	})
}
