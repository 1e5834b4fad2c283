package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/ssh"
	"github.com/spf13/pflag"
)

// sshHost are the flags of a host that is reached over SSH with a pinned host key.
type sshHost struct{ url, key, hostKey, flag string }

// addFlags adds --NAME ssh://USER@HOST[:PORT], --ssh-key and --ssh-host-key.
func (o *sshHost) addFlags(f *pflag.FlagSet, name, what string) {
	o.flag = name
	f.StringVar(&o.url, name, "", what+": ssh://USER@HOST[:PORT]")
	f.StringVar(&o.key, "ssh-key", "", "file with the private key for --"+name+", without a passphrase")
	f.StringVar(&o.hostKey, "ssh-host-key", "", "file with the public key of that host, as in its /etc/ssh/ssh_host_ed25519_key.pub")
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
	if o.key == "" || o.hostKey == "" {
		return nil, &usageError{fmt.Errorf("--%s needs --ssh-key and --ssh-host-key: nobody is there to type a password or to say yes to an unknown host", o.flag)}
	}
	e := ssh.Endpoint{Host: u.Hostname(), User: u.User.Username()}
	if u.Port() != "" {
		if e.Port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, &usageError{fmt.Errorf("--%s: port %s is no number", o.flag, u.Port())}
		}
	}
	if e.Key, err = readBounded(o.key); err != nil {
		return nil, fmt.Errorf("reading --ssh-key: %w", err)
	}
	pinned, err := readBounded(o.hostKey)
	if err != nil {
		return nil, fmt.Errorf("reading --ssh-host-key: %w", err)
	}
	if e.HostKey = strings.TrimSpace(string(pinned)); e.HostKey == "" {
		return nil, errors.New("reading --ssh-host-key: the file is empty")
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
