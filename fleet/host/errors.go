package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/ssh"
)

// Exit codes of the fence.
const (
	exitBusy       = 70
	exitOtherLease = 75
	exitNotRoot    = 77
)

func problem(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

func leaseChanged(a Address, expected int64, found Lease) error {
	return fmt.Errorf("taking %s: expected generation %d, found %d (cluster %q, operation %q): %w",
		a, expected, found.Generation, found.Cluster, found.Operation, ErrLeaseChanged)
}

func changedKey(name, pinned, shown string) *Error {
	return problem(HostKeyChanged, "%s shows the host key %s but %s is pinned: if it was reinstalled, clear the pinned key "+
		"(spec.hostKey, or spec.bastion.hostKey for a bastion); if not, somebody may be in between",
		name, Fingerprint(shown), Fingerprint(pinned))
}

// Fingerprint gives the type and SHA-256 fingerprint of a key in authorized_keys form, as ssh-keygen -l does.
func Fingerprint(key string) string { return ssh.Fingerprint(key) }

// explainDial turns an error of package ssh into one that says what to do.
func explainDial(a Address, err error) error {
	var failure *ssh.Error
	if !errors.As(err, &failure) {
		return problem(Unreachable, "visiting %s: %w", a, err)
	}
	name, user := failure.Address, a.User
	if failure.Bastion {
		name = "the bastion " + failure.Address
		user = a.Bastion.User
	}
	switch failure.Reason {
	case ssh.HostKeyChanged:
		return changedKey(name, failure.Pinned, failure.Shown)
	case ssh.AuthRefused:
		return problem(Authentication, "%s refuses the key for the user %s: put the public half of the Secret's key into "+
			"authorized_keys there, or name the right Secret and user: %w", name, user, failure.Err)
	case ssh.KeyInvalid:
		return problem(KeyInvalid, "the keys for %s cannot be used: %w: the Secret wants an SSH private key without a passphrase "+
			"under ssh-privatekey, the Machine a host key as in authorized_keys", name, failure.Err)
	}
	return problem(Unreachable, "%s does not answer: %w: look whether it is up, and at address, port and firewall", name, failure.Err)
}

// explainStart says why not even the first line of a script ran.
func explainStart(a Address, result ssh.Result) error {
	said := excerpt(append(result.Stderr, result.Stdout...))
	if a.User == "root" {
		return problem(Faulty, "%s does not run /bin/sh for root (exit code %d): %q: look at root's login shell", a, result.ExitCode, said)
	}
	return problem(NoSudo, "the user %s on %s cannot run commands as root by sudo -n (exit code %d): %q: install sudo and allow "+
		"it without a password, as by the line \"%s ALL=(ALL) NOPASSWD: ALL\" in /etc/sudoers.d/slipway", a.User, a, result.ExitCode, said, a.User)
}

// explainFence says why the fence gave no lease.
func explainFence(a Address, act string, result ssh.Result) error {
	said := excerpt(result.Stderr)
	switch {
	case result.ExitCode == exitNotRoot:
		return problem(NoSudo, "commands for %s on %s do not run as root: %q", a.User, a, said)
	case result.ExitCode == exitBusy, result.ExitCode == exitOtherLease && strings.Contains(said, "holds the lock"):
		return problem(Busy, "the fence on %s cannot %s it yet: %q", a, act, said)
	case result.ExitCode == exitOtherLease:
		return problem(Faulty, "the lease of %s cannot be used: %q: look at /var/lib/slipway/lease.json there", a, said)
	}
	return problem(Faulty, "the fence on %s did not %s it (exit code %d): %q", a, act, result.ExitCode, said)
}
