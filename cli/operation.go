package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
)

// NewOperationCommand builds slipway operation: list, run, logs, retry, cancel.
func NewOperationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "operation", Aliases: []string{"operations", "op"}, Args: cobra.NoArgs,
		Short: "Runs of playbooks on machines: list, run one entry point alone, logs, retry, cancel",
	}
	cmd.AddCommand(newOperationListCommand(), newOperationRunCommand(), newOperationLogsCommand(), newOperationRetryCommand(), newOperationCancelCommand())
	return cmd
}

func operationNames() client.ObjectList { return &v1alpha1.OperationList{} }

func getOperation(ctx context.Context, cl client.Reader, namespace, name string) (*v1alpha1.Operation, error) {
	var o v1alpha1.Operation
	err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &o)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no operation %q in namespace %s: `slipway operation list -n %s` shows them", name, namespace, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading operation %s: %w", name, err)
	}
	return &o, nil
}

func newOperationListCommand() *cobra.Command {
	var (
		conn connection
		out  string
	)
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List operations, newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			var list v1alpha1.OperationList
			if err := cl.List(cmd.Context(), &list, client.InNamespace(conn.namespace)); err != nil {
				return fmt.Errorf("listing the operations of %s: %w", conn.namespace, err)
			}
			slices.SortStableFunc(list.Items, func(a, b v1alpha1.Operation) int { return view.Older(&a, &b) })
			if out != "" {
				return printKind(cmd.OutOrStdout(), out, &list)
			}
			if len(list.Items) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "there are no operations in namespace %s: none was needed yet, or they were removed with age\n", conn.namespace)
				return nil
			}
			return printOperations(cmd.OutOrStdout(), list.Items, time.Now())
		},
	}
	conn.flags(cmd.Flags())
	outputFlag(cmd, &out, "json", "yaml")
	return cmd
}

func printOperations(w io.Writer, operations []v1alpha1.Operation, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tCLUSTER\tENTRY POINT\tPHASE\tMACHINES\tAGE\tREASON\tMESSAGE")
	for i := range operations {
		o := &operations[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", o.Name, o.Spec.ClusterName, o.Spec.EntryPoint, phaseOf(o), len(o.Spec.Machines),
			age(now, o.CreationTimestamp.Time), o.Spec.Reason, firstLine(conditionMessage(o.Status.Conditions, v1alpha1.ConditionComplete)))
	}
	return t.Flush()
}

// phaseOf is the phase of an operation; one that nobody has looked at yet is Pending.
func phaseOf(o *v1alpha1.Operation) v1alpha1.OperationPhase {
	if o.Status.Phase == "" {
		return v1alpha1.OperationPending
	}
	return o.Status.Phase
}

func newOperationRunCommand() *cobra.Command {
	var (
		conn     connection
		machines []string
		reason   string
		dryRun   bool
		out      string
		wait     waiting
	)
	cmd := &cobra.Command{
		Use:   "run CLUSTER ENTRY-POINT",
		Short: "Run one entry point alone: check, verify, os, container-runtime, etcd, kubernetes, network, addons",
		Example: `  slipway operation run shop check
  slipway operation run shop os --machine r07-u12 --wait`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			entry := v1alpha1.EntryPoint(args[1])
			if !slices.Contains(entryPoints, entry) {
				return &usageError{fmt.Errorf("there is no entry point %q: choose from %s", entry, list(entryPoints))}
			}
			cl, err := conn.client()
			if err != nil {
				return err
			}
			o, err := newOperation(cmd.Context(), cl, conn.namespace, args[0], entry, machines, reason)
			if err != nil {
				return err
			}
			if err := createOperation(cmd, cl, o, dryRun, out); err != nil || dryRun {
				return err
			}
			return wait.operation(cmd, cl, o)
		},
	}
	conn.flags(cmd.Flags())
	wait.flags(cmd.Flags())
	cmd.Flags().StringSliceVar(&machines, "machine", nil, "run on these machines (default: those of the cluster that the entry point plays on)")
	cmd.Flags().StringVar(&reason, "reason", "by hand", "why, for the history")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check against the API server and change nothing")
	outputFlag(cmd, &out, "json", "yaml")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return conn.names(deploymentNames)(cmd, args, word)
		}
		return strings.Split(list(entryPoints), ", "), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// entryPoints are all that an operation can run; those of the help first, the others are the operator's daily work.
