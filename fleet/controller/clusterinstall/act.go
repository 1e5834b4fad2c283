package clusterinstall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/start"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/kube"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writers is how many machines of one cluster are written at once.
const writers = 8

// act does the steps of the plan in their order. Steps of one kind concern different machines: one that fails does not
// hold up the others, but nothing of a later kind is begun.
func (r *Reconciler) act(ctx context.Context, s *scope) (kube.Result, error) {
	for _, rule := range s.plan.Overridden {
		r.Kit.Event(s.cluster, corev1.EventTypeWarning, "Overridden", "Override", "rule "+rule+" was switched off by "+v1alpha1.OverrideAnnotation)
	}
	steps := s.plan.Steps
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].Kind == steps[0].Kind {
			n++
		}
		if err := r.together(ctx, s, steps[:n]); err != nil {
			return kube.Result{}, err
		}
		steps = steps[n:]
	}
	return kube.Result{}, nil
}

func (r *Reconciler) together(ctx context.Context, s *scope, steps []plan.Step) error {
	var group errgroup.Group
	group.SetLimit(writers)
	errs := make([]error, len(steps))
	for i, step := range steps {
		group.Go(func() error {
			errs[i] = r.step(ctx, s, step)
			return nil
		})
	}
	_ = group.Wait() // errors are gathered one by one
	return errors.Join(errs...)
}

// step does one step.
func (r *Reconciler) step(ctx context.Context, s *scope, step plan.Step) error {
	switch step.Kind {
	case plan.StepSetPhase:
		return r.setPhase(ctx, s, step)
	case plan.StepCancelOperation:
		return r.cancel(ctx, s, step)
	case plan.StepMarkLeaving:
		return r.writeMachine(ctx, s, step, "MachineLeaving", "Release", func(m *v1alpha1.Machine) { m.Spec.ClaimRef.Release = step.Release })
	case plan.StepFreeClaim:
		return r.writeMachine(ctx, s, step, "MachineFreed", "Release", func(m *v1alpha1.Machine) { m.Spec.ClaimRef = nil })
	case plan.StepQuarantine:
		return r.writeMachine(ctx, s, step, "MachineQuarantined", "Quarantine", func(m *v1alpha1.Machine) {
			m.Spec.ClaimRef, m.Spec.Quarantine = nil, &v1alpha1.Quarantine{Reason: step.Reason, Message: kube.Limit(step.Message, 1000)}
		})
	case plan.StepDeleteNode:
		return r.deleteNode(ctx, s, step)
	case plan.StepCreateOperation:
		return r.startOperation(ctx, s, step)
	case plan.StepMakePKI, plan.StepDrain, plan.StepWait:
		return nil // decide has made the keys and asked for drains; a wait is in the status
	}
	return fmt.Errorf("the plan has a step of unknown kind %s", step.Kind)
}

// setPhase writes the phase of a machine. It says nothing new: it repeats what the operations say.
func (r *Reconciler) setPhase(ctx context.Context, s *scope, step plan.Step) error {
	found := s.seen.Machine(step.Machine)
	if found == nil || step.Phase == v1alpha1.MachineClaimed && found.Status.Phase == v1alpha1.MachineIdle && claiming(s.seen.Observed) {
		return nil // the others of its set come in a moment, and then it is being installed
	}
	m := found.DeepCopy()
	patch := kube.NewPatch(r.Kit, m, func(m *v1alpha1.Machine) any { return &m.Status })
	m.Status.Phase = step.Phase
	m.Status.Attempts = nil
	if step.Attempts > 0 {
		m.Status.Attempts = ptr.To(int32(step.Attempts))
	}
	if step.Phase == v1alpha1.MachineDeployed && s.seen.Role(m) != v1alpha1.RoleEtcd {
		m.Status.NodeName = m.Name
	}
	kube.False(&m.Status.Conditions, m.Generation, v1alpha1.ConditionReady, v1alpha1.ReasonInUse, phaseWords(step.Phase, s.cluster.Name))
	_, err := patch.Status(ctx, m)
	r.Kit.Point("clusterinstall.phase-set")
	return client.IgnoreNotFound(err)
}

// claiming says that a set is about to get the machines that it lacks.
func claiming(o plan.Observed) bool {
	held := map[string]int{}
	for _, m := range o.Machines {
		held[m.Set]++
	}
	return slices.ContainsFunc(o.Sets, func(s plan.Set) bool { return held[s.Name] < s.Replicas && !s.Short })
}

func phaseWords(phase v1alpha1.MachinePhase, cluster string) string {
	switch phase {
	case v1alpha1.MachineClaimed:
		return "claimed by cluster " + cluster
	case v1alpha1.MachineDeploying:
		return "being installed for cluster " + cluster
	case v1alpha1.MachineDeployed:
		return "installed; its part in cluster " + cluster + " was not seen at work yet"
	case v1alpha1.MachineDraining:
		return "its pods leave it"
	case v1alpha1.MachineRemoving:
		return "being removed from cluster " + cluster
	}
	return "in use by cluster " + cluster
}

