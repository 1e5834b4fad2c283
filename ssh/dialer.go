package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Endpoint says how one host is reached.
type Endpoint struct {
	Host string
	// Port is that of the SSH server; 0 means 22.
	Port int
	User string
	// Key is the private key in PEM, without a passphrase.
	Key []byte
	// HostKey is the pinned key in authorized_keys form; empty: whatever the host shows is accepted.
	HostKey string
	// Bastion is the host to go through; its own Bastion is not used, and its Key is the host's when empty.
	Bastion *Endpoint
}

// Address gives host:port.
func (e Endpoint) Address() string {
	port := e.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(port))
}

// Options are those of a Dialer; the zero value is of use.
type Options struct {
	// DialTimeout limits connecting and authenticating, for each leg. Default 10 s.
	DialTimeout time.Duration
	// KeepAlive is how often a connection is asked for a sign of life; it is closed when none comes for as long
	// again. Default 15 s.
	KeepAlive time.Duration
	// BastionIdle is how long a connection to a bastion is kept after its last use. Default 30 s.
	BastionIdle time.Duration
	// Dial opens the first leg. Default: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dialer opens connections. It is safe for concurrent use; Close closes the bastions that it keeps.
type Dialer struct {
	options  Options
	bastions *bastions
}

// NewDialer makes a Dialer.
func NewDialer(options Options) *Dialer {
	if options.DialTimeout == 0 {
		options.DialTimeout = 10 * time.Second
	}
	if options.KeepAlive == 0 {
		options.KeepAlive = 15 * time.Second
	}
	if options.BastionIdle == 0 {
		options.BastionIdle = 30 * time.Second
	}
	if options.Dial == nil {
		options.Dial = (&net.Dialer{}).DialContext
	}
	d := &Dialer{options: options}
	d.bastions = newBastions(d)
	return d
}

// Close closes the connections to bastions, and by that all that go through them.
func (d *Dialer) Close() { d.bastions.close() }

// Dial connects to a host and logs in. Errors are of type *Error.
func (d *Dialer) Dial(ctx context.Context, e Endpoint) (*Client, error) {
	if e.Bastion == nil {
		return d.dial(ctx, e, d.options.Dial, false)
	}
	through := *e.Bastion
	through.Bastion = nil
	if len(through.Key) == 0 {
		through.Key = e.Key
	}
	b, err := d.bastions.acquire(ctx, through)
	if err != nil {
		return nil, err
	}
	client, err := d.dial(ctx, e, b.dial, false)
	if err != nil {
		b.release()
		return nil, err
	}
	client.bastionHostKey = b.client.hostKey
	client.release = b.release
	return client, nil
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects one leg.
func (d *Dialer) dial(ctx context.Context, e Endpoint, dial dialFunc, bastion bool) (*Client, error) {
	failed := func(reason Reason, err error) error {
		return &Error{Reason: reason, Address: e.Address(), Bastion: bastion, Pinned: e.HostKey, Err: err}
	}
	signer, err := parseKey(e.Key)
	if err != nil {
		return nil, failed(KeyInvalid, err)
	}
	g, err := newGuard(e.HostKey)
	if err != nil {
		return nil, failed(KeyInvalid, err)
	}
	limited, cancel := context.WithTimeout(ctx, d.options.DialTimeout)
	defer cancel()
	conn, err := d.handshake(limited, e, g, signer, dial)
	if err == nil {
		return newClient(conn, e, g.shown, d.options.KeepAlive), nil
	}
	var negotiation *gossh.AlgorithmNegotiationError
	if g.pinned != nil && g.shown == nil && errors.As(err, &negotiation) {
		// Perhaps it has no key of the pinned type any more: see which one it shows.
		look := &guard{look: true}
		_, _ = d.handshake(limited, e, look, signer, dial)
		if look.shown != nil && look.shown.Type() != g.pinned.Type() {
			g.shown = look.shown
			err = errChanged
		}
	}
	return nil, classify(failed, g, limited, err)
}

func classify(failed func(Reason, error) error, g *guard, ctx context.Context, err error) error {
	switch {
	case g.shown != nil && !g.passed:
		failure := failed(HostKeyChanged, errChanged)
		var e *Error
		if errors.As(failure, &e) {
			e.Shown = authorizedKey(g.shown)
		}
		return failure
	case g.passed && refused(err):
		return failed(AuthRefused, err)
	case ctx.Err() != nil:
		return failed(Unreachable, fmt.Errorf("%w (%w)", err, ctx.Err()))
	}
	return failed(Unreachable, err)
}

// refused tells a refusal of the key from a broken connection. The library has no type for it: the texts are those of
// client_auth.go and of OpenSSH's disconnect message for MaxAuthTries.
func refused(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unable to authenticate") || strings.Contains(text, "Too many authentication failures")
}

// handshake opens a connection, checks the host and logs in; the context ends it at any point.
func (d *Dialer) handshake(ctx context.Context, e Endpoint, g *guard, signer gossh.Signer, dial dialFunc) (*gossh.Client, error) {
	conn, err := dial(ctx, "tcp", e.Address())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	config := &gossh.ClientConfig{
		User:            e.User,
		Auth:            []gossh.AuthMethod{gossh.PublicKeys(signer)},
		ClientVersion:   "SSH-2.0-Slipway",
		HostKeyCallback: func(_ string, _ net.Addr, key gossh.PublicKey) error { return g.check(key) },
	}
	g.configure(config)
	c, channels, requests, err := gossh.NewClientConn(conn, e.Address(), config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if !stop() {
		_ = c.Close()
		return nil, ctx.Err()
	}
	return gossh.NewClient(c, channels, requests), nil
}

func parseKey(pem []byte) (gossh.Signer, error) {
	if len(pem) == 0 {
		return nil, errors.New("there is no private key")
	}
	signer, err := gossh.ParsePrivateKey(pem)
	var passphrase *gossh.PassphraseMissingError
	if errors.As(err, &passphrase) {
		return nil, errors.New("the private key has a passphrase, and nobody is there to type it")
	}
	if err != nil {
		return nil, fmt.Errorf("parsing the private key: %w", err)
	}
	return signer, nil
}
