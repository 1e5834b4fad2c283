package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// stagingFolder holds blocks of the source that are on their way.
const stagingFolder = "slipway-staging"

// blockName is a ULID: 26 digits of Crockford's alphabet.
var blockName = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// ofServer says that a server, or a move, works with something of this name in a data directory; neighbours such as lost+found are nobody's.
func ofServer(name string) bool {
	return blockName.MatchString(name) ||
		slices.Contains([]string{"wal", "wbl", "chunks_head", "queries.active", "lock", stagingFolder, "slipway-move", "slipway-cutover"}, name)
}

// useWhatIsThere looks whether this user may write into what lies there: what was copied as root, or by a server of another user.
func useWhatIsThere(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !ofServer(e.Name()) {
			continue
		}
		paths := []string{e.Name()}
		if e.IsDir() {
			paths = append(paths, filepath.Join(e.Name(), "chunks"))
		}
		for _, path := range paths {
			if err := writable(dir, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// writable asks the kernel, which knows groups, capabilities and lists of access; a path that is not there is fine.
func writable(dir, path string) error {
	var st unix.Stat_t
	full := filepath.Join(dir, path)
	if err := unix.Lstat(full, &st); err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	mode := uint32(unix.W_OK | unix.R_OK)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		mode |= unix.X_OK
	}
	if err := unix.Faccessat(unix.AT_FDCWD, full, mode, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%s, which belongs to uid %d, gid %d (mode %04o): %w", path, st.Uid, st.Gid, st.Mode&0o7777, err)
	}
	return nil
}

// present are the bytes of the source's blocks in a data directory: those that were staged, and the others where the volume was seeded.
// What cannot be read is not counted.
func present(dir string, seeded bool) (bytes int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if e.Name() != stagingFolder && (!seeded || !blockName.MatchString(e.Name())) {
			continue
		}
		_ = filepath.WalkDir(filepath.Join(dir, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					bytes += info.Size()
				}
			}
			return nil
		})
	}
	return bytes
}
