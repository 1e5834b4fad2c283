// Package prometheusendpoint leads the users' Service of a migration: to the old server, to the new one after the cutover, and back within
// seconds whenever that one is not ready. It asks the target's pod every second, and does nothing else: the controller that drives the move
// may take its time over something, and users must not wait for it. What leads where is decided by migration/endpoint.
package prometheusendpoint

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/controller/prometheusmigration"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/endpoint"
	"github.com/slipway-dev/slipway/migration/target"
)

// Probe asks a target's pod whether it is ready.
type Probe func(ctx context.Context, c *prometheusmigration.Cluster, namespace, pod string, port uint16, path string) endpoint.Result

// Options are what the controller works with.
type Options struct {
	Kit      kube.Kit
	Clusters *prometheusmigration.Clusters
	// Probe is nil for the API server's proxy to pods.
	Probe Probe
	// Every is the time between two looks while users may be with the target; 0 means a second.
	Every time.Duration
	// Steady is for how long the target must have answered before it gets the users; 0 means 10 seconds.
	Steady time.Duration
}

// probeTime limits one probe: two of them and the write fit into five seconds.
const probeTime = time.Second

// soon is the pause after a probe that the target did not answer: the second one decides.
const soon = 100 * time.Millisecond

// fieldManager is who writes Service and EndpointSlice.
const fieldManager = "slipway-endpoint"

// Reconciler leads Services.
type Reconciler struct {
	Options
	mu      sync.Mutex
	streaks map[types.NamespacedName]endpoint.Streak
}

// Setup adds the controller to a manager.
func Setup(mgr ctrl.Manager, o Options) error {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Probe == nil {
		o.Probe = throughProxy
	}
	r := &Reconciler{Options: o, streaks: map[types.NamespacedName]endpoint.Streak{}}
	err := ctrl.NewControllerManagedBy(mgr).Named("prometheusendpoint").For(&v1alpha1.PrometheusMigration{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 16, RateLimiter: kube.RateLimiter()}).Complete(r)
	if err != nil {
		return fmt.Errorf("adding the controller of endpoints: %w", err)
	}
	return nil
}

func throughProxy(ctx context.Context, c *prometheusmigration.Cluster, namespace, pod string, port uint16, path string) endpoint.Result {
	p, err := endpoint.NewPodProxy(c.HTTP, c.Address, namespace, pod, port, path)
	if err != nil {
		return endpoint.Result{Answer: endpoint.NotAllowed, Says: err.Error()}
	}
	return p.Probe(ctx)
}

// Reconcile looks at one migration.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
	m := &v1alpha1.PrometheusMigration{}
	if err := r.Kit.Get(ctx, req.NamespacedName, m); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !m.DeletionTimestamp.IsZero() && m.Status.Phase == "" {
		return ctrl.Result{}, nil
	}
	c, err := r.Clusters.Of(ctx, m)
	if err != nil {
		return ctrl.Result{RequeueAfter: 5 * time.Second}, nil // the other controller tells
	}
	in, there, err := r.look(ctx, c, m)
	if err != nil || !there {
		return ctrl.Result{RequeueAfter: 2 * time.Second}, err
	}
	d, err := endpoint.Decide(*in)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("leading the Service of %s: %w", m.Name, err)
	}
	if err := r.write(ctx, c, m, in, d); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.tell(ctx, m, d); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.pause(m, in, d)}, nil
}

func (r *Reconciler) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streaks, name)
}

// pause is short while users may be with the target.
func (r *Reconciler) pause(m *v1alpha1.PrometheusMigration, in *endpoint.Input, d *endpoint.Decision) time.Duration {
	switch probes := in.Target.Probes; {
	case watched(m) && d.To == endpoint.Target && probes.Asked() && probes.Last.Answer != endpoint.Ready:
		return min(soon, r.Every)
	case watched(m):
		return r.Every
	case d.Again > 0:
		return d.Again
	}
	return 10 * time.Second
}

func watched(m *v1alpha1.PrometheusMigration) bool {
	return slices.Contains([]v1alpha1.Phase{v1alpha1.PhaseObserve, v1alpha1.PhaseFinalize}, m.Status.Phase)
}

// look finds out what there is; false: the target was not made yet.
func (r *Reconciler) look(ctx context.Context, c *prometheusmigration.Cluster, m *v1alpha1.PrometheusMigration) (*endpoint.Input, bool, error) {
	name := types.NamespacedName{Namespace: m.Namespace, Name: target.ServiceName(m.Spec.Target)}
	set := types.NamespacedName{Namespace: m.Namespace, Name: target.SetName(m.Spec.Target)}
	var service corev1.Service
	if there, err := found(c.Get(ctx, name, &service)); err != nil || !there || len(service.Spec.Ports) == 0 {
		return nil, false, err
	}
	source, err := target.SourceAddress(m.Spec.Source)
	if err != nil {
		return nil, false, err
	}
	in := &endpoint.Input{Now: r.Kit.Clock.Now(), Phase: string(m.Status.Phase), Source: source, Steady: r.Steady}
	in.Shape = endpoint.Shape{Namespace: name.Namespace, Name: name.Name, Labels: service.Labels, Type: service.Spec.Type,
		Port: service.Spec.Ports[0].Port, NodePort: service.Spec.Ports[0].NodePort}
	in.Target.Port = uint16(service.Spec.Ports[0].Port)
	var slice discoveryv1.EndpointSlice
	there, err := found(c.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: endpoint.SliceName(name.Name)}, &slice))
	if err != nil {
		return nil, false, err
	}
	if there {
		in.Slice = &slice
	}
	path, started, err := r.lookServer(ctx, c, set, in)
	if err != nil {
		return nil, false, err
	}
	in.Missed = course.Missed(m.Status.Proof, m.Status.Endpoint, started)
	if watched(m) && in.Target.Port > 0 && len(in.Target.Addresses) > 0 {
		in.Target.Probes = r.probe(ctx, c, m, set, in.Target.Port, path)
	}
	if m.Status.Phase == v1alpha1.PhaseFinalized {
		in.SelectorServes, err = selectorServes(ctx, c, name)
	}
	return in, true, err
}

