package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Which pods have to leave a Node? All but those of DaemonSets, mirror pods and finished ones. Pods without a controller
// leave too, for good: the machine is wiped afterwards, so that nothing of them would stay. Their emptyDir volumes go
// with them. All leave by eviction, so that a budget holds them up; nothing here ever deletes a pod.
//
// A pod that was evicted from a Node that no longer reports never goes away, as only its kubelet could say so. Once its
// grace period is over it does not count any more; deleting the Node deletes it.
//
// k8s.io/kubectl/pkg/drain knows these rules as well, but it waits, it does not say which budget holds what up, and it
// brings 32 packages of kubectl's terminal with it.

// pods are listed in pages of this size.
const podPage = 250

// graceMargin is how long after its grace period a pod on a silent Node is given up.
const graceMargin = 30 * time.Second

// Drain cordons the Node, evicts what may go now and says what remains.
func (c *connection) Drain(ctx context.Context, name string) (Drain, error) {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	doing := "draining node " + name
	n, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Drain{}, nil
	}
	if err != nil {
		return Drain{}, c.explain(doing, err)
	}
	if !n.Spec.Unschedulable {
		patch := []byte(`{"spec":{"unschedulable":true}}`)
		if _, err := c.client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return Drain{}, c.explain(doing, err)
		}
	}
	small, _ := trim(n)
	pods, err := c.podsToLeave(ctx, name, nodeOf(small).Ready)
	if err != nil {
		return Drain{}, c.explain(doing, err)
	}
	remaining, err := c.evict(ctx, pods)
	if err != nil {
		return Drain{}, c.explain(doing, err)
	}
	return drainOf(remaining), nil
}

func (c *connection) podsToLeave(ctx context.Context, node string, ready bool) ([]corev1.Pod, error) {
	var leaving []corev1.Pod
	options := metav1.ListOptions{FieldSelector: "spec.nodeName=" + node, Limit: podPage}
	for {
		page, err := c.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			if mustLeave(&page.Items[i], ready, time.Now()) {
				leaving = append(leaving, page.Items[i])
			}
		}
		if page.Continue == "" {
			return leaving, nil
		}
		options.Continue = page.Continue
	}
}

func mustLeave(p *corev1.Pod, nodeReady bool, now time.Time) bool {
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	if owner := metav1.GetControllerOf(p); owner != nil && owner.Kind == "DaemonSet" && strings.HasPrefix(owner.APIVersion, "apps/") {
		return false
	}
	return p.DeletionTimestamp == nil || nodeReady || now.Before(p.DeletionTimestamp.Add(graceMargin))
}

// remaining is one pod that is still there, and why.
type remaining struct{ pod, why string }

// evict asks for the eviction of each pod that is not on its way already.
func (c *connection) evict(ctx context.Context, pods []corev1.Pod) ([]remaining, error) {
	var left []remaining
	for i := range pods {
		p := &pods[i]
		pod := p.Namespace + "/" + p.Name
		if p.DeletionTimestamp != nil {
			left = append(left, remaining{pod, "is leaving"})
			continue
		}
		err := c.client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
		})
		switch {
		case err == nil:
			left = append(left, remaining{pod, "is leaving"})
		case apierrors.IsNotFound(err) || apierrors.IsConflict(err):
			// Gone, or another pod of that name by now, which cannot be here: the Node is cordoned.
		case apierrors.IsTooManyRequests(err):
			left = append(left, remaining{pod, budgetOf(err)})
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
			left = append(left, remaining{pod, "is leaving with its namespace"})
		case answered(err):
			left = append(left, remaining{pod, "cannot be evicted: " + err.Error()})
		default:
			return nil, err
		}
	}
	return left, nil
}

// answered says that the API server judged this one eviction, as it does with two budgets for a pod (500).
func answered(err error) bool {
	reason := apierrors.ReasonForError(err)
	return reason == metav1.StatusReasonForbidden || reason == metav1.StatusReasonInvalid ||
		reason == metav1.StatusReasonInternalError || reason == metav1.StatusReasonBadRequest ||
		(reason == metav1.StatusReasonUnknown && statusCode(err) == http.StatusInternalServerError)
}

func statusCode(err error) int32 {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Code
	}
	return 0
}

// budgetOf gives the API server's word on the budget that holds a pod up.
func budgetOf(err error) string {
	if cause, ok := apierrors.StatusCause(err, policyv1.DisruptionBudgetCause); ok && cause.Message != "" {
		return "is held by a budget: " + strings.TrimSuffix(cause.Message, ".")
	}
	return "has to wait: " + err.Error()
}

// drainOf names at most five pods, those that are held up first, and counts the others.
func drainOf(left []remaining) Drain {
	if len(left) == 0 {
		return Drain{}
	}
	slices.SortFunc(left, func(a, b remaining) int {
		if held := strings.HasPrefix(b.why, "is leaving"); held != strings.HasPrefix(a.why, "is leaving") {
			if held {
				return -1
			}
			return 1
		}
		return strings.Compare(a.pod, b.pod)
	})
	var words []string
	for _, r := range left[:min(5, len(left))] {
		words = append(words, r.pod+" "+r.why)
	}
	if more := len(left) - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return Drain{Remaining: len(left), Message: strings.Join(words, "; ")}
}
