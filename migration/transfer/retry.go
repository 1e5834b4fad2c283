package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"time"
)

// LostError says that the source was silent for too long. A later run goes on where this one stopped.
type LostError struct {
	Silent time.Duration
	Err    error // the last one
}

func (e *LostError) Error() string {
	return fmt.Sprintf("the source does not answer since %s: look at the source's agent and the network, then run again, what arrived is kept: %v", e.Silent.Round(time.Second), e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

// ask repeats a question until the source answers, waiting longer each time, and gives up when nothing of the whole
// transfer was answered for the patience.
func (p *pull) ask(ctx context.Context, question func() error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		began := time.Now()
		err := question()
		p.waiting.Add(int64(time.Since(began)))
		if err == nil {
			p.heard.Store(time.Now().UnixNano())
			p.silent.Store(false)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !passing(err) {
			return err
		}
		silent := time.Since(time.Unix(0, p.heard.Load()))
		if silent >= p.o.Patience {
			return &LostError{Silent: silent, Err: err}
		}
		p.silent.Store(true)
		// Half of the wait is random, so that readers that broke together do not come back together.
		if err := pause(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
}

// passing says that an error may be gone at the next try: the link's and the source's absence are; a refusal, a
// certificate and our own disk are not.
func passing(err error) bool {
	var (
		said   *RefusedError
		disk   *targetError
		space  *NoSpaceError
		damage *DamageError
		cert   *tls.CertificateVerificationError
		remote *net.OpError
	)
	switch {
	case errors.As(err, &said):
		return said.Code == Busy || said.Code == Internal
	case errors.As(err, &disk), errors.As(err, &space), errors.As(err, &damage), errors.As(err, &cert):
		return false
	case errors.Is(err, fs.ErrNotExist) && !errors.As(err, &remote): // of a directory of this host; a socket comes back
		return false
	}
	// The source's TLS says no to our certificate.
	return !errors.As(err, &remote) || remote.Op != "remote error"
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
