// Command slipway-agent is the small program that lands on the hosts of a Prometheus server: it offers blocks, or takes
// them, or answers the new server from the old one. It is what slipway prometheus agent source, pull and shim do, without the rest
// of slipway.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/shim"
	"github.com/slipway-dev/slipway/migration/transfer"
)

const usage = `slipway-agent source -data DIR -listen HOST:PORT -credentials DIR   offer the blocks of a data directory
slipway-agent target -from HOST:PORT -to DIR -credentials DIR       pull blocks into a data directory
slipway-agent shim -source URL -target URL -state FILE              answer the new server's remote_read from the old one

Use -h behind source, target or shim for the rest. Exit codes: 0 done, 1 it did not work, 2 wrong usage.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(*usageError)):
		fmt.Fprintf(os.Stderr, "slipway-agent: %v\n%s", err, usage)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "slipway-agent: %v\n", err)
		os.Exit(1)
	}
}

type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case "source":
		return source(ctx, args[1:], errs)
	case "target":
		return target(ctx, args[1:], out, errs)
	case "shim":
		return readShim(ctx, args[1:], errs)
	}
	return &usageError{fmt.Errorf("there is no command %q", word)}
}

// parse reads flags; all that are named in required must be there.
func parse(flags *flag.FlagSet, errs io.Writer, args []string, required ...string) error {
	flags.SetOutput(errs)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &usageError{err}
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Errorf("%q is no flag", flags.Arg(0))}
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return &usageError{fmt.Errorf("-%s is missing", name)}
		}
	}
	return nil
}

// serverFlags adds the flags that say where a server is and how it is reached.
func serverFlags(flags *flag.FlagSet, name, usage string, o *server.Options) {
	flags.StringVar(&o.URL, name, "", usage)
	flags.StringVar(&o.User, name+"-user", "", "user for basic authentication there")
	flags.StringVar(&o.PasswordFile, name+"-password-file", "", "file with the password")
	flags.StringVar(&o.TokenFile, name+"-token-file", "", "file with a bearer token for it")
	flags.StringVar(&o.CAFile, name+"-ca-file", "", "file with the authorities of its certificate")
}

func source(ctx context.Context, args []string, errs io.Writer) error {
	var o transfer.SourceOptions
	flags := flag.NewFlagSet("slipway-agent source", flag.ContinueOnError)
	flags.StringVar(&o.Local.Data, "data", "", "data directory of the server")
	flags.StringVar(&o.Listen, "listen", "", "host:port, or unix:PATH for SSH to forward")
	flags.StringVar(&o.Credentials, "credentials", "", "folder source of slipway prometheus agent init; not for unix:")
	flags.StringVar(&o.Local.PinFolder, "pin-folder", "", "where blocks are pinned (default: slipway-pin in the data directory)")
	flags.BoolVar(&o.Local.Copy, "copy", false, "copy blocks that cannot be linked")
	flags.Uint64Var(&o.Local.KeepFree, "keep-free", 1<<30, "bytes that must stay free; with less the pin is dropped")
	flags.Int64Var(&o.Budget.Ceiling, "ceiling", 0, "most bytes per second; 0: none")
	flags.BoolVar(&o.FullSpeed, "full-speed", false, "hold to the ceiling alone, whatever the host and the server suffer")
	flags.Float64Var(&o.Budget.LatencyPercent, "latency-budget", 20, "percent by which the server's query may be slower than idle")
	serverFlags(flags, "server", "address of the server, whose query latency holds the transfer", &o.Server)
	flags.StringVar(&o.Query, "query", "", "PromQL that is asked there (default: count(up))")
	flags.BoolVar(&o.AsOwner, "as-owner", false, "as root: become the owner of the data directory once the socket is there")
	flags.DurationVar(&o.IdleEnd, "idle", 0, "end when nobody asked anything for so long; 0: never")
	if err := parse(flags, errs, args, "data", "listen"); err != nil {
		return err
	}
	o.Log = slog.New(slog.NewTextHandler(errs, nil))
	o.Ready = func(a net.Addr) { o.Log.Info("Source ready", "address", a.String(), "data", o.Local.Data) }
	if !o.FullSpeed {
		if err := transfer.Yield(); err != nil {
			return err
		}
	}
	return transfer.RunSource(ctx, o)
}

func target(ctx context.Context, args []string, out, errs io.Writer) error {
	var o transfer.MoveOptions
	var only string
	flags := flag.NewFlagSet("slipway-agent target", flag.ContinueOnError)
	flags.StringVar(&o.From, "from", "", "host:port, unix:PATH, or a directory")
	flags.StringVar(&o.To, "to", "", "data directory")
	flags.StringVar(&o.Credentials, "credentials", "", "folder target of slipway prometheus agent init")
	flags.BoolVar(&o.Still, "still", false, "no server runs in the directory -from: pin nothing")
	serverFlags(flags, "source-server", "address of the server that runs in the directory -from; reads slow down when its queries do", &o.SourceServer)
	flags.StringVar(&only, "blocks", "", "names of blocks, with commas (default: all)")
	flags.StringVar(&o.Pull.Seed, "seed", "", "data directory that may hold a part of the same")
	flags.IntVar(&o.Pull.Parallel, "parallel", 4, "pieces that travel at once")
	flags.Uint64Var(&o.Pull.KeepFree, "keep-free", 0, "bytes that must stay free on the target")
	flags.DurationVar(&o.Pull.Patience, "patience", 10*time.Minute, "how long the source may be silent")
	flags.Int64Var(&o.Ceiling, "ceiling", 0, "most bytes per second; 0: none")
	flags.BoolVar(&o.Install, "install", false, "install what was pulled")
	serverFlags(flags, "server", "address of the server that runs in -to", &o.Server)
	flags.BoolVar(&o.KeepPin, "keep-pin", false, "leave the blocks pinned on the source")
	if err := parse(flags, errs, args, "from", "to"); err != nil {
		return err
	}
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	last := time.Now()
	o.Pull.Progress = func(p transfer.Progress) {
		if time.Since(last) < 10*time.Second {
			return
		}
		last = time.Now()
		log.Info("Pulling", "blocksDone", p.BlocksDone, "blocks", p.Blocks, "bytesDone", p.BytesDone, "bytesTotal", p.BytesTotal,
			"bytesPerSecond", p.BytesPerSecond, "etaSeconds", p.ETASeconds, "limitedBy", string(p.LimitedBy))
	}
	o.Installed = func(s transfer.Step) { log.Info("Block installed", "block", s.Block) }
	moved, err := transfer.Move(ctx, o)
	if moved == nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := errors.Join(err, encoder.Encode(moved)); err != nil {
		return err
	}
	return moved.Refused()
}

func readShim(ctx context.Context, args []string, errs io.Writer) error {
	var o shim.RunOptions
	flags := flag.NewFlagSet("slipway-agent shim", flag.ContinueOnError)
	serverFlags(flags, "source", "address of the old server", &o.Source)
	serverFlags(flags, "target", "address of the new server", &o.Target)
	flags.StringVar(&o.State, "state", "", "file that keeps the boundary; its folder must exist")
	flags.StringVar(&o.Listen, "listen", "127.0.0.1:9798", "host:port; beyond loopback with -credentials")
	flags.StringVar(&o.Credentials, "credentials", "", "folder source of slipway prometheus agent init")
	flags.Int64Var(&o.Boundary, "boundary", 0, "Unix milliseconds; 0: the first sample of the new server")
	flags.DurationVar(&o.Settle, "settle", 30*time.Second, "how long the new server's head must begin at the same time before that is the boundary")
	flags.IntVar(&o.Parallel, "parallel", 4, "requests that the old server is asked at once")
	if err := parse(flags, errs, args, "source", "target", "state"); err != nil {
		return err
	}
	o.Log = slog.New(slog.NewTextHandler(errs, nil))
	o.Ready = func(a net.Addr) { o.Log.Info("Shim listens", "address", a.String()) }
	return shim.Run(ctx, o)
}