// lookServer reads the StatefulSet and its pod; it gives the path of the readiness page, and when the server's container started.
func (r *Reconciler) lookServer(ctx context.Context, c *prometheusmigration.Cluster, name types.NamespacedName, in *endpoint.Input) (path string, started time.Time, err error) {
	path = endpoint.ReadyPath
	var set appsv1.StatefulSet
	there, err := found(c.Get(ctx, name, &set))
	if err != nil || !there {
		return path, started, err
	}
	in.Shape.Selector = set.Spec.Selector.MatchLabels
	for _, container := range set.Spec.Template.Spec.Containers {
		if p := container.ReadinessProbe; container.Name == "prometheus" && p != nil && p.HTTPGet != nil {
			path = p.HTTPGet.Path
		}
	}
	var pod corev1.Pod
	there, err = found(c.Get(ctx, types.NamespacedName{Namespace: name.Namespace, Name: name.Name + "-0"}, &pod))
	if err != nil || !there {
		return path, started, err
	}
	in.Target.Ending = !pod.DeletionTimestamp.IsZero()
	in.Target.Ready = prometheusmigration.IsReady(&pod)
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			in.Target.Addresses = append(in.Target.Addresses, a)
		}
	}
	return path, prometheusmigration.StartOf(&pod), nil
}

func found(err error) (bool, error) {
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

func (r *Reconciler) probe(ctx context.Context, c *prometheusmigration.Cluster, m *v1alpha1.PrometheusMigration, name types.NamespacedName,
	port uint16, path string) endpoint.Streak {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	result := r.Probe(ctx, c, name.Namespace, name.Name+"-0", port, path)
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(m)
	r.streaks[key] = r.streaks[key].Next(result, r.Kit.Clock.Now())
	return r.streaks[key]
}

// selectorServes says that an EndpointSlice of Kubernetes' own leads to a ready pod.
func selectorServes(ctx context.Context, c *prometheusmigration.Cluster, name types.NamespacedName) (bool, error) {
	var list discoveryv1.EndpointSliceList
	if err := c.List(ctx, &list, client.InNamespace(name.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: name.Name}); err != nil {
		return false, fmt.Errorf("listing the EndpointSlices of %s: %w", name.Name, err)
	}
	for _, slice := range list.Items {
		if slice.Name == endpoint.SliceName(name.Name) {
			continue
		}
		if slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Conditions.Ready != nil && *e.Conditions.Ready }) {
			return true, nil
		}
	}
	return false, nil
}

// write brings Service and EndpointSlice to what was decided, where they are otherwise.
func (r *Reconciler) write(ctx context.Context, c *prometheusmigration.Cluster, m *v1alpha1.PrometheusMigration, in *endpoint.Input, d *endpoint.Decision) error {
	if d.Service != nil && m.Status.Phase == v1alpha1.PhaseFinalized {
		if err := c.Put(ctx, fieldManager, d.Service); err != nil {
			return err
		}
	}
	if d.Slice == nil {
		if in.Slice == nil {
			return nil
		}
		if err := c.Delete(ctx, in.Slice); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting the EndpointSlice: %w", err)
		}
		return nil
	}
	if in.Slice != nil && same(in.Slice, d.Slice) {
		return nil
	}
	return c.Put(ctx, fieldManager, d.Slice)
}

func same(a, b *discoveryv1.EndpointSlice) bool {
	one := func(s *discoveryv1.EndpointSlice) string {
		if len(s.Endpoints) != 1 || len(s.Endpoints[0].Addresses) != 1 || len(s.Ports) != 1 || s.Ports[0].Port == nil {
			return ""
		}
		ready := s.Endpoints[0].Conditions.Ready
		return fmt.Sprint(s.Endpoints[0].Addresses[0], *s.Ports[0].Port, ready == nil || *ready, s.Labels[endpoint.LabelLeadsTo])
	}
	return one(a) != "" && one(a) == one(b)
}

// tell writes where users are led, and says it when that changes.
func (r *Reconciler) tell(ctx context.Context, m *v1alpha1.PrometheusMigration, d *endpoint.Decision) error {
	patch := kube.NewPatch(r.Kit, m, func(m *v1alpha1.PrometheusMigration) any { return &m.Status })
	if m.Status.Endpoint == nil {
		m.Status.Endpoint = &v1alpha1.EndpointStatus{}
	}
	e := m.Status.Endpoint
	side := v1alpha1.Side(d.To)
	if side != v1alpha1.SideSource && side != v1alpha1.SideTarget {
		return nil
	}
	reason := ""
	if e.Wanted != "" && e.Wanted != side {
		reason = kube.Limit(d.Rule+": "+d.Says, 1024)
	}
	moved := e.LeadsTo != side
	if moved {
		e.LeadsTo, e.Since = side, &metav1.Time{Time: r.Kit.Clock.Now()}
	}
	// The words of a wait change every second; its rule does not.
	if moved || (reason == "") != (e.Reason == "") || reason != "" && !strings.HasPrefix(e.Reason, d.Rule+":") {
		e.Reason = reason
	}
	if moved {
		r.Kit.Event(m, corev1.EventTypeNormal, "LeadsTo"+string(side), "Lead", d.Rule+": "+d.Says)
	}
	_, err := patch.Status(ctx, m)
	return client.IgnoreNotFound(err)
}
