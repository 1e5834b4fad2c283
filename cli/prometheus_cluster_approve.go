package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// migrationWord is how a person speaks to a migration in a cluster: approve something, or go back.
type migrationWord struct {
	conn connection
	// say changes the spec, and tells in words what that does.
	say func(m *v1alpha1.PrometheusMigration, approve []string) (string, error)
}

// withClusterCutover lets slipway prometheus cutover approve the cutover of a migration in a cluster.
func withClusterCutover(cmd *cobra.Command) *cobra.Command {
	o := &migrationWord{say: approveCutover}
	return withCluster(cmd, clusterForm{
		use: "cutover NAME | -f FILE --state DIR", conn: &o.conn, shared: []string{"approve", "dry-run", "output"}, run: o.run,
		long: `Approve the cutover of a migration in a cluster. It begins when both servers were compared and found equal, within its window, and moves users, data
sources, alerts and remote_write, step by step. With --approve it lets pass instead one of the two edits of the old server, whose difference slipway prometheus status shows.`,
		example: `  slipway prometheus cutover ecs-metrics -n monitoring
  slipway prometheus cutover ecs-metrics -n monitoring --approve SourceAlertingOff --approve SourceRemoteWriteOff`,
	}, nil)
}

// withClusterRollback lets slipway prometheus rollback take a migration in a cluster back.
func withClusterRollback(cmd *cobra.Command) *cobra.Command {
	o := &migrationWord{say: goBack}
	return withCluster(cmd, clusterForm{
		use: "rollback NAME | --state DIR", conn: &o.conn, shared: []string{"dry-run", "output"}, run: o.run,
		long: `Take a migration in a cluster back, from any phase before Finalized: users are led to the old server at once, everything that was changed is put back, the
last first. Nothing is lost: the old server was never stopped. The new one's claim is kept.`,
		example: `  slipway prometheus rollback ecs-metrics -n monitoring`,
	}, nil)
}

// withClusterFinalize lets slipway prometheus finalize approve the end of a migration in a cluster.
func withClusterFinalize(cmd *cobra.Command) *cobra.Command {
	o := &migrationWord{say: approveFinalize}
	return withCluster(cmd, clusterForm{
		use: "finalize NAME | --state DIR", conn: &o.conn, shared: []string{"dry-run", "output"}, run: o.run,
		long: `Approve the end of a migration in a cluster. It is final when nobody needs the old server any more; the notes of slipway prometheus status then list what can be
switched off. There is no rollback after it.`,
		example: `  slipway prometheus finalize ecs-metrics -n monitoring`,
	}, nil)
}

func (o *migrationWord) run(cmd *cobra.Command, args []string) error {
	f := cmd.Flags()
	dryRun, err := f.GetBool("dry-run")
	if err != nil {
		return fmt.Errorf("reading --dry-run: %w", err)
	}
	var approve []string
	if f.Lookup("approve") != nil {
		if approve, err = f.GetStringSlice("approve"); err != nil {
			return fmt.Errorf("reading --approve: %w", err)
		}
	}
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	m, text, err := o.patch(cmd.Context(), cl, args[0], approve, dryRun)
	if err != nil {
		return err
	}
	if format := f.Lookup("output").Value.String(); format != "" {
		return printKind(cmd.OutOrStdout(), format, m)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "migration %s: %s%s\n", m.Name, text, map[bool]string{true: " (dry run)"}[dryRun])
	return nil
}

// patch writes the word. The operator writes to the same object, so that a conflict is tried again.
func (o *migrationWord) patch(ctx context.Context, cl client.Client, name string, approve []string, dryRun bool) (m *v1alpha1.PrometheusMigration, text string, err error) {
	var opts []client.PatchOption
	if dryRun {
		opts = append(opts, client.DryRunAll)
	}
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if m, err = getMigration(ctx, cl, o.conn.namespace, name); err != nil {
			return err
		}
		before := m.DeepCopy()
		if text, err = o.say(m, approve); err != nil {
			return err
		}
		if err := cl.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), opts...); err != nil {
			return fmt.Errorf("writing to migration %s: %w", name, err)
		}
		return nil
	})
	return m, text, err
}

