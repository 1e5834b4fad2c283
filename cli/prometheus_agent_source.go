package cli

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

type agentSourceOptions struct {
	transfer.SourceOptions
	ceiling, keepFree bytesValue
}

// newPrometheusAgentSourceCommand builds slipway prometheus agent source.
func newPrometheusAgentSourceCommand() *cobra.Command {
	o := agentSourceOptions{keepFree: 1 << 30}
	cmd := &cobra.Command{
		Use:   "source DIR",
		Short: "Offer the blocks of a data directory",
		Long: `Offer the blocks of a Prometheus data directory to the holder of a certificate of agent init, until it is ended. The server may run: it is not touched,
nothing is written into its blocks, and its page cache stays as it was. Blocks that are asked for are pinned by hard links in DIR/slipway-pin.
Run it as the server's user, or as root.

The program has the lowest priority on this host, for the CPU and for the disk.
Reading is throttled: raised while nothing suffers, cut when the host's I/O pressure rises or the server's query (--server) is slower than when idle.
With --listen unix:PATH no certificates are needed: only the user of the socket may enter, and SSH forwards it (ssh -L /tmp/old.sock:PATH host).`,
		Example: `  slipway prometheus agent source /var/lib/prometheus --listen :9797 --credentials ./source --server http://127.0.0.1:9090
  slipway prometheus agent source /var/lib/prometheus --listen unix:/run/user/1000/blocks.sock --ceiling 50MiB`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Local.Data = args[0]
			o.Budget.Ceiling, o.Local.KeepFree = int64(o.ceiling), uint64(o.keepFree)
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			o.Ready = func(a net.Addr) { fmt.Fprintf(cmd.ErrOrStderr(), "%s is offered at %s\n", args[0], a) }
			if !o.FullSpeed {
				if err := transfer.Yield(); err != nil {
					return err
				}
			}
			return transfer.RunSource(cmd.Context(), o.SourceOptions)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "", "host:port, or unix:PATH")
	f.StringVar(&o.Credentials, "credentials", "", "folder source of agent init; not for unix:PATH")
	f.StringVar(&o.Local.PinFolder, "pin-folder", "", "where blocks are pinned (default DIR/slipway-pin)")
	f.BoolVar(&o.Local.Copy, "copy", false, "copy blocks where the file system has no hard links")
	f.Var(&o.keepFree, "keep-free", "drop the pin when less is free, as in 10GiB")
	f.Var(&o.ceiling, "ceiling", "most bytes per second, as in 50MiB; 0: none")
	f.BoolVar(&o.FullSpeed, "full-speed", false, "hold to the ceiling alone, whatever the host and the server suffer")
	f.Float64Var(&o.Budget.LatencyPercent, "latency-budget", 20, "percent by which the server's query may become slower")
	f.StringVar(&o.Server.URL, "server", "", "address of the running server, as in http://127.0.0.1:9090")
	serverFlags(f, "server-", " of the running server", &o.Server)
	f.StringVar(&o.Query, "query", "count(up)", "PromQL that is asked there once a second")
	// It fails for a flag that does not exist only.
	_ = cmd.MarkFlagRequired("listen")
	return cmd
}
