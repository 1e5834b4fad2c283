package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	searchv1alpha1 "github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/lifecycle"
	"github.com/slipway-dev/slipway/search/manifest"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/spf13/cobra"
)

// newSearchLifecycleCommand builds slipway search lifecycle.
func newSearchLifecycleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lifecycle",
		Short: "What becomes of indices that are cut by time",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newSearchLifecyclePlanCommand())
	return cmd
}

// lifecycleInput is what the commands about lifecycles read.
type lifecycleInput struct {
	file, from, ledger, name string
}

func (o *lifecycleInput) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file with a SearchCluster and its IndexLifecycles")
	f.StringVar(&o.from, "from", "", "file with a recorded state; none asks the cluster at the endpoints of the SearchCluster")
	f.StringVar(&o.ledger, "ledger", "", "file with what was done and proved, one entry a line; none knows of nothing")
	f.StringVar(&o.name, "name", "", "name of one IndexLifecycle; none takes the only one, or every one")
	_ = cmd.MarkFlagRequired("file") // these fail for flags that do not exist only
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	_ = cmd.MarkFlagFilename("from", "json")
	_ = cmd.MarkFlagFilename("ledger", "jsonl")
}

// input is one policy with all that its plan needs.
func (o *lifecycleInput) inputs(ctx context.Context) ([]lifecycle.Input, error) {
	m, err := manifest.ReadFile(o.file)
	if err != nil {
		return nil, err
	}
	entries, err := readLedger(o.ledger)
	if err != nil {
		return nil, err
	}
	states := map[*searchv1alpha1.SearchCluster]*state.Cluster{}
	var all []lifecycle.Input
	for i := range m.Lifecycles {
		l := &m.Lifecycles[i]
		if o.name != "" && l.Name != o.name {
			continue
		}
		c := m.Cluster(l)
		if states[c] == nil {
			if states[c], err = o.look(ctx, c); err != nil {
				return nil, err
			}
		}
		all = append(all, lifecycle.Input{Cluster: c, Lifecycle: l, Others: m.Lifecycles, State: states[c], Ledger: entries, Now: states[c].TakenAt})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there is no IndexLifecycle %s in it", o.file, o.name)
	}
	return all, nil
}

// look is the recorded state, or one taken now.
func (o *lifecycleInput) look(ctx context.Context, c *searchv1alpha1.SearchCluster) (*state.Cluster, error) {
	if o.from != "" {
		return readState(o.from)
	}
	options := client.Options{Endpoints: c.Spec.Endpoints}
	if a := c.Spec.Auth; a != nil {
		if a.SecretName != "" {
			return nil, fmt.Errorf("SearchCluster %s: auth.secretName is of Kubernetes: give passwordFile or apiKeyFile in a file, or a recorded state with --from", c.Name)
		}
		options.User, options.PasswordFile, options.APIKeyFile = a.User, a.PasswordFile, a.APIKeyFile
	}
	if t := c.Spec.TLS; t != nil {
		if t.CASecretName != "" {
			return nil, fmt.Errorf("SearchCluster %s: tls.caSecretName is of Kubernetes: give caFile in a file, or a recorded state with --from", c.Name)
		}
		options.CAFile = t.CAFile
	}
	cl, err := client.New(options)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return cl.Observe(ctx)
}

func readLedger(name string) ([]ledger.Entry, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := ledger.ReadLines(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return entries, nil
}

type searchLifecyclePlanOptions struct {
	lifecycleInput
	was    string
	output string
	all    bool
}

// newSearchLifecyclePlanCommand builds slipway search lifecycle plan.
func newSearchLifecyclePlanCommand() *cobra.Command {
	o := searchLifecyclePlanOptions{}
	cmd := &cobra.Command{
		Use:   "plan -f FILE",
		Short: "Show what a policy means, what it would do now, and which rule holds the rest",
		Long: `Plan judges every IndexLifecycle of a file against the cluster: whether it can be kept (shards, heap of the masters, copies, bytes an hour), what is
overdue and how long that takes, what is lost from sight with one node, and each step that would be done now. Nothing is changed.

With --was the file as it was before an edit is planned too, and the difference for the indices of today is told.
Exit codes: 0 the policies can be followed, 1 one is refused or something cannot be read, 2 wrong usage.`,
		Example: `  slipway search lifecycle plan -f logs.yaml
  slipway search lifecycle plan -f logs.yaml --from state.json --ledger ledger.jsonl --all
  slipway search lifecycle plan -f edited.yaml --was logs.yaml --from state.json -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	o.flags(cmd)
	outputFlag(cmd, &o.output, "json", "yaml")
	cmd.Flags().StringVar(&o.was, "was", "", "the file before an edit, to show the difference")
	cmd.Flags().BoolVar(&o.all, "all", false, "list every step and every hold")
	_ = cmd.MarkFlagFilename("was", "yaml", "yml") // it fails for a flag that does not exist only
	return cmd
}

// plannedLifecycle is one plan for machines.
type plannedLifecycle struct {
	*lifecycle.Plan
	Changes []lifecycle.Change `json:"changes,omitempty"`
}

func (o *searchLifecyclePlanOptions) run(ctx context.Context, out io.Writer) error {
	inputs, err := o.inputs(ctx)
	if err != nil {
		return err
	}
	var all []plannedLifecycle
	var refused []error
	for i, in := range inputs {
		p, err := lifecycle.Make(in)
		if err != nil {
			return err
		}
		planned := plannedLifecycle{Plan: p}
		before, err := o.before(in)
		if err != nil {
			return err
		}
		if before != nil {
			planned.Changes = lifecycle.Diff(before, p)
		}
		all = append(all, planned)
		if p.Refused() {
			refused = append(refused, fmt.Errorf("%s is refused", printable(p.Lifecycle)))
		}
		if o.output != "" {
			continue
		}
		if i > 0 {
			fmt.Fprintln(out)
		}
		if before != nil {
			fmt.Fprintln(out, lifecycle.PrintDiff(before, p, planned.Changes))
		}
		if err := lifecycle.Print(out, p, o.all); err != nil {
			return err
		}
	}
	if o.output != "" {
		if err := printObject(out, o.output, all); err != nil {
			return err
		}
	}
	return errors.Join(refused...)
}

// before is the plan of the policy as it was; nil where nobody asks or it was not there.
func (o *searchLifecyclePlanOptions) before(in lifecycle.Input) (*lifecycle.Plan, error) {
	if o.was == "" {
		return nil, nil
	}
	m, err := manifest.ReadFile(o.was)
	if err != nil {
		return nil, err
	}
	for i := range m.Lifecycles {
		if l := &m.Lifecycles[i]; lifecycle.Name(l) == lifecycle.Name(in.Lifecycle) {
			old := in
			old.Lifecycle, old.Cluster, old.Others = l, m.Cluster(l), m.Lifecycles
			return lifecycle.Make(old)
		}
	}
	return nil, nil
}
