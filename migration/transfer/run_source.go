package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	// AsOwner, as root, becomes the owner of the data directory before anything there is touched. The listener is root's.
	AsOwner bool
	// IdleEnd is after how long without a request the program ends, and leaves what it pinned; 0: never.
	IdleEnd time.Duration
	Log     *slog.Logger
	// Ready is told the address as soon as it answers.
	Ready func(net.Addr)
}

// RunSource offers a data directory until the context is done. The idle latency is measured before the first byte is read; who
// connects before that waits.
func RunSource(ctx context.Context, o SourceOptions) error {
	listener, err := Listen(o.Listen, o.Credentials)
	if err != nil {
		return err
	}
	defer listener.Close() // Serve closes it, too
	if o.AsOwner {
		if err := becomeOwner(o.Local.Data); err != nil {
			return err
		}
	}
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go throttle.Run(ctx)
	go logThrottle(ctx, o.Log, local)
	if o.Ready != nil {
		o.Ready(listener.Addr())
	}
	server := NewServer(ServerOptions{Source: local, Log: o.Log})
	go endIdle(ctx, cancel, o, server, local)
	return errors.Join(server.Serve(ctx, listener), local.Close())
}

// becomeOwner gives root up for the owner of a directory, for good. Another user stays who it is.
func becomeOwner(path string) error {
	if os.Getuid() != 0 {
		return nil
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return fmt.Errorf("looking for the owner of %s: %w", path, err)
	}
	if stat.Uid == 0 {
		return nil
	}
	gid, uid := int(stat.Gid), int(stat.Uid)
	// In this order: without root the groups stay. Since Go 1.16 these are of all threads.
	for _, err := range []error{syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)} {
		if err != nil {
			return fmt.Errorf("becoming user %d, the owner of %s: %w", uid, path, err)
		}
	}
	return nil
}

// endIdle ends a source that nobody asks any more, and says what it leaves.
func endIdle(ctx context.Context, end func(), o SourceOptions, server *Server, local *Local) {
	if o.IdleEnd <= 0 {
		return
	}
	for {
		wait := o.IdleEnd - server.Idle()
		if wait <= 0 {
			break
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
	if o.Log != nil {
		s, err := local.Status(ctx)
		switch {
		case err == nil && len(s.Pinned) > 0:
			o.Log.Info("Ending, nobody asks any more; blocks stay pinned until they are let go of", "idle", o.IdleEnd.String(), "pinned", len(s.Pinned), "folder", local.o.PinFolder)
		default:
			o.Log.Info("Ending, nobody asks any more", "idle", o.IdleEnd.String())
		}
	}
	end()
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
