package volume

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// FileSystem is what a volume is, as its kernel says.
type FileSystem struct {
	// Type is the name of the file system, such as ext4, nfs4 or fuse.s3fs.
	Type string `json:"type"`
	// Source is what is mounted: a device, a server and its path.
	Source     string `json:"source"`
	MountPoint string `json:"mountPoint"`
	// Options of the mount and of the file system, comma-separated.
	Options string `json:"options"`
	// Magic is the number that statfs(2) gives the type.
	Magic int64 `json:"magic"`

	TotalBytes int64 `json:"totalBytes"`
	// FreeBytes is what this user may still write.
	FreeBytes  int64 `json:"freeBytes"`
	FreeInodes int64 `json:"freeInodes"`
	// Inodes is zero where the file system makes them as it needs them.
	Inodes int64 `json:"inodes"`
}

// look finds out what a directory lies on.
func look(dir string) (FileSystem, error) {
	var fs FileSystem
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fs, fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	fs.Magic = int64(s.Type)
	fs.TotalBytes, fs.FreeBytes = int64(s.Blocks)*s.Bsize, int64(s.Bavail)*s.Bsize
	fs.Inodes, fs.FreeInodes = int64(s.Files), int64(s.Ffree)
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fs, fmt.Errorf("looking at %s: %w", dir, err)
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fs, fmt.Errorf("listing mounts: %w", err)
	}
	defer func() { _ = f.Close() }()
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fs, fmt.Errorf("looking at %s: %w", dir, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return fs, fmt.Errorf("looking at %s: %w", dir, err)
	}
	m, err := mountOf(f, path)
	if err != nil {
		return fs, err
	}
	fs.Type, fs.Source, fs.MountPoint, fs.Options = m.fsType, m.source, m.point, m.options
	return fs, nil
}

// mount is a line of mountinfo; see proc_pid_mountinfo(5).
type mount struct{ point, fsType, source, options string }

// mountOf finds the mount that a path lies on: the last of those whose point is the longest part of it.
func mountOf(mountinfo io.Reader, path string) (mount, error) {
	var best mount
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return mount{}, err
		}
		if within(m.point, path) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	if err := lines.Err(); err != nil {
		return mount{}, fmt.Errorf("listing mounts: %w", err)
	}
	if best.point == "" {
		return mount{}, fmt.Errorf("listing mounts: none holds %s", path)
	}
	return best, nil
}

func parseMount(line string) (mount, error) {
	own, super, found := strings.Cut(line, " - ")
	fields, rest := strings.Fields(own), strings.Fields(super)
	if !found || len(fields) < 6 || len(rest) < 2 {
		return mount{}, errors.New("listing mounts: a line of mountinfo has too few fields")
	}
	m := mount{point: unescape(fields[4]), fsType: rest[0], source: unescape(rest[1]), options: fields[5]}
	if len(rest) > 2 {
		m.options += "," + rest[2]
	}
	return m, nil
}

// unescape turns the octal escapes of mountinfo back into what they stand for.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func within(dir, path string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