var entryPoints = []v1alpha1.EntryPoint{
	v1alpha1.EntryCheck, v1alpha1.EntryVerify, v1alpha1.EntryOS, v1alpha1.EntryContainerRuntime, v1alpha1.EntryEtcd, v1alpha1.EntryKubernetes,
	v1alpha1.EntryNetwork, v1alpha1.EntryAddons, v1alpha1.EntryCreate, v1alpha1.EntryScale, v1alpha1.EntryRemove,
}

func list[T ~string](words []T) string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return strings.Join(all, ", ")
}

// playedOn are the roles of the machines that an entry point has something to do on; all others: every machine.
var playedOn = map[v1alpha1.EntryPoint][]v1alpha1.Role{
	v1alpha1.EntryVerify:           {v1alpha1.RoleControlPlane},
	v1alpha1.EntryAddons:           {v1alpha1.RoleControlPlane},
	v1alpha1.EntryScale:            {v1alpha1.RoleCompute},
	v1alpha1.EntryContainerRuntime: {v1alpha1.RoleControlPlane, v1alpha1.RoleCompute},
	v1alpha1.EntryKubernetes:       {v1alpha1.RoleControlPlane, v1alpha1.RoleCompute},
	v1alpha1.EntryNetwork:          {v1alpha1.RoleControlPlane, v1alpha1.RoleCompute},
}

// newOperation makes an operation over the named machines, or over those of the cluster that the entry point plays on.
func newOperation(ctx context.Context, cl client.Reader, namespace, cluster string, entry v1alpha1.EntryPoint, machines []string, reason string) (*v1alpha1.Operation, error) {
	var list v1alpha1.MachineList
	if err := cl.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the machines of %s: %w", namespace, err)
	}
	held := map[string]bool{}
	var all, played []string
	for i := range list.Items {
		m := &list.Items[i]
		if m.Spec.ClaimRef == nil || m.Spec.ClaimRef.Name != cluster {
			continue
		}
		held[m.Name] = true
		all = append(all, m.Name)
		roles, some := playedOn[entry]
		if !some || slices.Contains(roles, view.RoleOfSet(cluster, m.Spec.ClaimRef.MachineSet)) {
			played = append(played, m.Name)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("cluster %q holds no machines in namespace %s: `slipway tree -n %s` shows who holds which", cluster, namespace, namespace)
	}
	for _, m := range machines {
		if !held[m] {
			return nil, fmt.Errorf("machine %q is not held by cluster %s; it holds %s", m, cluster, strings.Join(all, ", "))
		}
	}
	if len(machines) == 0 {
		machines = played
	}
	return &v1alpha1.Operation{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: fmt.Sprintf("%s-%s-", cluster, entry), Namespace: namespace,
			Labels: map[string]string{v1alpha1.ClusterLabel: cluster, v1alpha1.EntryPointLabel: string(entry)},
		},
		Spec: v1alpha1.OperationSpec{ClusterName: cluster, EntryPoint: entry, Machines: machines, Reason: reason},
	}, nil
}

func createOperation(cmd *cobra.Command, cl client.Client, o *v1alpha1.Operation, dryRun bool, out string) error {
	var opts []client.CreateOption
	if dryRun {
		opts = append(opts, client.DryRunAll)
	}
	if err := cl.Create(cmd.Context(), o, opts...); err != nil {
		return fmt.Errorf("making the operation: %w", err)
	}
	if out != "" {
		return printKind(cmd.OutOrStdout(), out, o)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "operation %s: %s on %s%s\n", o.Name, o.Spec.EntryPoint, count(len(o.Spec.Machines), "machine"), map[bool]string{true: " (dry run)"}[dryRun])
	return nil
}

