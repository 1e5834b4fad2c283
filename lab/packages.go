package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tool is a program that the lab calls and the Debian package that brings it.
type tool struct{ program, pkg string }

func tools() []tool {
	return []tool{
		{"systemd-nspawn", "systemd-container"},
		{"mmdebstrap", "mmdebstrap"},
		{"ip", "iproute2"},
		{"tc", "iproute2"},
		{"ssh", "openssh-client"},
		{"ssh-keygen", "openssh-client"},
		{"mkfs.ext4", "e2fsprogs"},
		{"resize2fs", "e2fsprogs"},
		{"tune2fs", "e2fsprogs"},
		{"mount", "mount"},
		{"losetup", "mount"},
		{"nsenter", "util-linux"},
		{"unshare", "util-linux"},
		{"cp", "coreutils"},
	}
}

// debianKeyring lets a host that is not Debian (Ubuntu, say) check what it downloads.
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// missingPackages lists, sorted, the packages that this host lacks.
func missingPackages(present func(program string) bool, keyring bool) []string {
	var missing []string
	for _, t := range tools() {
		if !present(t.program) {
			missing = append(missing, t.pkg)
		}
	}
	if !keyring {
		missing = append(missing, "debian-archive-keyring")
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// onPath looks where root's programs are too: a user's PATH often lacks sbin.
func onPath(program string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// EnsurePackages installs what the lab needs and this host lacks with apt, and says so. On a host without apt it names the
// packages instead.
func (l *Lab) EnsurePackages(ctx context.Context) error {
	missing := missingPackages(onPath, exists(debianKeyring))
	if len(missing) == 0 {
		return nil
	}
	if !onPath("apt-get") || os.Geteuid() != 0 {
		return fmt.Errorf("missing packages (names as in Debian): %s; install them as root and try again", strings.Join(missing, " "))
	}
	l.say("Installing packages with apt: %s", strings.Join(missing, " "))
	install := append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet", "--no-install-recommends"}, missing...)
	if _, err := run(ctx, "", install...); err == nil {
		return nil
	}
	l.say("Refreshing apt's lists")
	if _, err := run(ctx, "", "apt-get", "update", "--quiet"); err != nil {
		return fmt.Errorf("refreshing apt's lists: %w", err)
	}
	if _, err := run(ctx, "", install...); err != nil {
		return fmt.Errorf("installing %s: %w", strings.Join(missing, " "), err)
	}
	return nil
}
