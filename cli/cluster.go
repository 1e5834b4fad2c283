package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// NewClusterCommand builds slipway cluster: create, scale, delete, kubeconfig, plan.
func NewClusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Aliases: []string{"clusters"}, Args: cobra.NoArgs,
		Short: "Create, scale and delete clusters, read their plan, get their kubeconfig",
	}
	cmd.AddCommand(newClusterCreateCommand(), newClusterScaleCommand(), newClusterDeleteCommand(), newClusterKubeconfigCommand(), newClusterPlanCommand())
	return cmd
}

func deploymentNames() client.ObjectList { return &v1alpha1.ClusterDeploymentList{} }

func getDeployment(ctx context.Context, cl client.Reader, namespace, name string) (*v1alpha1.ClusterDeployment, error) {
	var d v1alpha1.ClusterDeployment
	err := cl.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &d)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("there is no cluster %q in namespace %s: `slipway tree -A` shows all", name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading cluster %s: %w", name, err)
	}
	return &d, nil
}

func newClusterScaleCommand() *cobra.Command {
	var (
		conn     connection
		wait     waiting
		set      string
		replicas int32
		dryRun   bool
	)
	cmd := &cobra.Command{
		Use:   "scale NAME --replicas N",
		Short: "Change how many workers a cluster has",
		Example: `  slipway cluster scale shop --replicas 5 --wait
  slipway cluster scale shop --workers general --replicas 21`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			if replicas < 0 {
				return &usageError{fmt.Errorf("--replicas %d: there cannot be less than 0 workers", replicas)}
			}
			var opts []client.PatchOption
			if dryRun {
				opts = append(opts, client.DryRunAll)
			}
			var d *v1alpha1.ClusterDeployment
			var change string
			// The operator writes to the same object, at the latest when it has just been made.
			err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
				d, err = getDeployment(cmd.Context(), cl, conn.namespace, args[0])
				if err != nil {
					return err
				}
				change, err = scaleDeployment(cmd.Context(), cl, d, set, replicas, opts...)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s: %s%s\n", d.Name, change, map[bool]string{true: " (dry run)"}[dryRun])
			if dryRun {
				return nil
			}
			return wait.deployment(cmd, cl, d)
		},
	}
	conn.flags(cmd.Flags())
	wait.flags(cmd.Flags())
	cmd.Flags().StringVar(&set, "workers", "", "name of the set of workers (needed when there are several)")
	cmd.Flags().Int32Var(&replicas, "replicas", 0, "how many workers are wanted")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check against the API server and change nothing")
	_ = cmd.MarkFlagRequired("replicas") // fails only for a flag that does not exist
	cmd.ValidArgsFunction = conn.names(deploymentNames)
	return cmd
}

// scaleDeployment changes the wanted number of one set of workers, unless somebody else wrote meanwhile; it says what changed.
func scaleDeployment(ctx context.Context, cl client.Client, d *v1alpha1.ClusterDeployment, set string, replicas int32, opts ...client.PatchOption) (string, error) {
	before := d.DeepCopy()
	w, err := workerSet(d, set)
	if err != nil {
		return "", err
	}
	change := fmt.Sprintf("workers/%s %d → %d", w.Name, deref(w.Replicas), replicas)
	w.Replicas = &replicas
	if err := cl.Patch(ctx, d, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), opts...); err != nil {
		return "", fmt.Errorf("scaling cluster %s: %w", d.Name, err)
	}
	return change, nil
}

