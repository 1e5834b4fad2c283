package transfer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
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
	// Server is the old server, whose query latency holds the transfer; without a URL it is not asked.
	Server server.Options
	// Query is asked there; empty: count(up).
	Query string
	Log   *slog.Logger
	// Ready is told the address as soon as it answers.
	Ready func(net.Addr)
}

// RunSource offers a data directory until the context is done. The idle latency is measured before the first byte is read.
func RunSource(ctx context.Context, o SourceOptions) error {
	throttle, err := newHostThrottle(o)
	if err != nil {
		return err
	}
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

func newHostThrottle(o SourceOptions) (*Throttle, error) {
	if o.FullSpeed {
		return NewThrottle(ThrottleOptions{Budget: o.Budget}), nil
	}
	t := ThrottleOptions{Budget: o.Budget, Sensors: HostSensors(o.Local.Data)}
	if o.Server.URL != "" {
		var err error
		if t.Probe, err = QueryProbe(o.Server, o.Query); err != nil {
			return nil, err
		}
	}
	return NewThrottle(t), nil
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
