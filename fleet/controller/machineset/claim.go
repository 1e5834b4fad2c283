package machineset

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// writers is how many machines of one set are written at once.
const writers = 8

// claim takes the machines that the set lacks.
func (r *Reconciler) claim(ctx context.Context, s *scope) (kube.Result, error) {
	key := client.ObjectKeyFromObject(s.set)
	missing := replicas(s.set) - len(s.staying)
	if missing <= 0 {
		r.waiting.remove(key)
		return kube.Result{}, nil
	}
	// The set waits before it looks: a machine that becomes free in between wakes it.
	r.waiting.add(key)
	picked, done, err := r.choose(ctx, s, missing)
	if err != nil {
		return kube.Result{}, err
	}
	defer done()
	if picked.Short() {
		if s.message, err = r.why(ctx, s, missing); err != nil {
			return kube.Result{}, err
		}
		s.reason = v1alpha1.ReasonTooFewMachines
	} else {
		r.waiting.remove(key)
	}
	if len(picked.Picked) == 0 {
		return kube.Result{}, nil
	}
	if err := r.holdKeys(ctx, s.set.Namespace, picked.Picked); err != nil {
		return kube.Result{}, err
	}
	return kube.Result{}, r.take(ctx, s, picked.Picked)
}

// choose picks and reserves. done ends the reservation; by then the cache shows what was claimed.
func (r *Reconciler) choose(ctx context.Context, s *scope, missing int) (plan.PickResult, func(), error) {
	p := r.pools.of(s.set.Namespace)
	p.Lock()
	defer p.Unlock()
	free, err := r.View.Machines(ctx, s.set.Namespace, view.MachineFree, "true")
	if err != nil {
		return plan.PickResult{}, nil, err
	}
	out, err := plan.Pick(plan.PickInput{
		Role: s.set.Spec.Role, Selector: s.set.Spec.Selector, Held: s.staying, Pool: pointers(free), Want: missing,
		Reserved: func(name string) bool { return p.reserved[name] },
	})
	if err != nil {
		return out, nil, kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("choosing machines for %s: %w", s.set.Name, err))
	}
	for _, m := range out.Picked {
		p.reserved[m.Name] = true
	}
	return out, func() {
		p.Lock()
		defer p.Unlock()
		for _, m := range out.Picked {
			delete(p.reserved, m.Name)
		}
	}, nil
}

// why says why the pool has too few machines; only then all of it is looked at.
func (r *Reconciler) why(ctx context.Context, s *scope, missing int) (string, error) {
	var all v1alpha1.MachineList
	if err := r.Kit.List(ctx, &all, client.InNamespace(s.set.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing the pool of %s: %w", s.set.Name, err)
	}
	out, err := plan.Pick(plan.PickInput{Role: s.set.Spec.Role, Selector: s.set.Spec.Selector, Held: s.staying, Pool: pointers(all.Items), Want: missing})
	return out.Message(), err
}

// holdKeys puts a finalizer on the Secrets with the SSH keys: they are needed until the hosts are clean.
func (r *Reconciler) holdKeys(ctx context.Context, namespace string, machines []*v1alpha1.Machine) error {
	seen := map[string]bool{}
	for _, m := range machines {
		if seen[m.Spec.SSHKeySecretName] {
			continue
		}
		seen[m.Spec.SSHKeySecretName] = true
		secret := &corev1.Secret{}
		err := r.Kit.Get(ctx, types.NamespacedName{Namespace: namespace, Name: m.Spec.SSHKeySecretName}, secret)
		if err == nil {
			err = kube.EnsureFinalizer(ctx, r.Kit, secret, v1alpha1.Finalizer)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("holding secret %s: %w", m.Spec.SSHKeySecretName, err)
		}
	}
	return nil
}

// take writes the claims. Those that somebody else changed meanwhile are chosen again in the next pass.
func (r *Reconciler) take(ctx context.Context, s *scope, picked []*v1alpha1.Machine) error {
	var (
		group errgroup.Group
		mu    sync.Mutex
		names []string
		errs  []error
	)
	group.SetLimit(writers)
	ref := v1alpha1.ClaimRef{Name: s.set.Spec.ClusterName, UID: s.cluster.Spec.UID, MachineSet: s.set.Name}
	for _, m := range picked {
		group.Go(func() error {
			claimed := m.DeepCopy()
			err := kube.Spec(ctx, r.Kit, claimed, func(m *v1alpha1.Machine) {
				m.Spec.ClaimRef = ref.DeepCopy()
				controllerutil.AddFinalizer(m, v1alpha1.Finalizer)
			})
			r.Kit.Point("machineset.claimed")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("claiming machine %s: %w", m.Name, err))
				return nil
			}
			names = append(names, m.Name)
			s.held, s.staying = append(s.held, claimed), append(s.staying, claimed)
			return nil
		})
	}
	_ = group.Wait() // the functions return no errors: one machine that cannot be had must not stop the others
	if len(names) > 0 {
		r.Kit.Event(s.set, corev1.EventTypeNormal, "Claimed", "Claim", fmt.Sprintf("claimed %d: %s", len(names), kube.Names(names, 20)))
	}
	return errors.Join(errs...)
}

// shrink marks machines when the set holds more than it wants.
func (r *Reconciler) shrink(ctx context.Context, s *scope) (kube.Result, error) {
	for _, m := range plan.Leave(s.staying, len(s.staying)-replicas(s.set), atWork) {
		if err := r.mark(ctx, s, m, v1alpha1.ReleaseScaleIn); err != nil {
			return kube.Result{}, err
		}
	}
	return kube.Result{}, nil
}

func atWork(m *v1alpha1.Machine) bool { return m.Status.Phase == v1alpha1.MachineReady }

func replicas(s *v1alpha1.MachineSet) int {
	if s.Spec.Replicas == nil {
		return 0
	}
	return int(*s.Spec.Replicas)
}

func pointers(in []v1alpha1.Machine) []*v1alpha1.Machine {
	out := make([]*v1alpha1.Machine, len(in))
	for i := range in {
		out[i] = &in[i]
	}
	return out
}