// workerSet finds the named set, or the only one.
func workerSet(d *v1alpha1.ClusterDeployment, name string) (*v1alpha1.WorkerSet, error) {
	var names []string
	for i := range d.Spec.Workers {
		w := &d.Spec.Workers[i]
		if w.Name == name || (name == "" && len(d.Spec.Workers) == 1) {
			return w, nil
		}
		names = append(names, w.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("cluster %s has no set of workers: add one under spec.workers with `slipway kubectl edit clusterdeployment %s -n %s`", d.Name, d.Name, d.Namespace)
	}
	if name == "" {
		return nil, fmt.Errorf("cluster %s has %d sets of workers: name one of %s with --workers", d.Name, len(names), strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("cluster %s has no workers %q; it has %s", d.Name, name, strings.Join(names, ", "))
}

// deployment waits until a deployment is as its spec wants it.
func (w *waiting) deployment(cmd *cobra.Command, cl client.Reader, d *v1alpha1.ClusterDeployment) error {
	if !w.wait {
		return nil
	}
	return w.until(cmd, func(ctx context.Context) (string, bool, error) {
		now, err := getDeployment(ctx, cl, d.Namespace, d.Name)
		if err != nil {
			return "", false, err
		}
		if now.Status.ObservedGeneration >= d.Generation && conditionMark(now.Status.Conditions, v1alpha1.ConditionReady) == markYes {
			return now.Status.State + ": " + conditionMessage(now.Status.Conditions, v1alpha1.ConditionReady), true, nil
		}
		if conditionMark(now.Status.Conditions, v1alpha1.ConditionSpecValid) == markNo {
			return "", true, fmt.Errorf("cluster %s cannot be built as written: %s", d.Name, conditionMessage(now.Status.Conditions, v1alpha1.ConditionSpecValid))
		}
		running, err := runningOperations(ctx, cl, now)
		return now.Status.State + ": " + progressOf(now) + running, false, err
	})
}

// runningOperations says how far the operations of a cluster are.
func runningOperations(ctx context.Context, cl client.Reader, d *v1alpha1.ClusterDeployment) (string, error) {
	var list v1alpha1.OperationList
	if err := cl.List(ctx, &list, client.InNamespace(d.Namespace), client.MatchingLabels{v1alpha1.ClusterLabel: d.Name}); err != nil {
		return "", fmt.Errorf("reading the operations of cluster %s: %w", d.Name, err)
	}
	text := ""
	for i := range list.Items {
		if o := &list.Items[i]; o.Status.Phase == v1alpha1.OperationRunning {
			text += " · " + conditionMessage(o.Status.Conditions, v1alpha1.ConditionComplete)
		}
	}
	return text, nil
}

// progressOf is what holds a deployment, or what it is doing.
func progressOf(d *v1alpha1.ClusterDeployment) string {
	if m := conditionMessage(d.Status.Conditions, v1alpha1.ConditionProgressing); m != "" {
		return m
	}
	return conditionMessage(d.Status.Conditions, v1alpha1.ConditionReady)
}

func newClusterDeleteCommand() *cobra.Command {
	var (
		conn connection
		wait waiting
		yes  bool
	)
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a cluster: its hosts are cleaned and its machines go back to the pool", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			d, err := getDeployment(cmd.Context(), cl, conn.namespace, args[0])
			if err != nil {
				return err
			}
			if !yes {
				return fmt.Errorf("deleting %s ends all its workloads and cleans its hosts; say --yes if that is what you want", d.Name)
			}
			if err := cl.Delete(cmd.Context(), d); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting cluster %s: %w", d.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is being deleted\n", d.Name)
			return wait.deleted(cmd, cl, d)
		},
	}
	conn.flags(cmd.Flags())
	wait.flags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, end its workloads and clean its hosts")
	cmd.ValidArgsFunction = conn.names(deploymentNames)
	return cmd
}

func (w *waiting) deleted(cmd *cobra.Command, cl client.Reader, d *v1alpha1.ClusterDeployment) error {
	if !w.wait {
		return nil
	}
	return w.until(cmd, func(ctx context.Context) (string, bool, error) {
		var now v1alpha1.ClusterDeployment
		err := cl.Get(ctx, client.ObjectKeyFromObject(d), &now)
		if apierrors.IsNotFound(err) {
			return "Deleted: its machines are back in the pool", true, nil
		}
		if err != nil {
			return "", false, fmt.Errorf("reading cluster %s: %w", d.Name, err)
		}
		return now.Status.State + ": " + progressOf(&now), false, nil
	})
}

// writePrivate writes a file that only its owner can read, in one step.
func writePrivate(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".slipway-*")
	var at *fs.PathError
	if errors.As(err, &at) { // its path is a name that the user did not give
		err = at.Err
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	if _, err := tmp.Write(data); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
