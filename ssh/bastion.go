package ssh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// bastions keeps one connection per bastion, user, key and pinned host key while it is used and a little longer.
type bastions struct {
	dialer *Dialer
	mutex  sync.Mutex
	known  map[string]*bastion
	closed bool
}

// bastion is one connection that is shared. ready is closed once client or err is set.
type bastion struct {
	owner *bastions
	name  string
	ready chan struct{}

	client *Client
	err    error

	// guarded by the owner's mutex
	users int
	idle  *time.Timer
}

func newBastions(d *Dialer) *bastions {
	return &bastions{dialer: d, known: map[string]*bastion{}}
}

func bastionName(e Endpoint) string {
	sum := sha256.Sum256(e.Key)
	return fmt.Sprintf("%s@%s %s %s", e.User, e.Address(), e.HostKey, hex.EncodeToString(sum[:]))
}

// acquire gives the connection to a bastion, opening it when there is none. Every acquire wants one release.
func (p *bastions) acquire(ctx context.Context, e Endpoint) (*bastion, error) {
	name := bastionName(e)
	p.mutex.Lock()
	if p.closed {
		p.mutex.Unlock()
		return nil, &Error{Reason: Unreachable, Address: e.Address(), Bastion: true, Err: errors.New("the dialer is closed")}
	}
	b := p.known[name]
	if b == nil {
		b = &bastion{owner: p, name: name, ready: make(chan struct{})}
		p.known[name] = b
		// Not with the context of the first who asks: others wait for it as well. Dial limits it.
		go b.open(context.WithoutCancel(ctx), e)
	}
	b.users++
	if b.idle != nil {
		b.idle.Stop()
		b.idle = nil
	}
	p.mutex.Unlock()

	select {
	case <-b.ready:
	case <-ctx.Done():
		b.release()
		return nil, &Error{Reason: Unreachable, Address: e.Address(), Bastion: true, Err: ctx.Err()}
	}
	if b.err != nil {
		b.release()
		return nil, b.err
	}
	return b, nil
}

// open connects, and forgets the bastion when that fails or the connection ends.
func (b *bastion) open(ctx context.Context, e Endpoint) {
	b.client, b.err = b.owner.dialer.dial(ctx, e, b.owner.dialer.options.Dial, true)
	close(b.ready)
	if b.err == nil {
		b.owner.mutex.Lock()
		closed := b.owner.closed
		b.owner.mutex.Unlock()
		if closed {
			b.client.Close()
		}
		_ = b.client.wait()
		b.client.Close()
	}
	b.forget()
}

func (b *bastion) forget() {
	b.owner.mutex.Lock()
	defer b.owner.mutex.Unlock()
	if b.owner.known[b.name] == b {
		delete(b.owner.known, b.name)
	}
	if b.idle != nil {
		b.idle.Stop()
	}
}

func (b *bastion) release() {
	b.owner.mutex.Lock()
	defer b.owner.mutex.Unlock()
	b.users--
	if b.users == 0 && b.owner.known[b.name] == b {
		b.idle = time.AfterFunc(b.owner.dialer.options.BastionIdle, b.expire)
	}
}

// expire closes the connection when nobody uses it.
func (b *bastion) expire() {
	b.owner.mutex.Lock()
	unused := b.users == 0
	if unused && b.owner.known[b.name] == b {
		delete(b.owner.known, b.name)
	}
	b.owner.mutex.Unlock()
	if !unused {
		return
	}
	<-b.ready
	if b.client != nil {
		b.client.Close()
	}
}

// dial opens a connection through the bastion.
func (b *bastion) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.client.conn.DialContext(ctx, network, address)
	var rejected *gossh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &rejected) && rejected.Reason == gossh.Prohibited:
		return nil, fmt.Errorf("the bastion %s does not forward connections for %s: %w", b.client.address, b.client.user, err)
	case errors.As(err, &rejected):
		return nil, fmt.Errorf("the bastion %s does not get there: %w", b.client.address, err)
	}
	return nil, fmt.Errorf("going through the bastion %s: %w", b.client.address, err)
}

func (p *bastions) close() {
	p.mutex.Lock()
	p.closed = true
	var open []*bastion
	for _, b := range p.known {
		open = append(open, b)
	}
	p.mutex.Unlock()
	for _, b := range open {
		<-b.ready
		if b.client != nil {
			b.client.Close()
		}
	}
}
