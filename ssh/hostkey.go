package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// Fingerprint gives the type and SHA-256 fingerprint of a key in authorized_keys form, as ssh-keygen -l does.
func Fingerprint(key string) string {
	public, _, _, _, err := gossh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		return "(not a key)"
	}
	return public.Type() + " " + gossh.FingerprintSHA256(public)
}

func authorizedKey(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// algorithms lists the signature algorithms of a key's type; RSA keys sign with more than one, never with SHA-1.
func algorithms(keyType string) []string {
	if keyType == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// guard checks the host key of one handshake and remembers what was shown.
type guard struct {
	pinned gossh.PublicKey // nil: accept whatever is shown
	shown  gossh.PublicKey
	passed bool
	// look ends the handshake after the key was seen.
	look bool
}

var (
	errSeen    = errors.New("the host key was seen")
	errChanged = errors.New("the host key is not the pinned one")
)

func newGuard(pinned string) (*guard, error) {
	if pinned == "" {
		return &guard{}, nil
	}
	key, _, _, rest, err := gossh.ParseAuthorizedKey([]byte(pinned))
	if err != nil {
		return nil, fmt.Errorf("parsing the pinned host key: %w", err)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("parsing the pinned host key: more than one key")
	}
	return &guard{pinned: key}, nil
}

func (g *guard) check(key gossh.PublicKey) error {
	g.shown = key
	switch {
	case g.look:
		return errSeen
	case g.pinned != nil && !bytes.Equal(g.pinned.Marshal(), key.Marshal()):
		return errChanged
	}
	g.passed = true
	return nil
}

// configure restricts a handshake to the pinned key's algorithms.
func (g *guard) configure(config *gossh.ClientConfig) {
	if g.pinned != nil && !g.look {
		config.HostKeyAlgorithms = algorithms(g.pinned.Type())
	}
}
