package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/spf13/cobra"
)

// newPrometheusBlocksCommand builds slipway prometheus blocks.
func newPrometheusBlocksCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "blocks DIR",
		Short: "List the blocks of a data directory",
		Long: `List the blocks of a Prometheus data directory (2.x and 3.x), oldest first, as their meta.json describes them, and whether every file is there.
The server may run. Nothing is written, and the chunks are not read: slipway prometheus scrub does that.

Verdicts: ok; damaged (what is wrong follows); unsupported (written by an unknown version); superseded and deletable (Prometheus will delete it).`,
		Example: `  slipway prometheus blocks /var/lib/prometheus
  slipway prometheus blocks /var/lib/prometheus -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := block.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			l, err := d.List()
			if err != nil {
				return err
			}
			return printBlocks(cmd.OutOrStdout(), output, l)
		},
	}
	outputFlag(cmd, &output, "json", "yaml")
	return cmd
}

func printBlocks(out io.Writer, format string, l *block.Listing) error {
	if format != "" {
		return printObject(out, format, l)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ULID\tFROM\tLENGTH\tSAMPLES\tSERIES\tCHUNKS\tSIZE\tLEVEL\tHINTS\tVERDICT")
	for _, b := range l.Blocks {
		if m := b.Meta; m != nil {
			s := m.Stats
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%d\t%s\t%s\n", b.Name, instant(m.MinTime), span(m.MaxTime-m.MinTime), s.NumSamples, s.NumSeries, s.NumChunks,
				size(b.Bytes), m.Compaction.Level, hints(m), b.Verdict)
			continue
		}
		fmt.Fprintf(table, "%s\t\t\t\t\t\t%s\t\t\t%s\n", b.Name, size(b.Bytes), b.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, b := range l.Blocks {
		if b.Damage != nil {
			fmt.Fprintf(out, "%s: %v\n  %s\n", b.Name, b.Damage, b.Damage.Do)
		}
		for _, note := range b.Notes {
			fmt.Fprintf(out, "%s: %s\n", b.Name, note)
		}
	}
	for _, s := range l.Strange {
		fmt.Fprintf(out, "%q: %s\n", s.Name, s.What)
	}
	return nil
}

// hints are quoted where they hold anything but what Prometheus writes.
func hints(m *block.Meta) string {
	var words []string
	for _, h := range m.Compaction.Hints {
		if strings.Trim(h, "abcdefghijklmnopqrstuvwxyz-") != "" {
			h = fmt.Sprintf("%.40q", h)
		}
		words = append(words, h)
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}
