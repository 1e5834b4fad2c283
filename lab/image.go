package lab

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed all:image/overlay
var overlay embed.FS

const (
	imageSuite = "bookworm"
	// imageFormat goes into the image's name: raise it when the way of building changes.
	imageFormat = "2"
	// imageSpare is room for the file system's own tables in the smallest image.
	imageSpare = 128 << 20
	opsUID     = "1000"
)

// imagePackages is a machine as a hoster delivers it: an init system, a way in, and nothing that runs containers.
func imagePackages(python bool) []string {
	packages := []string{
		"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "ca-certificates", "procps", "util-linux",
		"kmod", "libfaketime",
	}
	if python {
		packages = append(packages, "python3")
	}
	return packages
}

// imageHooks run at the end of the build with the new root as $1 and the overlay as $OVERLAY.
func imageHooks() []string {
	return []string{
		`cp -r "$OVERLAY/." "$1/" && chmod 0440 "$1/etc/sudoers.d/ops"`,
		`chroot "$1" useradd --uid ` + opsUID + ` --create-home --shell /bin/bash ops`,
		`rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id && ln -s /etc/machine-id "$1"/var/lib/dbus/machine-id`,
		`systemctl --root="$1" enable slipway-lab.service ssh.service`,
		`systemctl --root="$1" mask console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer ` +
			`fstrim.timer e2scrub_all.timer systemd-firstboot.service systemd-modules-load.service`,
	}
}

func imageArguments(python bool, mirror, root string) []string {
	argv := []string{
		"mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase",
		"--include=" + strings.Join(imagePackages(python), ","),
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", `--aptopt=Acquire::Languages "none"`,
	}
	for _, hook := range imageHooks() {
		argv = append(argv, "--customize-hook="+hook)
	}
	argv = append(argv, imageSuite, root)
	if mirror != "" {
		argv = append(argv, mirror)
	}
	return argv
}

// imageDigest names an image after everything that goes into it but the packages' own versions.
func imageDigest(python bool, mirror string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00%s\x00", imageFormat, strings.Join(imageArguments(python, mirror, ""), "\x00"))
	err := fs.WalkDir(overlay, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := overlay.ReadFile(path)
		fmt.Fprintf(hash, "%s\x00%d\x00%s", path, len(data), data)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil))[:16], err
}

// BuildImage returns the path of the root file system that machines are copied from, an ext4 image; it builds it when
// the cache does not hold it. Two builders at once: one builds, the other waits.
func (l *Lab) BuildImage(ctx context.Context, python bool) (string, error) {
	digest, err := imageDigest(python, l.opts.Mirror)
	if err != nil {
		return "", fmt.Errorf("naming the machine image: %w", err)
	}
	dir := filepath.Join(l.opts.Cache, "lab")
	path := filepath.Join(dir, "machine-"+digest+".ext4")
	if exists(path) {
		return path, nil
	}
	unlock, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("locking the image cache: %w", err)
	}
	defer unlock()
	if exists(path) {
		return path, nil
	}
	l.say("Building the machine image (Debian 12, python: %t), once; 1 to 2 minutes", python)
	began := time.Now()
	if err := l.buildImage(ctx, python, dir, path); err != nil {
		return "", fmt.Errorf("building machine image: %w", err)
	}
	l.say("Built %s in %s", path, time.Since(began).Round(time.Second))
	return path, nil
}

func (l *Lab) buildImage(ctx context.Context, python bool, dir, path string) (err error) {
	if err := removeOldBuilds(dir); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	files, root, image := filepath.Join(tmp, "overlay"), filepath.Join(tmp, "root"), filepath.Join(tmp, "image")
	sub, err := fs.Sub(overlay, "image/overlay")
	if err != nil {
		return err
	}
	if err := os.CopyFS(files, sub); err != nil {
		return err
	}
	argv := append([]string{"env", "OVERLAY=" + files, "sh", "-c", `umask 022; exec "$@"`, "sh"}, imageArguments(python, l.opts.Mirror, root)...)
	if _, err := run(ctx, "", argv...); err != nil {
		return err
	}
	if err := makeFilesystem(ctx, root, image); err != nil {
		return err
	}
	return os.Rename(image, path)
}

// removeOldBuilds removes what a killed builder left; the lock is held, so nobody builds.
func removeOldBuilds(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "build-*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// makeFilesystem packs a directory into the smallest ext4 image that has some room; disks grow from it.
func makeFilesystem(ctx context.Context, root, image string) error {
	var bytes int64
	err := filepath.WalkDir(root, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += (info.Size() + 4095) &^ 4095
		}
		return err
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(bytes+bytes/8+imageSpare), file.Close()); err != nil {
		return err
	}
	_, err = run(ctx, "", "mkfs.ext4", "-q", "-F", "-m", "1", "-T", "default", "-b", "4096", "-O", "metadata_csum_seed", "-E", "lazy_itable_init=0,lazy_journal_init=0",
		"-L", "root", "-d", root, image)
	return err
}
