package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/slipway-dev/slipway/search/lifecycle"
	"github.com/spf13/cobra"
)

type searchExplainOptions struct {
	lifecycleInput
	output string
}

// newSearchExplainCommand builds slipway search explain.
func newSearchExplainCommand() *cobra.Command {
	o := searchExplainOptions{}
	cmd := &cobra.Command{
		Use:   "explain INDEX... -f FILE",
		Short: "Tell where an index stands, what comes next, when, and which rule holds it",
		Long: `Explain shows the phases of an index by its policy: what was done, what is done now, what holds it and when that will be free, and when the rest is due.
Ages count from the end of the slot that the name says. Nothing is changed.`,
		Example: `  slipway search explain game-log-2026.11.07.06 -f logs.yaml --ledger ledger.jsonl
  slipway search explain game-log-2026.11.07.06 -f logs.yaml --from state.json -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), args) },
	}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "json", "yaml")
	return cmd
}

func (o *searchExplainOptions) run(ctx context.Context, out io.Writer, names []string) error {
	inputs, err := o.inputs(ctx)
	if err != nil {
		return err
	}
	var plans []*lifecycle.Plan
	for _, in := range inputs {
		in.Short = true
		p, err := lifecycle.Make(in)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	var found []*lifecycle.Standing
	for _, name := range names {
		s, p := standingOf(plans, name)
		if s == nil {
			return fmt.Errorf("%s is not in the cluster, or no policy of %s takes it", printable(name), o.file)
		}
		found = append(found, s)
		if o.output != "" {
			continue
		}
		for _, r := range p.Refusals {
			if !r.Overridden {
				fmt.Fprintf(out, "policy %s is refused by %s: %s\n", printable(p.Lifecycle), r.Rule, printable(r.Says))
			}
		}
		if err := lifecycle.Explain(out, s, p.At); err != nil {
			return err
		}
	}
	if o.output != "" {
		return printObject(out, o.output, found)
	}
	return nil
}

func standingOf(plans []*lifecycle.Plan, index string) (*lifecycle.Standing, *lifecycle.Plan) {
	for _, p := range plans {
		if s, ok := p.Of(index); ok {
			return s, p
		}
	}
	return nil, nil
}
