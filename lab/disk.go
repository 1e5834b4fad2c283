package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// makeDisk copies the image, grows it to its size and writes the machine's own files into it.
func (l *Lab) makeDisk(ctx context.Context, m *Machine, image string) error {
	dir := l.machineDir(m.Name)
	disk, seed, root := filepath.Join(dir, "disk.img"), filepath.Join(dir, "seed"), filepath.Join(dir, "root")
	for _, path := range []string{seed, root} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("making disk of %s: %w", m.Name, err)
		}
	}
	if err := l.writeSeed(ctx, m, seed); err != nil {
		return fmt.Errorf("making disk of %s: %w", m.Name, err)
	}
	steps := [][]string{
		{"cp", "--sparse=always", "--reflink=auto", image, disk},
		{"truncate", "--size", strconv.FormatInt(m.DiskBytes, 10), disk},
		{"tune2fs", "-U", "random", disk},
		{"resize2fs", "-f", disk},
		{"unshare", "--mount", "--propagation", "private", "/bin/sh", "-euc",
			`umask 022; mount -o loop "$1" "$2"; cp -r "$3/." "$2/"; chown -R ` + opsUID + ` "$2/home/ops/.ssh"; umount "$2"`,
			"sh", disk, root, seed},
	}
	for _, argv := range steps {
		if _, err := l.runIn(ctx, m.Name, "", argv...); err != nil {
			return fmt.Errorf("making disk of %s: %w", m.Name, err)
		}
	}
	return os.RemoveAll(seed)
}

// loopDevices lists the loop devices whose file lies below dir.
func loopDevices(dir string) []string {
	paths, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	var devices []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		backing := strings.TrimSuffix(strings.TrimSpace(string(data)), " (deleted)")
		if err == nil && strings.HasPrefix(backing, dir+"/") {
			devices = append(devices, "/dev/"+strings.Split(path, "/")[3])
		}
	}
	return devices
}

// releaseDisks waits until no loop device holds a file below dir, and detaches what nobody mounts.
func releaseDisks(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	var left []string
	err := waitFor(ctx, func() (bool, error) {
		if left = loopDevices(dir); len(left) > 0 {
			_, _ = run(ctx, "", append([]string{"losetup", "--detach"}, left...)...) // gone meanwhile is as good
			left = loopDevices(dir)
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("releasing loop devices %v: %w", left, err)
	}
	return nil
}

// unmountBelow unmounts whatever is mounted below dir in this mount namespace, deepest first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading mounts: %w", err)
	}
	mounts := parseMounts(string(data))
	for i := len(mounts) - 1; i >= 0; i-- {
		if !strings.HasPrefix(mounts[i].point, dir+"/") {
			continue
		}
		if err := syscall.Unmount(mounts[i].point, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", mounts[i].point, err)
		}
	}
	return nil
}
