package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/spf13/cobra"
)

type scrubOptions struct {
	block  string
	output string
	quiet  bool
}

// newPrometheusScrubCommand builds slipway prometheus scrub.
func newPrometheusScrubCommand() *cobra.Command {
	var o scrubOptions
	cmd := &cobra.Command{
		Use:   "scrub DIR",
		Short: "Check every byte of the blocks of a data directory",
		Long: `Scrub reads every block of a Prometheus data directory (2.x and 3.x): it checks every sum of the index, of every chunk and of the tombstones, decodes
every series, list and sample, counts again what meta.json says, and looks for samples outside the block's time range. Prometheus itself looks
at a chunk only when a query needs it, so damage of old data stays unseen for months.

The server may run: nothing is written, and its page cache stays as it was. All damage is listed with file, place and what to do.
Exit codes: 0 all blocks are whole, 1 something is damaged or cannot be judged, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus scrub /var/lib/prometheus
  slipway prometheus scrub /var/lib/prometheus --block 01HGZ1Y2V8M3R9W0QK5T7N4C6B -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := block.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			return o.run(cmd.Context(), d, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	outputFlag(cmd, &o.output, "json", "yaml")
	cmd.Flags().StringVar(&o.block, "block", "", "scrub only this block")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("block", completeBlocks)
	return cmd
}

func (o *scrubOptions) run(ctx context.Context, d *block.Dir, out, progress io.Writer) error {
	names, err := o.names(d)
	if err != nil {
		return err
	}
	if o.quiet {
		progress = io.Discard
	}
	reports := make([]*block.Report, 0, len(names))
	bad := 0
	for i, name := range names {
		p := &scrubProgress{w: progress, what: fmt.Sprintf("%d/%d %s", i+1, len(names), name), start: time.Now(), last: time.Now()}
		r, err := d.Scrub(ctx, name, block.ScrubOptions{Progress: p.at})
		if err != nil {
			return err
		}
		p.end(r)
		if r.Verdict != block.OK && r.Verdict != block.Gone {
			bad++
		}
		reports = append(reports, r)
	}
	if err := printReports(out, o.output, reports); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("scrubbing %s: %d of %d blocks are damaged or cannot be judged", d.Path(), bad, len(names))
	}
	return nil
}

func (o *scrubOptions) names(d *block.Dir) ([]string, error) {
	if o.block != "" {
		return []string{o.block}, nil
	}
	l, err := d.List()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, b := range l.Blocks {
		names = append(names, b.Name)
	}
	return names, nil
}

// scrubProgress prints a line when a block is done, and one every ten seconds while it is not.
type scrubProgress struct {
	w           io.Writer
	what        string
	start, last time.Time
}

func (p *scrubProgress) at(done, total int64) {
	if time.Since(p.last) < 10*time.Second || total == 0 {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.w, "%s: %d %%, %s/s\n", p.what, done*100/total, size(int64(float64(done)/time.Since(p.start).Seconds())))
}

func (p *scrubProgress) end(r *block.Report) {
	took := time.Since(p.start)
	fmt.Fprintf(p.w, "%s: %s, %s in %s\n", p.what, r.Verdict, size(r.Bytes), took.Round(time.Millisecond))
}

func printReports(out io.Writer, format string, reports []*block.Report) error {
	if format != "" {
		return printObject(out, format, map[string]any{"blocks": reports})
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ULID\tSERIES\tCHUNKS\tSAMPLES\tSIZE\tVERDICT")
	for _, r := range reports {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\n", r.Name, r.Found.NumSeries, r.Found.NumChunks, r.Found.NumSamples, size(r.Bytes), r.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range reports {
		for _, d := range r.Damage {
			printDamage(out, r.Name, d)
		}
		if r.More > 0 {
			fmt.Fprintf(out, "%s: and %d more\n", r.Name, r.More)
		}
		for _, note := range r.Notes {
			fmt.Fprintf(out, "%s: %s\n", r.Name, note)
		}
	}
	return nil
}

func printDamage(out io.Writer, name string, d *block.Damage) {
	fmt.Fprintf(out, "%s/%v", name, d)
	if d.Count > 1 {
		fmt.Fprintf(out, ", and %d more behind it", d.Count-1)
	}
	if d.From != nil {
		fmt.Fprintf(out, " (samples from %s to %s)", instant(*d.From), instant(*d.To))
	}
	fmt.Fprintf(out, "\n  %s: %s\n", d.Kind, d.Do)
}
