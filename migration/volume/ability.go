package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a server does with files, in the order in which it is tried.
const (
	MakeDirectory   = "MakeDirectory"
	WriteFile       = "WriteFile"
	SyncFile        = "SyncFile"
	SyncDirectory   = "SyncDirectory"
	RenameDirectory = "RenameDirectory"
	ReplaceFile     = "ReplaceFile"
	DeleteOpenFile  = "DeleteOpenFile"
	DeleteDirectory = "DeleteDirectory"
	LockFile        = "LockFile"
	MapFile         = "MapFile"
	LinkFile        = "LinkFile"
	// UseWhatIsThere is tried on what a server left there, and on what a move did.
	UseWhatIsThere = "UseWhatIsThere"
)

// tryAll tries everything that a server does, each in a directory of its own, so that one failure does not hide another.
func tryAll(probe string) []Ability {
	tries := []struct {
		name string
		try  func(dir string) error
	}{
		{MakeDirectory, func(dir string) error { return os.MkdirAll(filepath.Join(dir, "wal"), 0o755) }},
		{WriteFile, func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), noise(readSize), 0o600) }},
		{SyncFile, trySync}, {SyncDirectory, syncDirectory}, {RenameDirectory, tryRename}, {ReplaceFile, tryReplace},
		{DeleteOpenFile, tryDeleteOpen}, {DeleteDirectory, tryDeleteDirectory}, {LockFile, tryLock}, {MapFile, tryMap}, {LinkFile, tryLink},
	}
	abilities := make([]Ability, 0, len(tries))
	for _, t := range tries {
		dir := filepath.Join(probe, t.name)
		err := os.Mkdir(dir, 0o755)
		if err == nil {
			err = t.try(dir)
		}
		abilities = append(abilities, Ability{Name: t.name, Error: reason(err)})
	}
	return abilities
}

// reason is an error without the path, which changes from run to run.
func reason(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &path):
		return path.Op + ": " + path.Err.Error()
	case errors.As(err, &link):
		return link.Op + ": " + link.Err.Error()
	}
	return err.Error()
}

func withFile(dir string, do func(f *os.File) error) error {
	f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(noise(readSize)); err == nil {
		err = do(f)
	}
	return errors.Join(err, f.Close())
}

func trySync(dir string) error { return withFile(dir, (*os.File).Sync) }

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tryRename does what the installation of a block does: a directory gets its name in one step.
func tryRename(dir string) error {
	from, to := filepath.Join(dir, "block.tmp"), filepath.Join(dir, "block")
	if err := os.Mkdir(from, 0o755); err != nil {
		return err
	}
	if err := withFile(from, func(*os.File) error { return nil }); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(to, "file")); err != nil {
		return err
	}
	if _, err := os.Lstat(from); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("rename: the old name is still there")
	}
	return nil
}

// tryReplace does what a new meta.json does: a file takes the place of another, which is never missing.
func tryReplace(dir string) error {
	from, to := filepath.Join(dir, "new"), filepath.Join(dir, "meta")
	if err := os.WriteFile(to, []byte("old"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(from, []byte("new"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	data, err := os.ReadFile(to)
	if err == nil && string(data) != "new" {
		err = fmt.Errorf("rename: the file holds %q afterwards", data)
	}
	return err
}

// tryDeleteOpen does what retention does: a block goes while a query still reads it. NFS leaves a file named .nfs… behind.
func tryDeleteOpen(dir string) error {
	return withFile(dir, func(f *os.File) error {
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
		left, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			return fmt.Errorf("remove: %s stays behind while the file is open", left[0].Name())
		}
		if _, err := f.ReadAt(make([]byte, readSize), 0); err != nil {
			return fmt.Errorf("reading a file that was removed while it was open: %w", err)
		}
		return nil
	})
}

func tryDeleteDirectory(dir string) error {
	block := filepath.Join(dir, "block")
	if err := os.MkdirAll(filepath.Join(block, "chunks"), 0o755); err != nil {
		return err
	}
	if err := withFile(filepath.Join(block, "chunks"), func(*os.File) error { return nil }); err != nil {
		return err
	}
	if err := os.RemoveAll(block); err != nil {
		return err
	}
	if _, err := os.Lstat(block); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("remove: the directory is still there")
	}
	return nil
}

// tryLock does what keeps two servers from one directory.
func tryLock(dir string) error {
	return withFile(dir, func(f *os.File) error {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return fmt.Errorf("flock: %w", err)
		}
		other, err := os.Open(f.Name())
		if err != nil {
			return err
		}
		defer func() { _ = other.Close() }()
		if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return errors.New("flock: a second holder got the lock")
		}
		return nil
	})
}

// tryMap maps a file for reading, as the server does with every block.
func tryMap(dir string) error {
	return withFile(dir, func(f *os.File) error {
		data, err := unix.Mmap(int(f.Fd()), 0, readSize, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("mmap: %w", err)
		}
		same := data[0] == noise(1)[0]
		if err := unix.Munmap(data); err != nil {
			return fmt.Errorf("munmap: %w", err)
		}
		if !same {
			return errors.New("mmap: the mapping does not show what was written")
		}
		return nil
	})
}

func tryLink(dir string) error {
	return withFile(dir, func(f *os.File) error { return os.Link(f.Name(), filepath.Join(dir, "link")) })
}
