package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// KnownHost finds the key of a host in a file as OpenSSH's known_hosts, in authorized_keys form. Of several keys it takes ed25519
// first, then ecdsa, then the rest; a revoked key is none. address is host:port.
func KnownHost(file, address string) (string, error) {
	check, err := knownhosts.New(file)
	if err != nil {
		return "", fmt.Errorf("reading known hosts: %w", err)
	}
	// The library gives its keys to who shows a wrong one.
	unknown, err := gossh.NewPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		return "", fmt.Errorf("reading known hosts: %w", err)
	}
	err = check(address, &net.TCPAddr{}, unknown)
	var wrong *knownhosts.KeyError
	if !errors.As(err, &wrong) || len(wrong.Want) == 0 {
		return "", fmt.Errorf("looking for %s in %s: there is no key of it (ssh-keyscan shows one; compare it with the host's own before you write it there)", knownhosts.Normalize(address), file)
	}
	rank := func(k knownhosts.KnownKey) int {
		order := []string{gossh.KeyAlgoED25519, gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521}
		if i := slices.Index(order, k.Key.Type()); i >= 0 {
			return i
		}
		return len(order)
	}
	usable := slices.DeleteFunc(slices.Clone(wrong.Want), func(k knownhosts.KnownKey) bool {
		return errors.As(check(address, &net.TCPAddr{}, k.Key), new(*knownhosts.RevokedError))
	})
	if len(usable) == 0 {
		return "", fmt.Errorf("looking for %s in %s: its keys are revoked there", knownhosts.Normalize(address), file)
	}
	return authorizedKey(slices.MinFunc(usable, func(a, b knownhosts.KnownKey) int { return rank(a) - rank(b) }).Key), nil
}
