package block

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Install makes a staged block visible in a data directory on the same file system: everything is made durable, then one
// rename, then the folder is made durable. It verifies nothing: scrub the staged block before. A block that is there
// already is fs.ErrExist, a staging folder on another file system is syscall.EXDEV.
func Install(staged, dataDir string) (*Meta, error) {
	root, err := os.OpenRoot(staged)
	if err != nil {
		return nil, fmt.Errorf("installing %s: %w", staged, err)
	}
	meta, err := readMeta(root)
	if err = errors.Join(err, root.Close()); err != nil {
		return nil, fmt.Errorf("installing %s: %w", staged, err)
	}
	target := filepath.Join(dataDir, meta.ULID.String())
	if err := syncTree(staged); err != nil {
		return nil, fmt.Errorf("installing %s: %w", staged, err)
	}
	if err := renameNew(staged, target); err != nil {
		return nil, fmt.Errorf("installing %s as %s: %w", staged, target, err)
	}
	if err := errors.Join(syncPath(dataDir), syncPath(filepath.Dir(staged))); err != nil {
		return nil, fmt.Errorf("installing %s: %w", target, err)
	}
	return meta, nil
}

func syncTree(folder string) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return damaged(Foreign, path, -1, "no file but %s", describe(e.Type()))
		}
		return syncPath(path)
	})
}

// renameNew renames and never replaces, also where the file system cannot do that in one step.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}
