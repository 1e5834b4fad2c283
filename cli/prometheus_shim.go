package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/slipway-dev/slipway/migration/shim"
	"github.com/spf13/cobra"
)

type shimOptions struct {
	shim.RunOptions
	boundary string
}

// newPrometheusShimCommand builds slipway prometheus shim.
func newPrometheusShimCommand() *cobra.Command {
	var o shimOptions
	cmd := &cobra.Command{
		Use:   "shim",
		Short: "Answer a new server's remote_read from the old one",
		Long: `Stand between a new Prometheus server and the old one, so that the new one answers for the whole past from its first minute. The new server's
remote_read asks the shim; the shim asks the old server, and lets nothing through that is as young as the new server's own first sample (the boundary).
The boundary is read from the new server once, kept in --state, and never moves.

The old server's external labels are taken off. What the old server does not answer whole makes the query on the new one fail, not come back partial.
Both servers are only read. The shim runs until it is ended; GET /-/ready says whether it answers and, if not, why; GET /metrics counts.
Beyond loopback it needs --credentials, and the new server's remote_read the certificate of the folder target (server_name: slipway-source).`,
		Example: `  slipway prometheus shim --source http://old:9090 --target http://127.0.0.1:9090 --state /var/lib/slipway/shim.json

  remote_read:                             # in the new server's prometheus.yml
    - url: http://127.0.0.1:9798/api/v1/read
      read_recent: true
      filter_external_labels: false`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Source.URL, "source", "", "address of the old server, as in http://old:9090")
	serverFlags(f, "source-", " of the old server", &o.Source)
	f.StringVar(&o.Target.URL, "target", "", "address of the new server, as in http://127.0.0.1:9090")
	serverFlags(f, "target-", " of the new server", &o.Target)
	f.StringVar(&o.State, "state", "", "file that keeps the boundary; its folder is made where it is missing")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:9798", "host:port")
	f.StringVar(&o.Credentials, "credentials", "", "folder source of agent init; needed beyond loopback")
	f.StringVar(&o.boundary, "boundary", "", "set the boundary, as in 2026-11-22T12:00:00Z (default: the new server's first sample)")
	f.DurationVar(&o.Settle, "settle", 30*time.Second, "how long the new server's head must begin at the same time before that is the boundary; longer than a scrape")
	f.IntVar(&o.Parallel, "parallel", 4, "requests that the old server is asked at once")
	for _, name := range []string{"source", "target", "state"} {
		// It fails for a flag that does not exist only.
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (o *shimOptions) run(cmd *cobra.Command) error {
	if o.boundary != "" {
		at, err := time.Parse(time.RFC3339Nano, o.boundary)
		if err != nil || at.UnixMilli() <= 0 {
			return errors.New("--boundary is " + o.boundary + "; want a time as 2026-11-22T12:00:00Z")
		}
		o.Boundary = at.UnixMilli()
	}
	o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	o.Ready = func(a net.Addr) { fmt.Fprintf(cmd.ErrOrStderr(), "The shim listens at %s\n", a) }
	return shim.Run(cmd.Context(), o.RunOptions)
}
