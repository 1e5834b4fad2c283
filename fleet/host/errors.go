package host

import (
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

func problem(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

func leaseChanged(a Address, expected int64, found Lease) error {
	return fmt.Errorf("taking %s: expected generation %d, found %d (cluster %q, operation %q): %w",
		a, expected, found.Generation, found.Cluster, found.Operation, ErrLeaseChanged)
}

func changedKey(a Address, pinned, shown string) error {
	return problem(HostKeyChanged, "%s shows the host key %s but %s is pinned: if the host was reinstalled, clear spec.hostKey "+
		"(spec.bastion.hostKey for a bastion) of its Machine; if not, somebody may be in between", a, Fingerprint(shown), Fingerprint(pinned))
}

// Fingerprint gives the SHA-256 fingerprint of a key in authorized_keys form as ssh-keygen -l prints it.
func Fingerprint(key string) string {
	public, _, _, _, err := gossh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		return "(not a key)"
	}
	name, _, _ := strings.Cut(key, " ")
	return name + " " + gossh.FingerprintSHA256(public)
}