func newOperationRetryCommand() *cobra.Command {
	var (
		conn connection
		wait waiting
	)
	cmd := &cobra.Command{
		Use: "retry NAME", Short: "Run a failed operation again: finished stages are skipped on every host", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			old, err := getOperation(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			if old.Status.Phase != v1alpha1.OperationFailed && old.Status.Phase != v1alpha1.OperationCancelled {
				return fmt.Errorf("operation %s is %s; only one that Failed or was Cancelled can be retried", old.Name, phaseOf(old))
			}
			o, err := newOperation(cmd.Context(), cl, old.Namespace, old.Spec.ClusterName, old.Spec.EntryPoint, old.Spec.Machines, "retry of "+old.Name)
			if err != nil {
				return err
			}
			o.Spec.RetryOf = old.Name
			if err := createOperation(cmd, cl, o, false, ""); err != nil {
				return err
			}
			return wait.operation(cmd, cl, o)
		},
	}
	conn.flags(cmd.Flags())
	wait.flags(cmd.Flags())
	cmd.ValidArgsFunction = conn.names(operationNames)
	return cmd
}

func newOperationCancelCommand() *cobra.Command {
	var (
		conn connection
		wait waiting
	)
	cmd := &cobra.Command{
		Use: "cancel NAME", Short: "End a running operation; hosts keep the stages that they finished", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			o, err := getOperation(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			if finished(o) {
				return fmt.Errorf("operation %s is at its end already: %s", o.Name, o.Status.Phase)
			}
			before := o.DeepCopy()
			o.Spec.Cancel = v1alpha1.CancelRequested
			if err := cl.Patch(cmd.Context(), o, client.MergeFrom(before)); err != nil {
				return fmt.Errorf("cancelling operation %s: %w", o.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "operation %s is asked to end\n", o.Name)
			if err := wait.operation(cmd, cl, o); !errors.Is(err, errCancelled) {
				return err
			}
			return nil
		},
	}
	conn.flags(cmd.Flags())
	wait.flags(cmd.Flags())
	cmd.ValidArgsFunction = conn.names(operationNames)
	return cmd
}

func newOperationLogsCommand() *cobra.Command {
	var (
		conn   connection
		follow bool
		dir    string
	)
	cmd := &cobra.Command{
		Use: "logs NAME", Short: "Print what an operation printed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			o, err := getOperation(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			logger, err := operationLogger(o, dir)
			if err != nil {
				return err
			}
			r, err := logger.Logs(cmd.Context(), fmt.Sprintf("%s-%d", o.UID, max(o.Status.Attempt, 1)), follow)
			if errors.Is(err, executor.ErrNotFound) {
				return fmt.Errorf("operation %s left no log here: it has not started, its logs were removed with age, or the operator runs on another machine (name its directory with --dir)", o.Name)
			}
			if err != nil {
				return fmt.Errorf("opening the log of operation %s: %w", o.Name, err)
			}
			defer func() { _ = r.Close() }()
			_, err = io.Copy(cmd.OutOrStdout(), r)
			return err
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the operation ends")
	cmd.Flags().StringVar(&dir, "dir", "", "data directory of the operator (default: that of slipway up)")
	cmd.ValidArgsFunction = conn.names(operationNames)
	return cmd
}

// operationLogger finds who keeps the text of an operation: the process executor's files, here.
func operationLogger(o *v1alpha1.Operation, dir string) (executor.Logger, error) {
	if o.Status.Executor != "" && o.Status.Executor != "Process" {
		return nil, fmt.Errorf("operation %s was run by the executor %s, which keeps no text here", o.Name, o.Status.Executor)
	}
	if dir == "" {
		home, err := homeDir()
		if err != nil {
			return nil, err
		}
		dir = home
	}
	return executor.RunLogs{Dir: dir}, nil
}
