package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/volume"
	"github.com/spf13/cobra"
)

type rehearseOptions struct {
	// volume has the flags that both commands share: who measures, how much is needed, what may pass.
	volume   volumeOptions
	source   server.Options
	to       string
	except   []string
	reach    []string
	endpoint string
	from     sshHost
	timeout  time.Duration
}

// newPrometheusRehearseCommand builds slipway prometheus rehearse.
func newPrometheusRehearseCommand() *cobra.Command {
	o := rehearseOptions{source: server.Options{Name: "source", Pause: 10 * time.Millisecond, LatencyBudget: 2 * time.Second}}
	cmd := &cobra.Command{
		Use:   "rehearse DIR --source URL [-- FLAG...]",
		Short: "Say, where a new server will run and before it is there, whether it will work",
		Long: `Rehearse runs where the new server will run: in a pod that mounts its claim, or on its host. It measures the volume below DIR as the server's user,
scrapes every target of the old server once from here (without credentials), tries the way to the old server and to what stands beside it, holds the clocks
against each other, and looks whether the new server knows its flags: those behind --, else the old server's. What cannot be reached is listed by network and
port: the request to the people with the firewall. It writes at most 256 MiB into a directory of its own below DIR and takes them away again.

With --from-host it asks --endpoint, the address of the new server, from Grafana's host over SSH; without, it prints the command to type there.
With -o json the report is one line. A rule that refuses can be let pass by --override NAME, a job that may stay behind is named by --except.
Exit codes: 0 nothing stands in the way but warnings, 1 a rule refuses or could not be tried, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus rehearse /prometheus --source http://monitor:9090 -o json --quiet
  slipway prometheus rehearse /data/prometheus --uid 1000 --gid 1000 --groups 2000 --source http://monitor:9090 --reach agent=monitor:9797 --except snmp
  slipway prometheus rehearse /prometheus --source http://monitor:9090 --endpoint http://metrics:9090 --from-host ssh://ops@grafana --ssh-key ./key --known-hosts ./hosts
  slipway prometheus rehearse /prometheus --source http://monitor:9090 -- --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.retention.time=180d`,
		Args: func(cmd *cobra.Command, args []string) error {
			before := len(args)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				before = at
			}
			if before != 1 {
				return fmt.Errorf("want one directory, got %d", before)
			}
			return nil
		},
		ValidArgsFunction: completeDataDir,
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0], args[1:]) },
	}
	f := cmd.Flags()
	o.volume.addFlags(cmd, rehearsal.Rules())
	f.StringVar(&o.source.URL, "source", "", "address of the old server")
	serverFlags(f, "source-", " of the source", &o.source)
	f.DurationVar(&o.source.Timeout, "source-timeout", time.Minute, "longest wait for one answer of the source")
	f.StringVar(&o.to, "to", skew.Known().String(), "version of the new server")
	f.StringSliceVar(&o.except, "except", nil, "this job may stay behind; may be repeated")
	f.StringSliceVar(&o.reach, "reach", nil, "try this way, too: [NAME=]HOST:PORT, such as agent=monitor:9797; may be repeated")
	f.StringVar(&o.endpoint, "endpoint", "", "address at which Grafana will ask the new server")
	o.from.addFlags(f, "from-host", "host that has to reach --endpoint, such as Grafana's")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "longest wait for one target or way")
	// These fail for a flag that does not exist only.
	_ = cmd.MarkFlagRequired("source")
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.NoFileCompletions)
	return cmd
}

func (o *rehearseOptions) run(cmd *cobra.Command, dir string, args []string) error {
	options, size, err := o.options()
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if options.Source, err = server.New(o.source); err != nil {
		return &usageError{err}
	}
	defer options.Source.Close()
	options.Args = args
	options.Measure = func(context.Context) (*volume.Report, error) { return o.volume.measure(cmd, dir, size) }
	if o.from.url != "" {
		host, err := o.from.open()
		if err != nil {
			return err
		}
		defer host.Close()
		options.From, options.FromName = host, host.endpoint.Host
	}
	if !o.volume.quiet {
		options.Progress = func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), "Trying "+printable(what)) }
	}
	r, err := rehearsal.Run(cmd.Context(), options)
	if err != nil {
		return err
	}
	if err := printRehearsal(cmd.OutOrStdout(), o.volume.output, r); err != nil {
		return err
	}
	if r.Verdict.Stops() {
		return fmt.Errorf("rehearsing at %s: %s; --override NAME lets a rule pass", dir, r.Says)
	}
	return nil
}

// options reads the flags that can be wrong.
func (o *rehearseOptions) options() (rehearsal.Options, int64, error) {
	r := rehearsal.Options{Except: o.except, Endpoint: o.endpoint, Timeout: o.timeout, Override: o.volume.override}
	var size int64
	var err error
	if r.Need, size, err = o.volume.parse(rehearsal.Rules()); err != nil {
		return r, 0, err
	}
	if r.To, err = skew.ParseVersion(o.to); err != nil {
		return r, 0, &usageError{fmt.Errorf("--to: %w", err)}
	}
	if o.timeout <= 0 {
		return r, 0, &usageError{fmt.Errorf("--timeout %s: want more than nothing", o.timeout)}
	}
	if o.from.url != "" && o.endpoint == "" {
		return r, 0, &usageError{errors.New("--from-host needs --endpoint: the address that it has to reach")}
	}
	for _, text := range o.reach {
		name, address, named := strings.Cut(text, "=")
		if !named {
			name, address = text, text
		}
		if _, port, err := net.SplitHostPort(address); err != nil || port == "" || name == "" {
			return r, 0, &usageError{fmt.Errorf("--reach %s: want [NAME=]HOST:PORT", text)}
		}
		r.Ways = append(r.Ways, rehearsal.Way{Name: name, Address: address})
	}
	return r, size, nil
}

func printRehearsal(out io.Writer, format string, r *rehearsal.Report) error {
	switch format {
	case "json": // one line: it is read from the log of a pod
		return json.NewEncoder(out).Encode(r)
	case "":
	default:
		return printObject(out, format, r)
	}
	fmt.Fprintf(out, "%s\n\n", printable(r.Says))
	if err := printSurvey(out, r.Findings); err != nil {
		return err
	}
	if r.Reach == nil {
		return nil
	}
	if len(r.Reach.Gaps) > 0 {
		fmt.Fprintln(out, "\nTARGETS THAT DO NOT ANSWER HERE AS THEY ANSWER THE SOURCE")
		table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "KIND\tJOB\tADDRESS\tWHAT WAS SEEN")
		shown := map[survey.GapKind]int{}
		for _, g := range r.Reach.Gaps {
			if shown[g.Kind]++; shown[g.Kind] <= mostGaps {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", g.Kind, printable(g.Job), printable(g.URL), printable(cmp.Or(g.Error, "-")))
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
		for _, kind := range slices.Sorted(maps.Keys(r.Reach.Counts)) {
			if more := r.Reach.Counts[kind] - min(shown[kind], mostGaps); more > 0 {
				fmt.Fprintf(out, "%s: %d more\n", kind, more)
			}
		}
	}
	for _, e := range r.Reach.Exceptions {
		fmt.Fprintf(out, "%s stays behind: %s\n", printable(e.Job), printable(e.Consequence))
	}
	return printOpenings(out, "from here", r.Reach.Firewall)
}
