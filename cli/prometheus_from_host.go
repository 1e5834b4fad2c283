package cli

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/slipway-dev/slipway/ssh"
	"github.com/spf13/pflag"
)

// sshHost are the flags of a host on which something is tried over SSH.
type sshHost struct {
	url, flag string
	pin       sshSource
}

// addFlags adds --NAME ssh://USER@HOST[:PORT] and the flags of its keys.
func (o *sshHost) addFlags(f *pflag.FlagSet, name, what string) {
	o.flag = name
	f.StringVar(&o.url, name, "", what+": ssh://USER@HOST[:PORT]")
	f.StringVar(&o.pin.keyFile, "ssh-key", "", "file with the private key for --"+name+", without a passphrase")
	f.StringVar(&o.pin.knownHosts, "known-hosts", "", "file with the key of that host, as OpenSSH's (default: ~/.ssh/known_hosts)")
	f.StringVar(&o.pin.hostKey, "host-key", "", "the key of that host itself, as in \"ssh-ed25519 AAAA…\"")
}

// shell runs scripts on one host. Each has a connection of its own.
type shell struct {
	dialer   *ssh.Dialer
	endpoint ssh.Endpoint
}

func (o *sshHost) open() (*shell, error) {
	u, err := url.Parse(o.url)
	if err != nil || u.Scheme != "ssh" || u.User.Username() == "" || u.Hostname() == "" || u.Path != "" {
		return nil, &usageError{fmt.Errorf("--%s: want ssh://USER@HOST[:PORT]", o.flag)}
	}
	if _, secret := u.User.Password(); secret {
		return nil, &usageError{fmt.Errorf("--%s: a password has no place there; give a key with --ssh-key", o.flag)}
	}
	if o.pin.keyFile == "" {
		return nil, &usageError{fmt.Errorf("--%s needs --ssh-key: nobody is there to type a password", o.flag)}
	}
	e := ssh.Endpoint{Host: u.Hostname(), User: u.User.Username()}
	if u.Port() != "" {
		if e.Port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, &usageError{fmt.Errorf("--%s: port %s is no number", o.flag, u.Port())}
		}
	}
	if e.Key, err = readBounded(o.pin.keyFile); err != nil {
		return nil, fmt.Errorf("reading --ssh-key: %w", err)
	}
	if e.HostKey, err = o.pin.pinned(e.Address()); err != nil {
		return nil, fmt.Errorf("--%s: %w", o.flag, err)
	}
	return &shell{dialer: ssh.NewDialer(ssh.Options{}), endpoint: e}, nil
}

// Close ends what is open.
func (s *shell) Close() { s.dialer.Close() }

// Run runs a script with sh and returns what it printed.
func (s *shell) Run(ctx context.Context, script string) (string, int, error) {
	c, err := s.dialer.Dial(ctx, s.endpoint)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	r, err := c.Run(ctx, ssh.Command{Line: "sh", Stdin: []byte(script)})
	return string(r.Stdout), r.ExitCode, err
}