// writeMachine changes the spec of a machine and records it.
func (r *Reconciler) writeMachine(ctx context.Context, s *scope, step plan.Step, reason, action string, mutate func(*v1alpha1.Machine)) error {
	found := s.seen.Machine(step.Machine)
	if found == nil {
		return nil
	}
	if err := kube.Spec(ctx, r.Kit, found.DeepCopy(), mutate); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.Kit.Point("clusterinstall.machine-written")
	kind := corev1.EventTypeNormal
	if step.Kind == plan.StepQuarantine || step.Release == v1alpha1.ReleaseReplaced {
		kind = corev1.EventTypeWarning
	}
	if kind == corev1.EventTypeWarning || !s.seen.Observed.Deleting {
		r.Kit.Event(found, kind, reason, action, step.Message)
	}
	return nil
}

func (r *Reconciler) cancel(ctx context.Context, s *scope, step plan.Step) error {
	found := s.seen.Operation(step.Operation)
	if found == nil {
		return nil
	}
	err := kube.Spec(ctx, r.Kit, found.DeepCopy(), func(op *v1alpha1.Operation) { op.Spec.Cancel = v1alpha1.CancelRequested })
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	r.Kit.Event(s.cluster, corev1.EventTypeNormal, "OperationCancelled", "Cancel", step.Operation+": "+step.Message)
	return nil
}

func (r *Reconciler) deleteNode(ctx context.Context, s *scope, step plan.Step) error {
	if s.seen.Remote == nil {
		return kube.Wait(v1alpha1.ReasonClusterUnreachable, drainRetry, fmt.Errorf("deleting Node %s: there is no connection to the cluster", step.Machine))
	}
	if err := s.seen.Remote.DeleteNode(ctx, step.Machine); err != nil {
		return kube.Wait(v1alpha1.ReasonClusterUnreachable, drainRetry, fmt.Errorf("deleting Node %s: %w", step.Machine, err))
	}
	r.Kit.Point("clusterinstall.node-deleted")
	r.Kit.Event(s.cluster, corev1.EventTypeNormal, "NodeDeleted", "Delete", "Node "+step.Machine+": "+step.Message)
	return nil
}

// startOperation makes an operation. Its name follows from the newest operations of its machines, so that planning the
// same twice makes one.
func (r *Reconciler) startOperation(ctx context.Context, s *scope, step plan.Step) error {
	if err := r.brake(s, step); err != nil {
		return err
	}
	op := &v1alpha1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.cluster.Namespace, Name: step.Operation},
		Spec: v1alpha1.OperationSpec{
			ClusterName: s.cluster.Name, EntryPoint: step.EntryPoint, Machines: step.Machines,
			Reason: kube.Limit(step.Reason, 250), RetryOf: step.RetryOf,
		},
	}
	made, err := start.Operation(ctx, r.Kit, op)
	if apierrors.IsInvalid(err) {
		return kube.Wait(v1alpha1.ReasonOperationFailed, time.Minute, err)
	}
	if err != nil {
		return err
	}
	r.Kit.Point("clusterinstall.operation-made")
	if made {
		r.Kit.Event(s.cluster, corev1.EventTypeNormal, "OperationMade", "Start", fmt.Sprintf("%s: %s on %d machines: %s", op.Name, step.EntryPoint, len(step.Machines), step.Reason))
	}
	return nil
}

// The brake: so many operations on one machine may end without success within so much time.
const (
	brakeCount  = 5
	brakePeriod = 5 * time.Minute
	brakeAgain  = time.Minute
)

// brake holds a new operation back when many on the same machine failed in a short time. The plan waits between its
// attempts; this keeps a state that nobody thought of from filling the API server.
func (r *Reconciler) brake(s *scope, step plan.Step) error {
	failed := map[string]int{}
	for i := range s.seen.Operations {
		op := &s.seen.Operations[i]
		if !view.Finished(op) || op.Status.Phase == v1alpha1.OperationSucceeded || op.Status.FinishedAt == nil || r.Kit.Clock.Since(op.Status.FinishedAt.Time) > brakePeriod {
			continue
		}
		for _, m := range op.Spec.Machines {
			failed[m]++
		}
	}
	for _, m := range step.Machines {
		if failed[m] >= brakeCount {
			return kube.Wait(v1alpha1.ReasonOperationFailed, brakeAgain,
				fmt.Errorf("%d operations on machine %s failed within %s: the next one waits", failed[m], m, brakePeriod))
		}
	}
	return nil
}
