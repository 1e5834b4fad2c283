package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/replica"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/spf13/cobra"
)

type preflightOptions struct {
	source, target server.Options
	replica        server.Options
	coverage       survey.CoverageOptions
	free           bytesValue
	override       []string
	output         string
	quiet          bool
}

// preflight is what the command prints.
type preflight struct {
	Verdict  survey.Verdict        `json:"verdict"`
	Findings []survey.Finding      `json:"findings"`
	Coverage survey.CoverageReport `json:"coverage"`
	Source   *survey.Observation   `json:"source"`
	Target   *survey.Observation   `json:"target"`
}

// newPrometheusPreflightCommand builds slipway prometheus preflight.
func newPrometheusPreflightCommand() *cobra.Command {
	o := preflightOptions{}
	cmd := &cobra.Command{
		Use:   "preflight --source URL --target URL",
		Short: "Say what speaks against moving one server to another",
		Long: `Preflight asks the old and the new Prometheus server what they are and what they scrape, and judges the move by named rules: versions, retention as the new
server really has it, block durations, labels, alerts and remote_write that must be off, clocks, capacity, rules. It compares what both scrape, target by target,
and lists what the new server cannot reach by network and port: the request to the people with the firewall. Both servers are only read.

A rule that refuses can be switched off by --override NAME, but for those that would lose data for certain. A job that may stay behind is named by --except.
Exit codes: 0 nothing speaks against the move but warnings, 1 a rule refuses it or a server does not answer, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus preflight --source http://monitor:9090 --target http://new:9090
  slipway prometheus preflight --source http://monitor:9090 --target http://new:9090 --wait 5m --except snmp --free 900GiB -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	for _, side := range []struct {
		name   string
		server *server.Options
	}{{"source", &o.source}, {"target", &o.target}} {
		*side.server = server.Options{Name: side.name, Pause: 10 * time.Millisecond, LatencyBudget: 2 * time.Second}
		f.StringVar(&side.server.URL, side.name, "", "address of the "+side.name)
		serverFlags(f, side.name+"-", " of the "+side.name, side.server)
		f.DurationVar(&side.server.Timeout, side.name+"-timeout", time.Minute, "longest wait for one answer of the "+side.name)
		// These fail for a flag that does not exist only.
		_ = cmd.MarkFlagRequired(side.name)
		_ = cmd.RegisterFlagCompletionFunc(side.name, cobra.NoFileCompletions)
	}
	o.replica = server.Options{Name: "replica", Timeout: time.Minute, Pause: 10 * time.Millisecond, LatencyBudget: 2 * time.Second}
	f.StringVar(&o.replica.URL, "replica", "", "address of a second old server that scrapes the same, where both are to be moved as one")
	serverFlags(f, "replica-", " of the replica", &o.replica)
	f.IntVar(&o.coverage.Scrapes, "scrapes", 3, "how many scrapes of each target have to agree")
	f.DurationVar(&o.coverage.Wait, "wait", 0, "how long to wait until both scrape the same, such as after a start of the target")
	f.StringSliceVar(&o.coverage.Except, "except", nil, "this job may stay behind; may be repeated")
	f.Var(&o.free, "free", "what is free on the target's volume, as in 900GiB")
	f.StringSliceVar(&o.override, "override", nil, "switch off this rule; may be repeated")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	_ = cmd.RegisterFlagCompletionFunc("override", cobra.FixedCompletions(survey.Overridable(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *preflightOptions) run(cmd *cobra.Command) error {
	for _, name := range o.override {
		if !slices.Contains(append(survey.Overridable(), replica.RuleOneScrape), name) {
			return &usageError{fmt.Errorf("--override %s: there is no such rule that can be switched off; choose from %s", name, strings.Join(survey.Overridable(), ", "))}
		}
	}
	if o.coverage.Scrapes < 1 {
		return &usageError{fmt.Errorf("--scrapes %d: want 1 at least", o.coverage.Scrapes)}
	}
	var err error
	if o.coverage.Source, err = server.New(o.source); err != nil {
		return &usageError{err}
	}
	defer o.coverage.Source.Close()
	if o.coverage.Target, err = server.New(o.target); err != nil {
		return &usageError{err}
	}
	defer o.coverage.Target.Close()
	result, err := o.look(cmd)
	if err != nil {
		return err
	}
	if err := result.print(cmd.OutOrStdout(), o.output); err != nil {
		return err
	}
	if !result.Verdict.Stops() {
		return nil
	}
	stops := 0
	for _, f := range result.Findings {
		if f.Verdict.Stops() {
			stops++
		}
	}
	return fmt.Errorf("moving %s to %s: %d of %d rules stand in the way", o.coverage.Source.URL(), o.coverage.Target.URL(), stops, len(result.Findings))
}

// look asks again and again for as long as is waited at all: a server may have just been started, and its name not be known everywhere yet.
func (o *preflightOptions) look(cmd *cobra.Command) (*preflight, error) {
	ctx, until := cmd.Context(), time.Now().Add(o.coverage.Wait)
	for {
		r, err := o.once(cmd)
		if err == nil || ctx.Err() != nil || time.Now().After(until) {
			return r, err
		}
		if !o.quiet {
			fmt.Fprintln(cmd.ErrOrStderr(), "Waiting: "+printable(err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (o *preflightOptions) once(cmd *cobra.Command) (*preflight, error) {
	ctx := cmd.Context()
	p := survey.Pair{FreeBytes: int64(o.free)}
	var err error
	if p.Source, err = survey.Observe(ctx, o.coverage.Source); err != nil {
		return nil, err
	}
	if p.Target, err = survey.Observe(ctx, o.coverage.Target); err != nil {
		return nil, err
	}
	if !o.quiet {
		said := ""
		o.coverage.Progress = func(what string) {
			if what != said {
				fmt.Fprintln(cmd.ErrOrStderr(), "Waiting: "+printable(what))
				said = what
			}
		}
	}
	r := &preflight{Source: p.Source, Target: p.Target}
	if p.Comparable() {
		if r.Coverage, err = survey.NewCoverage(o.coverage).Check(ctx); err != nil {
			return nil, err
		}
		p.Coverage = &r.Coverage
	}
	r.Findings = survey.Judge(p, o.override)
	if o.replica.URL != "" {
		second, err := server.New(o.replica)
		if err != nil {
			return nil, &usageError{err}
		}
		defer second.Close()
		pair, err := judgePair(ctx, o.coverage.Source, second, o.override)
		if err != nil {
			return nil, err
		}
		r.Findings = append(r.Findings, pair...)
	}
	r.Verdict = survey.Worst(r.Findings)
	return r, nil
}

func (r *preflight) print(out io.Writer, format string) error {
	if format != "" {
		return printObject(out, format, r)
	}
	if err := printSurvey(out, r.Findings); err != nil {
		return err
	}
	return printCoverage(out, r.Coverage)
}

// mostGaps is how many targets of a kind are printed; -o json has all.
const mostGaps = 20

func printCoverage(out io.Writer, c survey.CoverageReport) error {
	if len(c.Jobs) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "JOB\tON THE SOURCE\tON THE TARGET\tEQUAL")
	for _, j := range c.Jobs {
		note := ""
		if j.Except {
			note = " (may stay behind)"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d%s\n", printable(j.Job), j.Source, j.Target, j.Equal, note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	kinds := map[survey.GapKind]int{}
	for _, g := range c.Gaps {
		if kinds[g.Kind]++; kinds[g.Kind] > mostGaps {
			continue
		}
		why := g.Error
		if g.Kind == survey.Differs {
			why = fmt.Sprintf("%.0f samples on the source, %.0f on the target", g.SourceSamples, g.TargetSamples)
		}
		fmt.Fprintf(out, "%s %s %s %s\n", g.Kind, printable(g.URL), printable(g.Labels), printable(why))
	}
	for _, kind := range []survey.GapKind{survey.Missing, survey.Unreachable, survey.Failing, survey.Differs, survey.Waiting, survey.DownOnBoth, survey.Extra, survey.Itself} {
		if n := kinds[kind] - mostGaps; n > 0 {
			fmt.Fprintf(out, "%s: %d more, -o json lists them\n", kind, n)
		}
	}
	for _, e := range c.Exceptions {
		fmt.Fprintf(out, "%s stays behind: %s\n", printable(e.Job), printable(e.Consequence))
	}
	return printOpenings(out, "for the target", c.Firewall)
}

// printOpenings prints the request to the people with the firewall.
func printOpenings(out io.Writer, from string, openings []survey.Opening) error {
	if len(openings) == 0 {
		return nil
	}
	fmt.Fprintf(out, "\nTO BE OPENED %s, TCP\n", from)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NETWORK\tPORT\tADDRESSES\tJOBS\tNOW")
	for _, o := range openings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(o.Network), printable(o.Port), printable(strings.Join(o.Addresses, ",")), printable(strings.Join(o.Jobs, ",")), printable(o.Error))
	}
	return table.Flush()
}
