package operation

import (
	"context"
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// find reads what the operation is about.
func (r *Reconciler) find(ctx context.Context, s *scope) (kube.Result, error) {
	key := types.NamespacedName{Namespace: view.Home(s.op), Name: s.op.Spec.ClusterName}
	var err error
	if s.seen, err = r.View.Cluster(ctx, key); err != nil {
		return kube.Result{}, err
	}
	s.deployment, s.cluster = s.seen.Deployment, s.seen.Object
	s.machines = make(map[string]*v1alpha1.Machine, len(s.op.Spec.Machines))
	for _, name := range s.op.Spec.Machines {
		if m := s.seen.Machine(name); m != nil {
			s.machines[name] = m
			continue
		}
		m := &v1alpha1.Machine{}
		err := r.Kit.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: name}, m)
		if client.IgnoreNotFound(err) != nil {
			return kube.Result{}, fmt.Errorf("reading machine %s: %w", name, err)
		}
		if err == nil {
			s.machines[name] = m
		}
	}
	return kube.Result{}, nil
}

// gate holds the operation back while nothing may start, or while another one works on one of its machines.
func (r *Reconciler) gate(ctx context.Context, s *scope) (kube.Result, error) {
	o := s.seen.Observed
	switch {
	case o.Frozen != "":
		return s.wait(v1alpha1.ReasonFrozen, "everything is frozen: "+o.Frozen)
	case o.Paused != "" && s.cluster != nil:
		return s.wait(v1alpha1.ReasonPaused, "the cluster is paused: "+o.Paused)
	}
	if why, paused := kube.Paused(s.op, v1alpha1.PausedAnnotation); paused {
		return s.wait(v1alpha1.ReasonPaused, "the operation is paused: "+why)
	}
	if message := s.misfit(); message != "" {
		s.end, s.endMessage = v1alpha1.OperationFailed, message
		return kube.Result{Stop: true}, nil
	}
	for _, name := range s.op.Spec.Machines {
		others, err := r.View.Operations(ctx, view.OperationActive, view.Key(view.Home(s.op), name))
		if err != nil {
			return kube.Result{}, err
		}
		for i := range others {
			other := &others[i]
			if other.UID != s.op.UID && (other.Status.Phase == v1alpha1.OperationRunning || view.Older(other, s.op) < 0) {
				return s.wait(v1alpha1.ReasonPending, fmt.Sprintf("operation %s works on machine %s", other.Name, name))
			}
		}
	}
	return kube.Result{}, nil
}

// wait ends the pass of an operation that may not start.
func (s *scope) wait(reason, message string) (kube.Result, error) {
	s.waitReason, s.waitMessage = reason, message
	return kube.Result{RequeueAfter: waitAgain, Stop: true}, nil
}

// misfit says why the operation can never run.
func (s *scope) misfit() string {
	cleans := s.op.Spec.EntryPoint == v1alpha1.EntryRemove || s.op.Spec.EntryPoint == v1alpha1.EntryCheck
	if s.cluster == nil && !cleans {
		return fmt.Sprintf("there is no Cluster %s in namespace %s", s.op.Spec.ClusterName, view.Home(s.op))
	}
	if s.deployment == nil && !cleans {
		return fmt.Sprintf("the ClusterDeployment %s is gone", s.op.Spec.ClusterName)
	}
	var foreign []string
	for _, name := range s.op.Spec.Machines {
		m := s.machines[name]
		switch {
		case m == nil:
			foreign = append(foreign, name+" does not exist")
		case m.Spec.ClaimRef == nil && !cleans:
			foreign = append(foreign, name+" is not held by the cluster")
		case m.Spec.ClaimRef != nil && m.Spec.ClaimRef.Name != s.op.Spec.ClusterName:
			foreign = append(foreign, name+" is held by cluster "+m.Spec.ClaimRef.Name)
		}
	}
	return kube.Sentence(foreign)
}

// reserve takes the machines of the operation in this process, all or none: two passes at once must not both start.
func (r *Reconciler) reserve(_ context.Context, s *scope) (kube.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	home := view.Home(s.op)
	for _, name := range s.op.Spec.Machines {
		if holder, ok := r.busy[view.Key(home, name)]; ok && holder != s.op.UID {
			return s.wait(v1alpha1.ReasonPending, "another operation begins to work on machine "+name)
		}
	}
	for _, name := range s.op.Spec.Machines {
		r.busy[view.Key(home, name)] = s.op.UID
	}
	return kube.Result{}, nil
}

// free ends the reservation once the API shows how the operation stands.
func (r *Reconciler) free(op *v1alpha1.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range op.Spec.Machines {
		if key := view.Key(view.Home(op), name); r.busy[key] == op.UID {
			delete(r.busy, key)
		}
	}
}
