package block

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
)

// stepHot is what stays in a core's own cache while it is summed and encrypted in turn.
const stepHot = 128 << 10

// FileInfo is one file of a block. Stamp differs when the file was replaced; hard links of one file share it.
type FileInfo struct {
	Name  string `json:"name"` // inside the block, with slashes
	Bytes int64  `json:"bytes"`
	Stamp string `json:"stamp"`
}

// Files lists the files of a block by name. What stands in the place of a file and is none is a *Damage.
func (d *Dir) Files(name string) ([]FileInfo, error) {
	b, err := d.openBlock(name)
	if err != nil {
		return nil, fmt.Errorf("listing the files of block %s: %w", name, err)
	}
	defer b.close()
	if len(b.damage) > 0 {
		return nil, fmt.Errorf("listing the files of block %s: %w", name, b.damage[0])
	}
	var files []FileInfo
	for _, file := range slices.Sorted(maps.Keys(b.files)) {
		info, err := b.root.Lstat(file)
		if err != nil {
			return nil, fmt.Errorf("listing the files of block %s: %w", name, err)
		}
		files = append(files, FileInfo{Name: file, Bytes: info.Size(), Stamp: stamp(info)})
	}
	return files, nil
}

func stamp(info os.FileInfo) string {
	inode := uint64(0)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprintf("%x-%x", inode, info.ModTime().UnixNano())
}

// File is one file of a block, held open: it stays readable when its name goes. It is safe for concurrent use.
type File struct {
	file *os.File
	size int64
}

// OpenFile opens a file of a block by a name that Files gives; any other name is a *Damage of kind MissingFile.
func (d *Dir) OpenFile(block, file string) (*File, error) {
	b, err := d.openBlock(block)
	if err != nil {
		return nil, fmt.Errorf("opening block %s: %w", block, err)
	}
	defer b.close()
	if _, ok := b.files[file]; !ok {
		return nil, fmt.Errorf("opening block %s: %w", block, damaged(MissingFile, fmt.Sprintf("%.80q", file), -1, "the block has no such file"))
	}
	f, err := openRegular(b.root, file)
	if err != nil {
		return nil, fmt.Errorf("opening block %s: %w", block, err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("opening block %s: %w", block, err)
	}
	return &File{file: f, size: info.Size()}, nil
}

// Close lets go of the file.
func (f *File) Close() error { return f.file.Close() }

// Bytes is the size of the file when it was opened.
func (f *File) Bytes() int64 { return f.size }

// CopyRange writes n bytes from off. What was not in the page cache before is not there afterwards; pace is asked before
// every read of about a MiB. Beyond the end it is io.ErrUnexpectedEOF.
func (f *File) CopyRange(ctx context.Context, to io.Writer, off, n int64, pace func(ctx context.Context, bytes int) error) error {
	if off < 0 || n < 0 || off > f.size || n > f.size-off {
		return fmt.Errorf("reading %d bytes from %d of %d: %w", n, off, f.size, io.ErrUnexpectedEOF)
	}
	w, err := newWindow(f.file, int(min(n, stepWide)), pacer(ctx, pace, func(int) {}))
	if err != nil {
		return err
	}
	defer w.close()
	for end := off + n; off < end; {
		b, err := w.at(off, int(min(end-off, stepWide)))
		if err != nil {
			return fmt.Errorf("reading from %d: %w", off, err)
		}
		off += int64(len(b))
		for ; len(b) > 0; b = b[min(len(b), stepHot):] {
			if _, err := to.Write(b[:min(len(b), stepHot)]); err != nil {
				return err
			}
		}
	}
	return nil
}
