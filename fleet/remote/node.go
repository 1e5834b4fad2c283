package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
)

const fieldManager = "slipway"

// nodeWatch keeps the few fields of each Node that anybody asks for: about 1 KB for each.
type nodeWatch struct {
	store      cache.Store
	controller cache.Controller
	changed    func()
	stopped    chan struct{}
}

func newNodeWatch(client kubernetes.Interface, changed func()) *nodeWatch {
	w := &nodeWatch{changed: changed, stopped: make(chan struct{})}
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.CoreV1().Nodes().List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return client.CoreV1().Nodes().Watch(ctx, o)
		},
	}, client)
	w.store, w.controller = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &corev1.Node{}, Transform: trim,
		Handler: cache.ResourceEventHandlerDetailedFuncs{
			AddFunc: func(_ any, initial bool) {
				if !initial {
					changed()
				}
			},
			UpdateFunc: func(old, new any) {
				if nodeOf(old) != nodeOf(new) {
					changed()
				}
			},
			DeleteFunc: func(any) { changed() },
		},
	})
	return w
}

// run watches until the context ends or stop is called.
func (w *nodeWatch) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-w.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		if cache.WaitFor(ctx, "", w.controller.HasSyncedChecker()) {
			w.changed()
		}
	}()
	w.controller.RunWithContext(ctx)
}

func (w *nodeWatch) stop()        { close(w.stopped) }
func (w *nodeWatch) synced() bool { return w.controller.HasSynced() }

func (w *nodeWatch) list() map[string]Node {
	objects := w.store.List()
	nodes := make(map[string]Node, len(objects))
	for _, o := range objects {
		n := nodeOf(o)
		nodes[n.Name] = n
	}
	return nodes
}

// trim drops all of a Node that nodeOf does not read, before it is kept.
func trim(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	small := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
		Spec:       corev1.NodeSpec{Unschedulable: n.Spec.Unschedulable},
		Status:     corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{KubeletVersion: n.Status.NodeInfo.KubeletVersion}},
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			small.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status, Message: c.Message}}
		}
	}
	return small, nil
}

func nodeOf(o any) Node {
	n, ok := o.(*corev1.Node)
	if !ok {
		return Node{}
	}
	node := Node{Name: n.Name, Unschedulable: n.Spec.Unschedulable, KubeletVersion: n.Status.NodeInfo.KubeletVersion}
	node.Message = "the kubelet has not reported yet"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		node.Ready = c.Status == corev1.ConditionTrue
		node.Message = c.Message
	}
	if node.Ready {
		node.Message = ""
	}
	return node
}

// LabelNode patches a Node that lacks a label or taint; no write when it has them all.
func (c *connection) LabelNode(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) error {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	doing := "labelling node " + name
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		n, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ErrNoNode
		}
		if err != nil {
			return err
		}
		patch, err := nodePatch(n, labels, taints)
		if err != nil || patch == nil {
			return err
		}
		_, err = c.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	})
	return c.explain(doing, err)
}

// nodePatch gives a JSON merge patch, or nil when nothing is to be changed. The list of taints can only be set as a
// whole, so that the patch holds only for the version that was read.
func nodePatch(n *corev1.Node, labels map[string]string, taints []corev1.Taint) ([]byte, error) {
	missing := maps.Clone(labels)
	maps.DeleteFunc(missing, func(k, v string) bool { have, ok := n.Labels[k]; return ok && have == v })
	wanted := slices.Clone(n.Spec.Taints)
	changed := false
	for _, t := range taints {
		i := slices.IndexFunc(wanted, func(o corev1.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect })
		switch {
		case i < 0:
			wanted = append(wanted, t)
			changed = true
		case wanted[i].Value != t.Value:
			wanted[i].Value = t.Value
			changed = true
		}
	}
	if len(missing) == 0 && !changed {
		return nil, nil
	}
	metadata := map[string]any{"resourceVersion": n.ResourceVersion}
	if len(missing) > 0 {
		metadata["labels"] = missing
	}
	patch := map[string]any{"metadata": metadata}
	if changed {
		patch["spec"] = map[string]any{"taints": wanted}
	}
	b, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	return b, nil
}

// DeleteNode deletes the Node; one that is gone is no error.
func (c *connection) DeleteNode(ctx context.Context, name string) error {
	ctx, cancel := c.begin(ctx)
	defer cancel()
	err := c.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return c.explain("deleting node "+name, err)
}
