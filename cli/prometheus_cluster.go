package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// clusterForm is the form of a command that works on a PrometheusMigration in a cluster, beside its form from host to host.
type clusterForm struct {
	// use replaces the line of usage; long and example are put before those of the host form.
	use, long, example string
	conn               *connection
	// shared are flags of the host form that this one takes as well.
	shared []string
	// hostFlag is a flag of the host form: where neither it nor a name is given, this form runs with no name. Empty: a name is needed.
	hostFlag string
	// chosen says that this form is meant; nil: a migration is named, or neither it nor hostFlag.
	chosen func(cmd *cobra.Command, args []string) bool
	run    func(cmd *cobra.Command, args []string) error
}

// fromHostToHost is the annotation of a command that was run in its form without a cluster.
const fromHostToHost = "slipway.dev/from-host-to-host"

// withCluster gives a command its form for clusters: flags by own, and the old form where that is not meant.
func withCluster(cmd *cobra.Command, form clusterForm, own func(f *pflag.FlagSet)) *cobra.Command {
	host, hostArgs, hostCompletion := cmd.RunE, cmd.Args, cmd.ValidArgsFunction
	before := flagNames(cmd.Flags())
	form.conn.flags(cmd.Flags())
	cmd.Flags().Lookup("kubeconfig").Usage = "`FILE` of the cluster that the migration lives in (default: that of slipway up, else $KUBECONFIG, else ~/.kube/config)"
	cmd.Flags().Lookup("namespace").Usage = "namespace of the migration"
	if own != nil {
		own(cmd.Flags())
	}
	ours := slices.DeleteFunc(flagNames(cmd.Flags()), func(name string) bool { return slices.Contains(before, name) && !slices.Contains(form.shared, name) })
	if form.chosen == nil {
		form.chosen = func(cmd *cobra.Command, args []string) bool {
			return len(args) > 0 || form.hostFlag != "" && !cmd.Flags().Changed(form.hostFlag)
		}
	}
	cmd.Use, cmd.Long, cmd.Example = form.use, form.long+"\n\nFrom host to host, without a cluster:\n"+cmd.Long, form.example+"\n"+cmd.Example
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !form.chosen(cmd, args) {
			return hostArgs(cmd, args)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { delete(f.Annotations, cobra.BashCompOneRequiredFlag) }) // the host form needs them
		return cobra.MaximumNArgs(1)(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !form.chosen(cmd, args) {
			if err := refuseFlags(cmd, "goes with a migration in a cluster, which is to be named", without(ours, before)...); err != nil {
				return err
			}
			if cmd.Annotations == nil {
				cmd.Annotations = map[string]string{}
			}
			cmd.Annotations[fromHostToHost] = "true"
			return host(cmd, args)
		}
		if err := refuseFlags(cmd, "has no effect on a migration in a cluster, whose spec says everything", without(before, ours)...); err != nil {
			return err
		}
		return form.run(cmd, args)
	}
	names := form.conn.names(migrationNames)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || !form.chosen(cmd, []string{begun}) {
			return hostCompletion(cmd, args, begun)
		}
		return names(cmd, args, begun)
	}
	return cmd
}

func flagNames(f *pflag.FlagSet) (names []string) {
	f.VisitAll(func(one *pflag.Flag) { names = append(names, one.Name) })
	return names
}

func without(list, drop []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(drop, s) })
}

func migrationNames() client.ObjectList { return &v1alpha1.PrometheusMigrationList{} }

func getMigration(ctx context.Context, cl client.Reader, namespace, name string) (*v1alpha1.PrometheusMigration, error) {
	var m v1alpha1.PrometheusMigration
	err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no migration %q in namespace %s: `slipway prometheus status -A` shows all", name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading migration %s: %w", name, err)
	}
	return &m, nil
}

// called is how a command names a migration to slipway prometheus.
func called(m *v1alpha1.PrometheusMigration) string { return m.Name + " -n " + m.Namespace }

// targetOf is what the new server is, in words.
func targetOf(m *v1alpha1.PrometheusMigration) string {
	switch t := m.Spec.Target; {
	case t.StatefulSet != nil:
		return fmt.Sprintf("StatefulSet %s (%s)", t.StatefulSet.Name, t.StatefulSet.Image)
	case t.Prometheus != nil:
		return "Prometheus " + t.Prometheus.Name + " of Prometheus Operator"
	}
	return "nothing"
}

func approvals(list []v1alpha1.Approval) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = string(a)
	}
	return strings.Join(words, ", ")
}
