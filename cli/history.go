package cli

import (
	"context"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// act is one automatic act: who did what to which object, and why.
type act struct {
	Time      time.Time `json:"time"`
	Namespace string    `json:"namespace"`
	Object    string    `json:"object"`
	What      string    `json:"what"`
	Detail    string    `json:"detail,omitempty"`
	Count     int32     `json:"count,omitempty"`
}

// NewHistoryCommand builds slipway history: every automatic act of the last hours.
func NewHistoryCommand() *cobra.Command {
	var (
		conn  connection
		since time.Duration
		allNS bool
		out   string
	)
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "List every automatic act: what was done to which object, by which rule, and why",
		Example: "  slipway history --since 2h\n  slipway history -A --since 24h -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since <= 0 {
				return &usageError{fmt.Errorf("--since %s must be more than 0, such as 2h", since)}
			}
			cl, err := conn.client()
			if err != nil {
				return err
			}
			ns := conn.namespace
			if allNS {
				ns = ""
			}
			acts, err := readHistory(cmd.Context(), cl, ns, time.Now().Add(-since))
			if err != nil {
				return err
			}
			if out != "" {
				return printObject(cmd.OutOrStdout(), out, acts)
			}
			return printHistory(cmd.OutOrStdout(), acts, allNS)
		},
	}
	conn.flags(cmd.Flags())
	cmd.Flags().DurationVar(&since, "since", 2*time.Hour, "how far to look back")
	cmd.Flags().BoolVarP(&allNS, "all-namespaces", "A", false, "show every namespace")
	outputFlag(cmd, &out, "json", "yaml")
	return cmd
}

// readHistory joins the events of the fleet's kinds and the ends of operations, oldest first.
func readHistory(ctx context.Context, cl client.Reader, namespace string, since time.Time) ([]act, error) {
	var events corev1.EventList
	if err := cl.List(ctx, &events, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("reading the events: %w", err)
	}
	var operations v1alpha1.OperationList
	if err := cl.List(ctx, &operations, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("reading the operations: %w", err)
	}
	acts := []act{}
	for i := range events.Items {
		e := &events.Items[i]
		if at := eventTime(e); e.InvolvedObject.GroupVersionKind().Group == v1alpha1.GroupVersion.Group && at.After(since) {
			acts = append(acts, act{Time: at, Namespace: e.Namespace, Object: e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, What: e.Reason, Detail: e.Message, Count: e.Count})
		}
	}
	for i := range operations.Items {
		acts = append(acts, operationActs(&operations.Items[i], since)...)
	}
	sort.SliceStable(acts, func(i, j int) bool {
		if !acts[i].Time.Equal(acts[j].Time) {
			return acts[i].Time.Before(acts[j].Time)
		}
		return acts[i].Object < acts[j].Object
	})
	return acts, nil
}

func eventTime(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

func operationActs(o *v1alpha1.Operation, since time.Time) []act {
	var acts []act
	name := "Operation/" + o.Name
	if o.Status.FinishedAt != nil && o.Status.FinishedAt.After(since) {
		acts = append(acts, act{Time: o.Status.FinishedAt.Time, Namespace: o.Namespace, Object: name, What: string(o.Status.Phase),
			Detail: conditionMessage(o.Status.Conditions, v1alpha1.ConditionComplete)})
	}
	return acts
}

func printHistory(w io.Writer, acts []act, allNS bool) error {
	if len(acts) == 0 {
		fmt.Fprintln(w, "nothing was done by itself in that time")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	namespace := func(string) string { return "" }
	if allNS {
		namespace = func(ns string) string { return ns + "\t" }
	}
	fmt.Fprintf(t, "TIME\t%sOBJECT\tWHAT\tDETAIL\n", namespace("NAMESPACE"))
	for _, a := range acts {
		detail := firstLine(a.Detail)
		if a.Count > 1 {
			detail += fmt.Sprintf(" (%d times)", a.Count)
		}
		fmt.Fprintf(t, "%s\t%s%s\t%s\t%s\n", a.Time.Local().Format("01-02 15:04:05"), namespace(a.Namespace), a.Object, a.What, detail)
	}
	return t.Flush()
}
