package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// revisionBump is added to etcd's revision by a restore: more than any plane writes between a backup and its restore, so
// that a watcher with a revision of the lost plane is told to list again instead of being shown the past.
const revisionBump = "1000000000"

// ErrNotEmpty says that there is something where a restore was to be made.
var ErrNotEmpty = errors.New("the directory is not empty")

// RestoreOptions say what is restored and where to.
type RestoreOptions struct {
	// Dir is the plane's directory; it must not exist, or be empty.
	Dir string
	// File is a backup.
	File string
	// Extra names the directories for what the backup holds beside the plane. What is in them already stays; what the
	// backup holds under a name that is not listed is left out.
	Extra map[string]string
	// Binaries gives the path of etcdutl.
	Binaries func(ctx context.Context, name string) (string, error)
}

// Restore makes a plane's directory from a backup, whole or not at all. It starts nothing.
func Restore(ctx context.Context, o RestoreOptions) (Manifest, error) {
	m, err := Verify(o.File) // before anything is written
	if err != nil {
		return Manifest{}, err
	}
	if err := refuseNonEmpty(o.Dir); err != nil {
		return Manifest{}, err
	}
	if err := os.MkdirAll(filepath.Dir(o.Dir), dirMode); err != nil {
		return Manifest{}, fmt.Errorf("restoring: %w", err)
	}
	staging, err := os.MkdirTemp(filepath.Dir(o.Dir), "."+filepath.Base(o.Dir)+".restoring-") // has mode 0700
	if err != nil {
		return Manifest{}, fmt.Errorf("restoring: %w", err)
	}
	defer os.RemoveAll(staging)
	if err := extract(o.File, staging); err != nil {
		return Manifest{}, err
	}
	if err := assemble(ctx, o, staging, m); err != nil {
		return Manifest{}, err
	}
	if err := placeExtras(staging, o.Extra); err != nil {
		return Manifest{}, err
	}
	// rename(2) takes the place of an empty directory and of nothing else.
	if err := os.Rename(filepath.Join(staging, "plane"), o.Dir); err != nil {
		return Manifest{}, fmt.Errorf("restoring: %w", err)
	}
	return m, durable.SyncDir(filepath.Dir(o.Dir))
}

func refuseNonEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("restoring into %s: %w: move it away first; a plane is never overwritten", dir, ErrNotEmpty)
	}
	return nil
}

// extract writes the files of a backup below a directory; the archive cannot make it write elsewhere.
func extract(file, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	defer root.Close()
	_, err = readArchive(file, func(f ArchiveFile, content io.Reader) error {
		if err := root.MkdirAll(filepath.Dir(f.Name), dirMode); err != nil {
			return fmt.Errorf("restoring %s: %w", f.Name, err)
		}
		out, err := root.OpenFile(f.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode.Perm()&^0o022)
		if err != nil {
			return fmt.Errorf("restoring %s: %w", f.Name, err)
		}
		_, err = io.Copy(out, content)
		if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
			return fmt.Errorf("restoring %s: %w", f.Name, err)
		}
		return nil
	})
	return err
}

// assemble turns what was extracted into the directory of a plane.
func assemble(ctx context.Context, o RestoreOptions, staging string, m Manifest) error {
	dir := filepath.Join(staging, "plane")
	state, err := ReadState(dir)
	if err != nil {
		return err
	}
	state.Restored = &Restored{Time: time.Now().UTC().Truncate(time.Second), BackupTime: m.Created}
	if err := state.write(dir); err != nil {
		return err
	}
	etcdutl, err := o.Binaries(ctx, "etcdutl")
	if err != nil {
		return fmt.Errorf("finding etcdutl: %w", err)
	}
	command := exec.CommandContext(ctx, etcdutl, "snapshot", "restore", filepath.Join(staging, snapshotName),
		"--data-dir="+filepath.Join(dir, etcdDir), "--name="+etcdName,
		fmt.Sprintf("--initial-cluster=%s=https://%s:%d", etcdName, loopback, state.Ports.EtcdPeer),
		fmt.Sprintf("--initial-advertise-peer-urls=https://%s:%d", loopback, state.Ports.EtcdPeer),
		"--initial-cluster-token=slipway-"+newID(), // so that a lost plane that comes back is another cluster
		"--bump-revision="+revisionBump, "--mark-compacted")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("restoring the snapshot: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

// placeExtras moves what the backup holds beside the plane to where it belongs, entry by entry.
func placeExtras(staging string, extras map[string]string) error {
	for name, target := range extras {
		from := filepath.Join(staging, "extra", name)
		entries, err := os.ReadDir(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("restoring %s: %w", name, err)
		}
		if err := os.MkdirAll(target, dirMode); err != nil {
			return fmt.Errorf("restoring %s: %w", name, err)
		}
		for _, entry := range entries {
			if err := placeExtra(filepath.Join(from, entry.Name()), filepath.Join(target, entry.Name())); err != nil {
				return fmt.Errorf("restoring %s: %w", name, err)
			}
		}
	}
	return nil
}

func placeExtra(from, to string) error {
	if found, err := exists(to); err != nil || found {
		return err
	}
	return os.Rename(from, to)
}
