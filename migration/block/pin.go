package block

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pinFile marks a folder as a pin; nothing without it is ever removed.
const pinFile = "slipway-pin.json"

// partial is the end of the name of a block that is not pinned whole yet.
const partial = ".partial"

// PinOptions say where blocks are pinned.
type PinOptions struct {
	// Folder is made, or taken up again; it must not be a block's folder. On the file system of the data directory blocks
	// are linked, which takes no space until Prometheus deletes its own name for them.
	Folder string
	// Copy copies where the file system has no hard links or is another one. Without it that is a *LinkError.
	Copy bool
	// KeepFree is how many bytes must stay free: a copy that would take more is refused.
	KeepFree uint64
	// Free says how many bytes are free at a path; nil asks the file system.
	Free func(path string) (uint64, error)
}

// Pin is a folder that holds blocks whatever the server does with its own names for them. It can be opened as a data directory.
type Pin struct {
	Folder  string    `json:"-"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	free    func(string) (uint64, error)
}

// LinkError says why a file could not be linked, and what helps.
type LinkError struct {
	File string
	// Forbidden: the file belongs to somebody else and the kernel protects hard links; else the file system cannot.
	Forbidden bool
	Owner     int // user id of the file
	Err       error
}

func (e *LinkError) Error() string {
	if e.Forbidden {
		return fmt.Sprintf("linking %s: it belongs to user %d, this is user %d, and fs.protected_hardlinks forbids links to files of others: run as user %d or as root: %v",
			e.File, e.Owner, os.Getuid(), e.Owner, e.Err)
	}
	return fmt.Sprintf("linking %s: the file system cannot, or the pin is on another one: pin beside the data, or allow copies: %v", e.File, e.Err)
}

func (e *LinkError) Unwrap() error { return e.Err }

// SpaceError says that pinned blocks would leave, or left, too little space.
type SpaceError struct {
	Path           string
	Free, KeepFree uint64
	Needed         uint64 // by a copy
}

func (e *SpaceError) Error() string {
	if e.Needed > 0 {
		return fmt.Sprintf("%s has %d bytes free; a copy needs %d, and %d are to stay free", e.Path, e.Free, e.Needed, e.KeepFree)
	}
	return fmt.Sprintf("%s has %d bytes free, %d are to stay free: the pin was dropped", e.Path, e.Free, e.KeepFree)
}

// Pin links the named blocks into a folder. Blocks that are pinned there already stay as they are, so it can be repeated
// after any end. A block that the server deletes meanwhile is a *Damage of kind MissingFile; the others are pinned.
func (d *Dir) Pin(ctx context.Context, names []string, o PinOptions) (*Pin, error) {
	p, err := d.openOrMakePin(o)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(p.Folder)
	if err != nil {
		return nil, fmt.Errorf("opening the pin: %w", err)
	}
	defer func() { _ = root.Close() }()
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := d.pinBlock(ctx, root, name, o, p); err != nil {
			errs = append(errs, fmt.Errorf("pinning block %s: %w", name, err))
		}
	}
	return p, errors.Join(errs...)
}

func (d *Dir) openOrMakePin(o PinOptions) (*Pin, error) {
	source, err := filepath.Abs(d.path)
	if err != nil {
		return nil, fmt.Errorf("making the pin: %w", err)
	}
	if p, err := OpenPin(o.Folder); err == nil {
		if p.Source != source {
			return nil, fmt.Errorf("%s is a pin of %s, not of %s: take another folder", o.Folder, p.Source, source)
		}
		p.setFree(o)
		return p, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Mkdir(o.Folder, 0o700); err != nil {
		_ = os.Remove(filepath.Join(o.Folder, pinFile+partial)) // of a run that was killed before the pin was one
		if entries, _ := os.ReadDir(o.Folder); !errors.Is(err, fs.ErrExist) || len(entries) > 0 {
			return nil, fmt.Errorf("making the pin: %w", err)
		}
	}
	p := &Pin{Folder: o.Folder, Source: source, Created: time.Now().UTC().Truncate(time.Second)}
	p.setFree(o)
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("making the pin: %w", err)
	}
	// Whole or not at all: half a file would keep every later run out.
	err = writeFile(filepath.Join(o.Folder, pinFile+partial), data, 0o600)
	if err == nil {
		err = os.Rename(filepath.Join(o.Folder, pinFile+partial), filepath.Join(o.Folder, pinFile))
	}
	if err != nil {
		return nil, fmt.Errorf("making the pin: %w", err)
	}
	return p, nil
}

func (p *Pin) setFree(o PinOptions) {
	if p.free = o.Free; p.free == nil {
		p.free = freeBytes
	}
}

// OpenPin opens a pin; fs.ErrNotExist says that there is none.
func OpenPin(folder string) (*Pin, error) {
	data, err := os.ReadFile(filepath.Join(folder, pinFile))
	if err != nil {
		return nil, fmt.Errorf("opening the pin: %w", err)
	}
	p := &Pin{Folder: folder, free: freeBytes}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("opening the pin: reading %s: %w", pinFile, err)
	}
	return p, nil
}

// pinBlock links one block under a name that is no ULID and renames it when it is whole.
func (d *Dir) pinBlock(ctx context.Context, pin *os.Root, name string, o PinOptions, p *Pin) error {
	b, err := d.openBlock(name)
	if _, there := pin.Lstat(name); there == nil && !isForeign(err) {
		if err == nil {
			b.close()
		}
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return damaged(MissingFile, name, -1, "the server has deleted the block")
	}
	if err != nil {
		return err
	}
	defer b.close()
	if len(b.damage) > 0 {
		return b.damage[0]
	}
	temp := name + partial
	err = pin.RemoveAll(temp)
	if err == nil {
		err = pin.MkdirAll(temp+"/"+chunksDir, 0o700)
	}
	if err != nil {
		return err
	}
	if err := b.pinFiles(ctx, pin, temp, o, p); err != nil {
		return errors.Join(err, pin.RemoveAll(temp))
	}
	return pin.Rename(temp, name)
}

func isForeign(err error) bool { return errors.As(err, new(*ForeignError)) }

func (b *folder) pinFiles(ctx context.Context, pin *os.Root, temp string, o PinOptions, p *Pin) error {
	to, err := pin.Open(temp)
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := b.root.Open(".")
	if err != nil {
		return err
	}
	defer from.Close()
	for _, name := range slices.Sorted(maps.Keys(b.files)) {
		err := link(from, to, name)
		if no := (*LinkError)(nil); errors.As(err, &no) && !no.Forbidden && o.Copy {
			err = b.copyFile(ctx, pin, temp, name, o, p)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return damaged(MissingFile, name, -1, "the server has deleted the block")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// link makes one hard link between two open folders; a symbolic link is never followed.
func link(from, to *os.File, name string) error {
	err := unix.Linkat(int(from.Fd()), name, int(to.Fd()), name, 0)
	switch {
	case err == nil:
		return regular(to, name)
	case errors.Is(err, unix.EPERM):
		return linkError(from, to, name, err)
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EMLINK):
		return &LinkError{File: name, Err: err}
	}
	return fmt.Errorf("linking %s: %w", name, err)
}

// regular holds what was linked against what was seen before: nobody put a link in its place meanwhile.
func regular(dir *os.File, name string) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("linking %s: %w", name, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return damaged(Foreign, name, -1, "changed into something else while it was linked")
	}
	return nil
}

// linkError tells the two reasons for EPERM apart: vfat and the like have no links; the kernel protects files of others.
func linkError(from, to *os.File, name string, err error) error {
	e := &LinkError{File: name, Err: err, Forbidden: canLink(to)}
	var stat unix.Stat_t
	if unix.Fstatat(int(from.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil {
		e.Owner = int(stat.Uid)
	}
	return e
}

// canLink says whether a file of one's own can be linked in a folder.
func canLink(dir *os.File) bool {
	const probe, second = ".probe", ".probe-link"
	fd, err := unix.Openat(int(dir.Fd()), probe, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	_ = unix.Close(fd) // nothing was written
	err = unix.Linkat(int(dir.Fd()), probe, int(dir.Fd()), second, 0)
	_ = unix.Unlinkat(int(dir.Fd()), second, 0) // the folder goes as a whole when a pin does not succeed
	_ = unix.Unlinkat(int(dir.Fd()), probe, 0)
	return err == nil
}

func (b *folder) copyFile(ctx context.Context, pin *os.Root, temp, name string, o PinOptions, p *Pin) error {
	free, err := p.free(p.Folder)
	if err != nil {
		return err
	}
	if need := uint64(b.files[name]); free < need || free-need < o.KeepFree {
		return &SpaceError{Path: p.Folder, Free: free, KeepFree: o.KeepFree, Needed: need}
	}
	f, err := openRegular(b.root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := newWindow(f, stepWide, pacer(ctx, nil, func(int) {}))
	if err != nil {
		return err
	}
	defer w.close()
	out, err := pin.OpenFile(temp+"/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = w.copyTo(out)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// Unpin removes the pin and the blocks in it; whatever else somebody put into the folder stays and is an error.
func (p *Pin) Unpin() error {
	root, err := os.OpenRoot(p.Folder)
	if err != nil {
		return fmt.Errorf("dropping the pin: %w", err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat(pinFile); err != nil {
		return fmt.Errorf("dropping the pin %s: %w", p.Folder, err)
	}
	entries, err := readDir(root, ".")
	if err != nil {
		return fmt.Errorf("dropping the pin: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && isBlock(named{e, strings.TrimSuffix(e.Name(), partial)}) {
			if err := root.RemoveAll(e.Name()); err != nil {
				return fmt.Errorf("dropping the pin: %w", err)
			}
		}
	}
	if err := root.Remove(pinFile); err != nil {
		return fmt.Errorf("dropping the pin: %w", err)
	}
	if err := os.Remove(p.Folder); err != nil {
		return fmt.Errorf("dropping the pin: %w", err)
	}
	return nil
}

// named is an entry by another name.
type named struct {
	fs.DirEntry
	name string
}

func (n named) Name() string { return n.name }

// Watch looks every so often whether enough space is left, and drops the pin before the server runs short; that is a
// *SpaceError. It ends with the context.
func (p *Pin) Watch(ctx context.Context, every time.Duration, keepFree uint64) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		free, err := p.free(p.Folder)
		if err != nil {
			return fmt.Errorf("watching the pin: %w", err)
		}
		if free < keepFree {
			return errors.Join(&SpaceError{Path: p.Folder, Free: free, KeepFree: keepFree}, p.Unpin())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// freeBytes is what a user who is not root may still write.
func freeBytes(path string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return 0, fmt.Errorf("asking for free space at %s: %w", path, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// writeFile writes a file, durable before it returns.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
