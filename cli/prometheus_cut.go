package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

type cutOptions struct {
	block.CutOptions
	at, until, keep, output string
	without                 block.Without
	withoutBlocks, lacking  string
}

// newPrometheusCutCommand builds slipway prometheus cut.
func newPrometheusCutCommand() *cobra.Command {
	var o cutOptions
	cmd := &cobra.Command{
		Use:   "cut DIR BLOCK",
		Short: "Write one side of a block as a new block",
		Long: `Write the samples of a block before or after a time as a new block, below --to. The block is scrubbed before, the piece after; samples stay bit
for bit. The block itself is not changed. The piece lies in slipway-cut-<ULID>, which no server takes for a block: rename it to its ULID to install it.

With --without the piece leaves out what another data directory has: --lacking gaps leaves, per series, the samples before the first that the other
directory has since --without-from, and those in its gaps of two intervals and more; absent leaves all at times at which it has none. So a piece can lie
beside another server's own samples.
The index's symbols are held in memory, some percent of its size.
Exit codes: 0 a piece was written, 1 it did not work, 2 wrong usage, 3 the piece would be empty, 4 there is no room for it, 130 interrupted.`,
		Example: `  slipway prometheus cut /prometheus 01HGZ1Y2V8M3R9W0QK5T7N4C6B --at 2026-11-22T14:05:00Z --keep before --to /prometheus/staging
  slipway prometheus cut /old 01HGZ1Y2V8M3R9W0QK5T7N4C6B --at 2026-11-22T14:05:00Z --keep after --to /new/staging --without /new --lacking gaps`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Block = args[1]
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	f.StringVar(&o.at, "at", "", "where to cut, as 2026-11-22T14:05:00Z or in milliseconds")
	f.StringVar(&o.until, "until", "", "end the piece here (default: where the block ends)")
	f.StringVar(&o.keep, "keep", "", "which side: before or after")
	f.StringVar(&o.Staging, "to", "", "folder that gets the piece, on the file system of the data directory")
	f.StringVar(&o.without.Dir, "without", "", "leave out what this data directory has")
	f.StringVar(&o.withoutBlocks, "without-blocks", "", "look at these of its blocks alone, with commas (default: all)")
	f.Int64Var(&o.without.From, "without-from", 0, "since when its samples count, in milliseconds (default: since the piece begins)")
	f.Int64Var(&o.without.Until, "without-until", 0, "where a gap ends behind which it has nothing, in milliseconds (default: where the piece ends)")
	f.StringVar(&o.lacking, "lacking", string(block.Gaps), "what of a series the other directory lacks: gaps or absent")
	for _, name := range []string{"at", "keep", "to"} {
		// It fails for a flag that does not exist only.
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func (o *cutOptions) run(ctx context.Context, dir string, out io.Writer) error {
	if err := o.complete(); err != nil {
		return err
	}
	s, err := move.InProcess{}.Cut(ctx, dir, o.CutOptions)
	if errors.Is(err, block.ErrNothingLeft) {
		return &commandError{move.NothingLeft, err}
	}
	if full := (*transfer.NoSpaceError)(nil); errors.As(err, &full) {
		return &commandError{move.NoRoom, err}
	}
	if err != nil {
		return err
	}
	if o.output != "" {
		return printObject(out, o.output, s)
	}
	for _, g := range s.Filled {
		fmt.Fprintf(out, "fills a gap from %s to %s with %d samples\n", instant(g.From), instant(g.To), g.Samples)
	}
	_, err = fmt.Fprintf(out, "%s: %d samples of %d series from %s to %s\n", s.Folder, s.Meta.Stats.NumSamples, s.Meta.Stats.NumSeries, instant(s.Meta.MinTime), instant(s.Meta.MaxTime))
	return err
}

// complete turns the command line into what the engine takes.
func (o *cutOptions) complete() (err error) {
	if o.At, err = parseInstant(o.at); err != nil {
		return &usageError{fmt.Errorf("--at: %w", err)}
	}
	if o.Until, err = parseInstant(o.until); err != nil {
		return &usageError{fmt.Errorf("--until: %w", err)}
	}
	o.Keep = block.Side(o.keep)
	if o.Keep != block.Before && o.Keep != block.After {
		return &usageError{fmt.Errorf("--keep: %q is no side: before or after", o.keep)}
	}
	if o.without.Dir == "" {
		return nil
	}
	o.without.Lacking = block.Lacking(o.lacking)
	if o.withoutBlocks != "" {
		o.without.Blocks = strings.Split(o.withoutBlocks, ",")
		o.Without = &o.without
		return nil
	}
	d, err := block.Open(o.without.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // it was only read
	list, err := d.List()
	if err != nil {
		return err
	}
	for _, e := range list.Blocks {
		if e.Verdict == block.OK {
			o.without.Blocks = append(o.without.Blocks, e.Name)
		}
	}
	o.Without = &o.without
	return nil
}
