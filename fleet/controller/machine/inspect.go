package machine

import (
	"context"
	"errors"
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refuseDoubles finds other machines that are the same host. Neither of two free ones may be used: nobody knows which
// of them is meant.
func (r *Reconciler) refuseDoubles(ctx context.Context, s *scope) (kube.Result, error) {
	found, err := r.doubles(ctx, s.machine)
	if err != nil || found.Reason == "" {
		return kube.Result{}, err
	}
	s.verdict = found
	return kube.Result{RequeueAfter: jitter(r.RetryInterval), Stop: true}, nil
}

// reportDoubles tells of doubles of a machine in use, which goes on working.
func (r *Reconciler) reportDoubles(ctx context.Context, s *scope) (kube.Result, error) {
	found, err := r.doubles(ctx, s.machine)
	s.verdict = found
	return kube.Result{}, err
}

func (r *Reconciler) doubles(ctx context.Context, m *v1alpha1.Machine) (Verdict, error) {
	byHost, err := r.twins(ctx, m, view.MachineHost, view.Host(&m.Spec))
	if err != nil {
		return Verdict{}, err
	}
	if len(byHost) > 0 {
		return Verdict{v1alpha1.ReasonDuplicate, fmt.Sprintf("%s is also the address of machine %s: delete one of them", view.Host(&m.Spec), kube.Names(byHost, 5))}, nil
	}
	if m.Status.Facts == nil || m.Status.Facts.MachineID == "" {
		return Verdict{}, nil
	}
	byID, err := r.twins(ctx, m, view.MachineID, m.Status.Facts.MachineID)
	if err != nil || len(byID) == 0 {
		return Verdict{}, err
	}
	return Verdict{v1alpha1.ReasonDuplicate, fmt.Sprintf("machine %s has the same machine-id %s: it is the same host, or a clone whose machine-id was never renewed",
		kube.Names(byID, 5), m.Status.Facts.MachineID)}, nil
}

// twins names the other machines under one key of an index, in all namespaces, and wakes those that do not know it yet.
func (r *Reconciler) twins(ctx context.Context, m *v1alpha1.Machine, index, value string) ([]string, error) {
	var list v1alpha1.MachineList
	err := r.Kit.List(ctx, &list, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	if err != nil {
		return nil, fmt.Errorf("looking for doubles of machine %s: %w", m.Name, err)
	}
	var names []string
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID == m.UID {
			continue
		}
		names = append(names, other.Namespace+"/"+other.Name)
		if view.Free(other) {
			r.again.Send(view.Key(other.Namespace, other.Name))
		}
	}
	return names, nil
}

// inspect visits a host that no cluster holds, when a visit is due.
func (r *Reconciler) inspect(ctx context.Context, s *scope) (kube.Result, error) {
	m := s.machine
	busy, err := r.View.Operations(ctx, view.OperationActive, view.Key(m.Namespace, m.Name))
	if err != nil {
		return kube.Result{}, err
	}
	if len(busy) > 0 {
		s.cleaning = busy[len(busy)-1].Name
		return kube.Result{Stop: true}, nil
	}
	if wait := r.due(m, settled(m)); wait > 0 {
		return kube.Result{RequeueAfter: wait, Stop: true}, nil
	}
	s.visited = true
	s.inspection, s.failure = r.visit(ctx, s)
	if s.failure == nil {
		s.failure = r.pin(ctx, s)
	}
	if s.failure == nil {
		s.holder, s.failure = r.knownHolder(ctx, s.inspection.Lease)
	}
	if s.failure != nil {
		wait := r.noted(m, true)
		if !m.DeletionTimestamp.IsZero() && view.Overridden(m, view.RuleCleanFirst) {
			return kube.Result{}, nil
		}
		return kube.Result{RequeueAfter: wait, Stop: true}, hostError(s.failure)
	}
	return kube.Result{RequeueAfter: r.noted(m, false)}, nil
}

// settled says that the status of a free machine says all that there is to say until the next visit.
func settled(m *v1alpha1.Machine) bool {
	switch {
	case m.Status.Facts == nil || !m.DeletionTimestamp.IsZero():
		return false
	case m.Spec.Quarantine != nil:
		return m.Status.Phase == v1alpha1.MachineQuarantined
	}
	return m.Status.Phase == v1alpha1.MachineIdle
}

func (r *Reconciler) visit(ctx context.Context, s *scope) (host.Inspection, error) {
	var err error
	if s.address, err = view.Address(ctx, r.Kit, s.machine); err != nil {
		return host.Inspection{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return r.Prober.Inspect(ctx, s.address)
}

// pin keeps the host keys that the first inspection saw.
func (r *Reconciler) pin(ctx context.Context, s *scope) error {
	seen := s.inspection
	r.Kit.Point("machine.inspected")
	err := kube.Spec(ctx, r.Kit, s.machine, func(m *v1alpha1.Machine) {
		if m.Spec.HostKey == "" {
			m.Spec.HostKey = seen.HostKey
		}
		if m.Spec.Bastion != nil && m.Spec.Bastion.HostKey == "" {
			m.Spec.Bastion.HostKey = seen.BastionHostKey
		}
	})
	s.address.HostKey = s.machine.Spec.HostKey
	if b := s.machine.Spec.Bastion; b != nil {
		s.address.Bastion.HostKey = b.HostKey
	}
	return err
}

// knownHolder finds the operation that a lease names; nil when there is none, or none that this operator knows.
func (r *Reconciler) knownHolder(ctx context.Context, lease host.Lease) (*v1alpha1.Operation, error) {
	if lease.Operation == "" {
		return nil, nil
	}
	ops, err := r.View.Operations(ctx, view.OperationUID, view.OperationOfRun(lease.Operation))
	if err != nil || len(ops) == 0 {
		return nil, err
	}
	return &ops[0], nil
}

// judge says whether the host may be claimed.
func (r *Reconciler) judge(_ context.Context, s *scope) (kube.Result, error) {
	if s.verdict.Reason == "" {
		s.verdict = r.Requirements.judge(s.inspection.Facts)
	}
	if s.verdict.Reason == "" {
		return kube.Result{}, nil
	}
	return kube.Result{RequeueAfter: r.noted(s.machine, true)}, nil
}

// ping looks whether the host of a machine in use answers. One whose facts are lost is inspected instead.
func (r *Reconciler) ping(ctx context.Context, s *scope) (kube.Result, error) {
	m := s.machine
	if m.Status.Phase == "" && m.Status.Facts == nil && m.Spec.HostKey == "" {
		return kube.Result{RequeueAfter: r.RetryInterval}, nil
	}
	if wait := r.due(m, m.Status.Facts != nil); wait > 0 {
		return kube.Result{RequeueAfter: wait}, nil
	}
	s.visited = true
	if m.Status.Facts == nil {
		s.inspection, s.failure = r.visit(ctx, s)
	} else {
		s.inspection.Lease, s.failure = r.look(ctx, s)
	}
	if s.failure == nil {
		s.holder, s.failure = r.knownHolder(ctx, s.inspection.Lease)
	}
	return kube.Result{RequeueAfter: r.noted(m, s.failure != nil)}, hostError(s.failure)
}

func (r *Reconciler) look(ctx context.Context, s *scope) (host.Lease, error) {
	var err error
	if s.address, err = view.Address(ctx, r.Kit, s.machine); err != nil {
		return host.Lease{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	return r.Prober.Ping(ctx, s.address)
}

// hostError gives an error of a visit its kind: a host is visited again at its time, so it is never an error that the
// queue has to retry.
func hostError(err error) error {
	var problem *host.Error
	if errors.As(err, &problem) {
		return kube.Human(reasonOf(err), err)
	}
	return err
}

// reasonOf is the reason of the conditions for what went wrong on a visit.
func reasonOf(err error) string {
	var problem *host.Error
	if errors.As(err, &problem) {
		return string(problem.Kind)
	}
	return kube.Reason(err, v1alpha1.ReasonUnreachable)
}

// warn records something that a person should know.
func (r *Reconciler) warn(m *v1alpha1.Machine, reason, action, note string) {
	r.Kit.Event(m, corev1.EventTypeWarning, reason, action, note)
}
