package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/spf13/cobra"
)

type planOptions struct {
	server server.Options
	to     string
	rates  []string
	output string
}

// newPrometheusPlanCommand builds slipway prometheus plan.
func newPrometheusPlanCommand() *cobra.Command {
	o := planOptions{server: server.Options{Name: "source", Pause: 10 * time.Millisecond, LatencyBudget: 2 * time.Second}}
	cmd := &cobra.Command{
		Use:   "plan URL",
		Short: "Tell what moving a server means",
		Long: `Plan asks a Prometheus server some ten questions and tells what moving it means: what it is, how much it holds, how long that travels, what disk the new
server needs, when the two can be joined, what the newer version does differently with its configuration and rules, and the steps with what each waits for.
It only reads, and needs nothing but the server's HTTP API.

The configuration is looked at as the server prints it, without secrets. Dashboards and rule files themselves: slipway prometheus skew.
Exit codes: 0 the server can be moved, 1 it cannot or does not answer, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus plan http://monitor:9090
  slipway prometheus plan https://monitor:9090 --user ops --password-file ./password --rate 50MiB --rate 112MiB
  slipway prometheus plan http://monitor:9090 --to 3.16.0 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.server.URL = args[0]
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	serverFlags(f, "", "", &o.server)
	f.DurationVar(&o.server.Timeout, "timeout", time.Minute, "longest wait for one answer")
	f.StringVar(&o.to, "to", skew.Known().String(), "version of the new server")
	f.StringArrayVar(&o.rates, "rate", []string{"30MiB", "112MiB"}, "bytes per second that may travel; may be repeated")
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{skew.Known().String()}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *planOptions) run(cmd *cobra.Command) error {
	var options survey.PlanOptions
	var err error
	if options.To, err = skew.ParseVersion(o.to); err != nil {
		return &usageError{fmt.Errorf("--to: %w", err)}
	}
	for _, text := range o.rates {
		var rate bytesValue
		if err := rate.Set(text); err != nil || rate == 0 {
			return &usageError{fmt.Errorf("--rate %s: want bytes per second, as in 50MiB", text)}
		}
		options.Rates = append(options.Rates, int64(rate))
	}
	client, err := server.New(o.server)
	if err != nil {
		return &usageError{err}
	}
	defer client.Close()
	seen, err := survey.Observe(cmd.Context(), client)
	if err != nil {
		return err
	}
	plan, err := survey.NewPlan(seen, options)
	if err != nil {
		return err
	}
	if err := printPlan(cmd.OutOrStdout(), o.output, plan, options.To); err != nil {
		return err
	}
	if survey.Worst(plan.Findings).Stops() {
		return fmt.Errorf("%s cannot be moved as it is: see the findings", client.URL())
	}
	return nil
}

func printPlan(out io.Writer, format string, p *survey.Plan, to skew.Version) error {
	if format != "" {
		return printObject(out, format, p)
	}
	if p.Need.Total > 0 || len(p.Steps) > 0 {
		if err := printServer(out, p); err != nil {
			return err
		}
		printTakes(out, p)
		printSeam(out, p.Seam)
	} else {
		fmt.Fprintf(out, "%s, Prometheus %s\n", p.Source.URL, p.Source.Version)
	}
	fmt.Fprintln(out, "\nFINDINGS")
	if err := printSurvey(out, p.Findings); err != nil {
		return err
	}
	printPlanSkew(out, p, to)
	if len(p.Steps) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nSTEPS")
	for i, s := range p.Steps {
		fmt.Fprintf(out, "%2d %-12s %s\n   %-12s waits for: %s\n", i+1, s.Name, printable(s.Does), "", printable(s.WaitsOn))
		if s.Command != "" {
			fmt.Fprintf(out, "   %-12s $ %s\n", "", printable(s.Command))
		}
	}
	return nil
}

func printServer(out io.Writer, p *survey.Plan) error {
	s, st := p.Source, p.Source.Storage
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, a ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, printable(fmt.Sprintf(format, a...)))
	}
	row("SERVER", "%s, Prometheus %s, up since %s", s.URL, s.Version, s.StartedAt.Format("2006-01-02T15:04Z"))
	estimated := ""
	if st.WALEstimated {
		estimated = " (estimated)"
	}
	row("Data", "%s in %d blocks, log and head %s%s, in %s", size(st.BlockBytes), st.Blocks, size(st.WALBytes+st.HeadChunkBytes), estimated, s.Flags.DataDir)
	row("History", "%s, kept for %s", span(p.HistorySeconds*1000), s.Retention.Text)
	row("Blocks", "of %s up to %s", span(s.Flags.MinBlockSeconds*1000), span(s.Flags.MaxBlockSeconds*1000))
	row("Load", "%d series, %.0f samples/s", st.Series, st.SamplesPerSecond)
	down := 0
	for _, t := range s.Targets {
		if t.Health != "up" {
			down++
		}
	}
	row("Targets", "%d in %d jobs, %d of them not up", len(s.Targets), len(s.Config.Jobs), down)
	rules := 0
	for _, g := range s.Groups {
		rules += len(g.Rules)
	}
	row("Rules", "%d in %d groups", rules, len(s.Groups))
	row("Alerts to", "%s", listOr(s.Alertmanagers, "nobody"))
	row("Writes to", "%s", listOr(s.Config.RemoteWrite, "nobody"))
	row("Reads from", "%s", listOr(s.Config.RemoteRead, "nobody"))
	if s.Config.OutOfOrderMillis > 0 {
		row("Late samples", "up to %s, %d since its start", span(s.Config.OutOfOrderMillis), st.LateSamples)
	}
	if len(s.Config.Storage)+len(s.Flags.Features) > 0 {
		row("Features", "%s", listOr(append(append([]string{}, s.Flags.Features...), s.Config.Storage...), ""))
	}
	row("Open APIs", "%s", listOr(s.Flags.On, "none"))
	return table.Flush()
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

func printTakes(out io.Writer, p *survey.Plan) {
	n := p.Need
	fmt.Fprintf(out, "\nWHAT IT TAKES\nDisk on the target: %s free (blocks %s, the largest rewrite about %s, log and head %s, a fifth to spare); nothing on the old host: blocks are linked\n",
		size(n.Total), size(n.BlockBytes), size(n.LargestBlockBytes), size(n.HeadBytes))
	for _, t := range p.Takes {
		fmt.Fprintf(out, "Time at %s/s: %s\n", size(t.BytesPerSecond), span(t.Seconds*1000))
	}
}

func printSeam(out io.Writer, s survey.Seam) {
	at := func(t time.Time) string { return t.Format("2006-01-02T15:04Z") }
	fmt.Fprintln(out, "\nWHEN THE TWO CAN BE JOINED")
	if s.SourceCut.IsZero() {
		fmt.Fprintln(out, "The old server has no samples in its head: it scrapes nothing")
	} else {
		fmt.Fprintf(out, "The old server cuts its next block at about %s\n", at(s.SourceCut))
	}
	fmt.Fprintf(out, "A new one that starts at %s overlaps little: the old server's block up to %s is there at about %s,\nand the last piece can be installed when the new one has cut its first block, at about %s\n",
		at(s.Start), at(s.Boundary), at(s.SourceBlock), at(s.TargetCut))
}

func printSurvey(out io.Writer, findings []survey.Finding) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tVERDICT\tWHAT WAS SEEN")
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Rule, f.Verdict, printable(f.Says))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Fix != "" {
			fmt.Fprintf(out, "%s: %s\n", f.Rule, printable(f.Fix))
		}
	}
	return nil
}

// printPlanSkew lists what breaks, and counts the rest.
func printPlanSkew(out io.Writer, p *survey.Plan, to skew.Version) {
	if p.Skew == nil {
		return
	}
	fmt.Fprintf(out, "\nWHAT %v DOES DIFFERENTLY\nPlaces that break: %d, that differ: %d, to look at: %d (configuration and flags as the server tells them, expressions of rules: %d)\n", to,
		p.Skew.Count(skew.Breaks), p.Skew.Count(skew.Differs), p.Skew.Count(skew.Look), expressions(p.Skew))
	if len(p.Skew.Hops) > 1 {
		fmt.Fprintf(out, "It is two moves, by %v: only that reads what %v wrote if you have to go back\n", p.Skew.Hops[0].To, to)
	}
	for _, f := range p.Skew.Findings {
		if f.Severity == skew.Look {
			continue
		}
		where := f.Where
		if where == "" {
			where = "the server"
		}
		fmt.Fprintf(out, "%s %s, %s: %s\n    fix: %s\n", f.Severity, f.Rule, printable(where), printable(f.What), printable(f.Fix))
	}
	fmt.Fprintf(out, "All of it, with files and dashboards: slipway prometheus skew --from %v --to %v FILE|DIR\n", p.Skew.From, to)
}

func expressions(r *skew.Report) (n int) {
	for _, f := range r.Files {
		n += f.Expressions
	}
	return n
}
