package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
)

func newLabDoctorCommand(opts *lab.Options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this host lacks for a lab and what its kernel can do; exits 1 when a lab cannot start",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := lab.Doctor(cmd.Context(), *opts)
			if err := printFindings(cmd.OutOrStdout(), output, findings); err != nil {
				return err
			}
			for _, finding := range findings {
				if finding.Severity == lab.Broken {
					return errors.New("a lab cannot start on this host")
				}
			}
			return nil
		},
	}
	outputFlag(cmd, &output, "json", "yaml")
	return cmd
}

func printFindings(out io.Writer, format string, findings []lab.Finding) error {
	if format == "json" || format == "yaml" {
		return printObject(out, format, findings)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "CHECK\tSTATE\tDETAIL\tMEND")
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Check, f.Severity, f.Detail, f.Mend)
	}
	return table.Flush()
}
