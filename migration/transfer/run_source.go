package transfer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// SourceOptions say how a data directory is offered.
type SourceOptions struct {
	Local LocalOptions // its Throttle is made from what follows
	// Listen is host:port, or unix:PATH for SSH to forward.
	Listen string
	// Credentials is the source's folder of InitCredentials; not for a socket.
	Credentials string
	Budget      Budget
	// FullSpeed looks at nothing: the ceiling alone holds reads. For a host that nobody uses.
	FullSpeed bool
	// ServerURL is the old server, whose query latency holds the transfer; empty: it is not asked.
	ServerURL string
	// Query is asked there; empty: count(up).
	Query string
	Log   *slog.Logger
	// Ready is told the address as soon as it answers.
	Ready func(net.Addr)
}

// RunSource offers a data directory until the context is done. The idle latency is measured before the first byte is read.
func RunSource(ctx context.Context, o SourceOptions) error {
	throttle := newHostThrottle(o)
	if err := throttle.Baseline(ctx); err != nil {
		return err
	}
	o.Local.Throttle = throttle
	local, err := OpenLocal(o.Local)
	if err != nil {
		return err
	}
	listener, err := Listen(o.Listen, o.Credentials)
	if err != nil {
		return errors.Join(err, local.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go throttle.Run(ctx)
	go logThrottle(ctx, o.Log, local)
	if o.Ready != nil {
		o.Ready(listener.Addr())
	}
	return errors.Join(NewServer(ServerOptions{Source: local, Log: o.Log}).Serve(ctx, listener), local.Close())
}

func newHostThrottle(o SourceOptions) *Throttle {
	if o.FullSpeed {
		return NewThrottle(ThrottleOptions{Budget: o.Budget})
	}
	t := ThrottleOptions{Budget: o.Budget, Sensors: HostSensors(o.Local.Data)}
	if o.ServerURL != "" {
		t.Probe = QueryProbe(ProbeOptions{URL: o.ServerURL, Query: o.Query})
	}
	return NewThrottle(t)
}

// logThrottle tells when what limits the transfer changes.
func logThrottle(ctx context.Context, log *slog.Logger, local *Local) {
	if log == nil {
		return
	}
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	last := LimitedByNothing
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s, err := local.Status(ctx)
			if err == nil && s.LimitedBy != last {
				last = s.LimitedBy
				log.Info("Limit changed", "limitedBy", string(last), "limitBytesPerSecond", s.Throttle.BytesPerSecond, "bytesPerSecond", s.BytesPerSecond)
			}
		}
	}
}
