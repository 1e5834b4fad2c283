package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/spf13/cobra"
)

type proofOptions struct {
	source, target             server.Options
	sourceBlocks, targetBlocks string
	dashboards                 string
	seam, from, to             string
	samples, windows           int
	window, seamSpan           time.Duration
	seed                       uint64
	report, output             string
	quiet                      bool
	leftBehind                 []string
}

// newPrometheusProofCommand builds slipway prometheus proof.
func newPrometheusProofCommand() *cobra.Command {
	var o proofOptions
	cmd := &cobra.Command{
		Use:   "proof --source URL --target URL",
		Short: "Compare two servers, sample by sample",
		Long: `Proof compares two Prometheus servers through their HTTP API and says whether the target holds what the source holds: series, counts, random samples
bit by bit (stale markers, NaNs and native histograms included), the seam where the target began to scrape by itself, and the queries of rules and dashboards.
A warning, a partial answer and an answer that does not come mean that nothing is proved. Both servers are only read, one request at a time.

Blocks are compared when both inventories are given, as slipway prometheus blocks DIR -o json prints them. Without --seam the target is taken for a copy of the source.
Exit codes: 0 proved, 1 different or not everything could be seen, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus proof --source http://monitor:9090 --target http://new:9090 --seam 2026-11-22T14:05:00Z --report proof.html
  slipway prometheus proof --source http://monitor:9090 --target http://new:9090 --samples 2000 --seed 42 -o json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	outputFlag(cmd, &o.output, "json", "yaml")
	o.flags(cmd)
	return cmd
}

func (o *proofOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, side := range []struct {
		name   string
		server *server.Options
	}{{"source", &o.source}, {"target", &o.target}} {
		s, of := side.server, " of the "+side.name
		s.Name = side.name
		f.StringVar(&s.URL, side.name, "", "address"+of)
		serverFlags(f, side.name+"-", of, s)
		f.DurationVar(&s.Timeout, side.name+"-timeout", time.Minute, "longest wait for one answer"+of)
		f.DurationVar(&s.Pause, side.name+"-pause", 10*time.Millisecond, "pause after each answer"+of)
		f.DurationVar(&s.LatencyBudget, side.name+"-latency-budget", 2*time.Second, "an answer that takes longer is followed by a pause as long as the excess"+of)
		// These fail for a flag that does not exist only.
		_ = cmd.MarkFlagRequired(side.name)
		_ = cmd.RegisterFlagCompletionFunc(side.name, cobra.NoFileCompletions)
	}
	f.StringVar(&o.seam, "seam", "", "when the target began to scrape: its first head minimum, as 2026-11-22T14:05:00Z or in milliseconds")
	f.DurationVar(&o.seamSpan, "seam-span", 30*time.Minute, "how far to look on either side of the seam")
	f.StringVar(&o.from, "from", "", "begin of the history to compare (default the source's oldest sample)")
	f.StringVar(&o.to, "to", "", "end of the history to compare (default the seam, or the end of the shorter head)")
	f.IntVar(&o.samples, "samples", 200, "how many random pairs of a series and a window to compare bit by bit")
	f.IntVar(&o.windows, "windows", 4, "in how many windows to compare series and counts")
	f.DurationVar(&o.window, "window", time.Hour, "length of a window")
	f.Uint64Var(&o.seed, "seed", 0, "choose what an earlier proof chose; 0 chooses anew")
	f.StringVar(&o.sourceBlocks, "source-blocks", "", "file with the source's blocks, as slipway prometheus blocks -o json prints them")
	f.StringVar(&o.targetBlocks, "target-blocks", "", "file with the target's blocks")
	f.StringVar(&o.dashboards, "dashboards", "", "directory with dashboards of Grafana as JSON")
	f.StringVar(&o.report, "report", "", "write a page for people to this file")
	f.StringSliceVar(&o.leftBehind, "left-behind", nil, "job that the target need not scrape: its series may end behind the seam; may be repeated")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	cmd.MarkFlagsRequiredTogether("source-blocks", "target-blocks")
	_ = cmd.MarkFlagDirname("dashboards")
	_ = cmd.MarkFlagFilename("report", "html")
}

func (o *proofOptions) run(ctx context.Context, out, progress io.Writer) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	defer options.Source.Close()
	defer options.Target.Close()
	if o.quiet {
		progress = io.Discard
	}
	if options.Seam != 0 {
		options.LeftBehind = leftBehind(ctx, progress, options.LeftBehind, options.Source, options.Target)
	}
	fmt.Fprintf(progress, "Seed %d\n", options.Seed)
	options.Progress = (&proofProgress{w: progress, last: time.Now()}).at
	r, err := proof.Run(ctx, *options)
	if err != nil {
		return fmt.Errorf("comparing %s with %s: %w", o.target.URL, o.source.URL, err)
	}
	if o.report != "" {
		if err := writePage(o.report, r); err != nil {
			return err
		}
	}
	if err := printProof(out, o.output, r); err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("comparing %s with %s: %w", o.target.URL, o.source.URL, err)
	}
	return nil
}

// options turns the command line into what the engine takes. A time or an address that does not make sense is wrong usage.
func (o *proofOptions) options() (*proof.Options, error) {
	p := &proof.Options{Samples: o.samples, Windows: o.windows, Window: o.window, SeamSpan: o.seamSpan, Seed: o.seed, LeftBehind: o.leftBehind}
	if p.Seed == 0 {
		p.Seed = uint64(rand.Uint32()) // fits every reader of JSON
	}
	for _, t := range []struct {
		flag, text string
		into       *int64
	}{{"seam", o.seam, &p.Seam}, {"from", o.from, &p.From}, {"to", o.to, &p.To}} {
		var err error
		if *t.into, err = parseInstant(t.text); err != nil {
			return nil, &usageError{fmt.Errorf("--%s: %w", t.flag, err)}
		}
	}
	var err error
	if p.SourceBlocks, err = readListing(o.sourceBlocks); err != nil {
		return nil, err
	}
	if p.TargetBlocks, err = readListing(o.targetBlocks); err != nil {
		return nil, err
	}
	if p.Dashboards, err = readDashboards(o.dashboards); err != nil {
		return nil, err
	}
	if p.Source, err = proof.NewServer(o.source); err != nil {
		return nil, &usageError{err}
	}
	if p.Target, err = proof.NewServer(o.target); err != nil {
		return nil, &usageError{err}
	}
	return p, nil
}

// leftBehind adds jobs by which the source scrapes itself alone: no other server can go on with them. Where that cannot be found out
// the proof tells what is missing.
func leftBehind(ctx context.Context, progress io.Writer, named []string, source, target *proof.Server) []string {
	own, err := survey.OwnJobs(ctx, source.Client, target.Client)
	if err != nil {
		fmt.Fprintf(progress, "By which jobs the old server scrapes itself is not known: %v\n", err)
	}
	return slices.Concat(named, own)
}

// parseInstant reads a time as people or as Prometheus write it; empty is 0.
func parseInstant(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time: write 2026-11-22T14:05:00Z, or milliseconds since 1970", text)
	}
	return t.UnixMilli(), nil
}

func readListing(path string) (*block.Listing, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading an inventory: %w", err)
	}
	var l block.Listing
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("reading the inventory %s: %w", path, err)
	}
	return &l, nil
}

// readDashboards reads every .json below a directory.
func readDashboards(dir string) ([]proof.Dashboard, error) {
	if dir == "" {
		return nil, nil
	}
	var all []proof.Dashboard
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, proof.Dashboard{Name: strings.TrimPrefix(path, filepath.Clean(dir)+"/"), JSON: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading dashboards: %w", err)
	}
	return all, nil
}

// writePage leaves no half a page behind.
func writePage(path string, r *proof.Report) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := r.WritePage(f); err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// proofProgress prints a line when a check begins, and one every ten seconds while it goes on.
type proofProgress struct {
	w    io.Writer
	last time.Time
}

func (p *proofProgress) at(check string, done, total int) {
	switch {
	case total == 0:
		fmt.Fprintf(p.w, "Checking %s\n", check)
	case time.Since(p.last) < 10*time.Second:
		return
	default:
		fmt.Fprintf(p.w, "%s: %d of %d\n", check, done, total)
	}
	p.last = time.Now()
}

func printProof(out io.Writer, format string, r *proof.Report) error {
	if format != "" {
		return printObject(out, format, r)
	}
	fmt.Fprintf(out, "%s: %s\n\n", r.Verdict, r.Summary)
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "CHECK\tVERDICT\tFOUND")
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Name, c.Verdict, c.Summary)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range r.Checks {
		printCheck(out, c)
	}
	fmt.Fprintln(out, "\nNot checked:")
	for _, n := range r.NotChecked {
		fmt.Fprintf(out, "  %s: %s\n", n.What, n.Why)
	}
	return nil
}

func printCheck(out io.Writer, c *proof.Check) {
	if len(c.Findings)+len(c.Timings) > 0 {
		fmt.Fprintf(out, "\n%s:\n", c.Name)
	}
	for _, f := range c.Findings {
		fmt.Fprintf(out, "  %s: %s", f.Kind, f.What)
		if f.Time != nil {
			fmt.Fprintf(out, " at %s", time.UnixMilli(*f.Time).UTC().Format("2006-01-02T15:04:05.000Z"))
		}
		for _, part := range []struct{ name, text string }{{"source", f.Source}, {"target", f.Target}, {"", f.Text}} {
			if part.text != "" {
				fmt.Fprintf(out, "; %s", strings.TrimPrefix(part.name+" "+part.text, " "))
			}
		}
		fmt.Fprintln(out)
	}
	if c.More > 0 {
		fmt.Fprintf(out, "  and %d more\n", c.More)
	}
	for _, t := range c.Timings {
		fmt.Fprintf(out, "  %s: source %s, at most %s; target %s, at most %s\n", t.Query, seconds(t.SourceP50), seconds(t.SourceMax), seconds(t.TargetP50), seconds(t.TargetMax))
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
