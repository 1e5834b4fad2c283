package shim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/slipway-dev/slipway/migration/transfer"
)

// RunOptions say where a shim listens.
type RunOptions struct {
	Options
	// Listen is host:port. Beyond loopback Credentials must be there.
	Listen string
	// Credentials is the folder source of slipway prometheus agent init: the target shows the certificate of the folder target.
	Credentials string
	// Ready is told the address as soon as it answers, which may be before the boundary is known.
	Ready func(net.Addr)
}

// Run answers until the context is done; requests that are under way get 10 s to end.
func Run(ctx context.Context, o RunOptions) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(o.Options)
	if err != nil {
		return err
	}
	listener, err := listen(o.Listen, o.Credentials)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	go s.Follow(ctx)
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	if o.Ready != nil {
		o.Ready(listener.Addr())
	}
	select {
	case err := <-ended:
		return fmt.Errorf("answering: %w", err)
	case <-ctx.Done():
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	if err := web.Shutdown(last); err != nil {
		return errors.Join(fmt.Errorf("ending: %w", err), web.Close())
	}
	return nil
}

// listen opens the address. What a shim says is the old server's data, so beyond loopback it speaks mutual TLS alone.
func listen(address, credentials string) (net.Listener, error) {
	var config *tls.Config
	if credentials != "" {
		c, err := transfer.SourceTLS(credentials)
		if err != nil {
			return nil, err
		}
		config = c
	} else if !loopback(address) {
		return nil, fmt.Errorf("listening on %s: it is not loopback, and there are no certificates; make them with slipway prometheus agent init", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
