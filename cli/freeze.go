package cli

import (
	"context"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// NewFreezeCommand builds slipway freeze: stop every start of anything, everywhere, at once.
func NewFreezeCommand() *cobra.Command {
	var (
		conn   connection
		reason string
		off    bool
	)
	cmd := &cobra.Command{
		Use:   "freeze",
		Short: "Stop every start of anything, everywhere, at once; what runs goes on to its end",
		Example: `  slipway freeze --reason "network change until noon"
  slipway freeze --off`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := conn.client()
			if err != nil {
				return err
			}
			did := ""
			if off {
				did, err = thaw(cmd.Context(), cl)
			} else {
				did, err = freeze(cmd.Context(), cl, reason)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), did)
			return nil
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "frozen by hand", "why, for everybody who wonders")
	cmd.Flags().BoolVar(&off, "off", false, "end the freeze")
	return cmd
}

// freeze says what it did. A freeze that is there keeps its reason: it was somebody's.
func freeze(ctx context.Context, cl client.Client, reason string) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.FreezeNamespace}}
	if err := cl.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("making namespace %s: %w", ns.Name, err)
	}
	by := "unknown"
	if u, err := user.Current(); err == nil {
		by = u.Username
	}
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap},
		Data:       map[string]string{"reason": reason, "by": by, "since": time.Now().UTC().Format(time.RFC3339)},
	}
	err := cl.Create(ctx, cm)
	if apierrors.IsAlreadyExists(err) {
		why, err := frozenBy(ctx, cl)
		return "frozen already: " + why + "; `slipway freeze --off` ends it", err
	}
	if err != nil {
		return "", fmt.Errorf("freezing: %w", err)
	}
	return "frozen: nothing is started until `slipway freeze --off`; what runs goes on to its end", nil
}

func thaw(ctx context.Context, cl client.Client) (string, error) {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}}
	err := cl.Delete(ctx, cm)
	if apierrors.IsNotFound(err) {
		return "nothing is frozen", nil
	}
	if err != nil {
		return "", fmt.Errorf("thawing: %w", err)
	}
	return "thawed: operations start again", nil
}

// frozenBy says why everything is frozen; empty when it is not.
func frozenBy(ctx context.Context, cl client.Reader) (string, error) {
	var cm corev1.ConfigMap
	err := cl.Get(ctx, client.ObjectKey{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}, &cm)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("asking whether the fleet is frozen: %w", err)
	}
	return fmt.Sprintf("%s (by %s since %s)", cm.Data["reason"], cm.Data["by"], cm.Data["since"]), nil
}