// approvable refuses what would have no effect.
func approvable(m *v1alpha1.PrometheusMigration) error {
	switch {
	case m.Status.Phase == v1alpha1.PhaseFinalized:
		return fmt.Errorf("migration %s is final: there is nothing to approve", m.Name)
	case m.Spec.Goal == v1alpha1.GoalRolledBack:
		return fmt.Errorf("migration %s is being rolled back (spec.goal is RolledBack): to move again, `slipway kubectl patch pmig %s -n %s --type merge -p '{\"spec\":{\"goal\":\"Finalized\"}}'`",
			m.Name, m.Name, m.Namespace)
	}
	return nil
}

// approve adds words to spec.approved and says which are new.
func approve(m *v1alpha1.PrometheusMigration, words ...v1alpha1.Approval) string {
	var added []v1alpha1.Approval
	for _, w := range words {
		if !slices.Contains(m.Spec.Approved, w) {
			added = append(added, w)
		}
	}
	m.Spec.Approved = append(m.Spec.Approved, added...)
	if len(added) == 0 {
		return approvals(words) + " was approved already"
	}
	if len(added) > 1 {
		return approvals(added) + " are approved"
	}
	return approvals(added) + " is approved"
}

func approveCutover(m *v1alpha1.PrometheusMigration, list []string) (string, error) {
	if err := approvable(m); err != nil {
		return "", err
	}
	words := []v1alpha1.Approval{v1alpha1.ApprovalCutover}
	if len(list) > 0 {
		words = nil
	}
	for _, word := range list {
		a := v1alpha1.Approval(word)
		if a != v1alpha1.ApprovalSourceAlertingOff && a != v1alpha1.ApprovalSourceRemoteWriteOff {
			return "", &usageError{fmt.Errorf("--approve %s: use %s or %s", word, v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff)}
		}
		words = append(words, a)
	}
	text := approve(m, words...)
	if early(m, v1alpha1.PhaseCutover) {
		text += fmt.Sprintf("; it is at %s now, and the cutover comes when both servers are proved equal", worded(string(m.Status.Phase), "its beginning"))
	}
	if w := m.Spec.Cutover.Window; w != nil && len(list) == 0 {
		text += fmt.Sprintf(", between %s and %s %s", w.From, w.To, w.TimeZone)
	}
	return text, nil
}

func approveFinalize(m *v1alpha1.PrometheusMigration, _ []string) (string, error) {
	if err := approvable(m); err != nil {
		return "", err
	}
	text := approve(m, v1alpha1.ApprovalFinalize)
	if early(m, v1alpha1.PhaseFinalize) {
		text += fmt.Sprintf("; it is at %s now: it ends by itself when that time comes, and from then on there is no way back", worded(string(m.Status.Phase), "its beginning"))
	}
	return text, nil
}

func goBack(m *v1alpha1.PrometheusMigration, _ []string) (string, error) {
	switch m.Status.Phase {
	case v1alpha1.PhaseFinalized:
		return "", errors.New("it is final: there is no rollback after Finalized. To go back, move the other way")
	case v1alpha1.PhaseRolledBack:
		return "it is rolled back already", nil
	}
	m.Spec.Goal = v1alpha1.GoalRolledBack
	return "it is rolled back; `slipway prometheus status " + called(m) + " --watch` shows how", nil
}

// early says that the migration has not come to a phase yet.
func early(m *v1alpha1.PrometheusMigration, phase v1alpha1.Phase) bool {
	order := strings.Fields("Preflight Rehearse StartTarget Pin Coverage Stage Seam Install Verify Cutover Observe Finalize Finalized")
	return slices.Index(order, string(m.Status.Phase)) < slices.Index(order, string(phase))
}
