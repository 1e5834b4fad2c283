package operation

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

// visitors is how many hosts of one operation are taken at once.
const visitors = 32

// take moves the lease of every host to this run. What ran there for older runs is ended by that. Hosts that cannot be
// taken are left out of the run, and say why.
func (r *Reconciler) take(ctx context.Context, s *scope) (kube.Result, error) {
	s.leases, s.refused = map[string]host.Lease{}, map[string]v1alpha1.HostStatus{}
	var (
		group errgroup.Group
		mu    sync.Mutex
		broke []error
	)
	group.SetLimit(visitors)
	for _, name := range s.op.Spec.Machines {
		group.Go(func() error {
			lease, err := r.takeOne(ctx, s, s.machines[name])
			mu.Lock()
			defer mu.Unlock()
			var problem *host.Error
			switch {
			case err == nil:
				s.leases[name] = lease
			case errors.As(err, &problem), isHuman(err):
				s.refused[name] = refusal(name, err)
			default:
				broke = append(broke, err)
			}
			return nil
		})
	}
	_ = group.Wait() // errors are gathered one by one
	if len(broke) > 0 {
		return kube.Result{}, errors.Join(broke...)
	}
	r.Kit.Point("operation.taken")
	return kube.Result{}, nil
}

// takeOne takes one host.
func (r *Reconciler) takeOne(ctx context.Context, s *scope, m *v1alpha1.Machine) (host.Lease, error) {
	address, err := view.Address(ctx, r.Kit, m)
	if err != nil {
		return host.Lease{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.TakeTimeout)
	defer cancel()
	lease, err := r.Prober.Ping(ctx, address)
	if err != nil {
		return host.Lease{}, err
	}
	run := view.Run(s.op, s.attempt)
	expected := lease.Generation
	if lease.Operation == run {
		expected-- // taken before; taking it again changes nothing and makes sure that older commands have ended
	} else if err := r.known(ctx, s, m, lease); err != nil {
		return host.Lease{}, err
	}
	taken, err := r.Prober.Take(ctx, address, expected, s.clusterUID(m, lease), run)
	if errors.Is(err, host.ErrLeaseChanged) {
		return taken, &host.Error{Kind: host.Busy, Err: fmt.Errorf("taking machine %s: %w", m.Name, err)}
	}
	return taken, err
}

// known refuses a host on which an operation was at work that this operator knows nothing of: it may be running still.
func (r *Reconciler) known(ctx context.Context, s *scope, m *v1alpha1.Machine, lease host.Lease) error {
	if lease.Operation == "" {
		return nil
	}
	ops, err := r.View.Operations(ctx, view.OperationUID, view.OperationOfRun(lease.Operation))
	if err != nil {
		return err
	}
	if len(ops) > 0 {
		return nil
	}
	if view.Overridden(m, view.RuleKnownStamp) || s.deployment != nil && view.Overridden(s.deployment, view.RuleKnownStamp) {
		r.Kit.Event(s.op, corev1.EventTypeWarning, "Overridden", "Take", "rule "+view.RuleKnownStamp+" was switched off: "+m.Name+" is taken from operation "+lease.Operation)
		return nil
	}
	return &host.Error{Kind: host.TakenElsewhere, Err: fmt.Errorf("the stamp on machine %s names operation %q of cluster %q, which this operator does not know: look for "+
		"another operator that works on it; if there is none, annotate the machine or the deployment with %s=%s", m.Name, lease.Operation, lease.Cluster, v1alpha1.OverrideAnnotation, view.RuleKnownStamp)}
}

// clusterUID is what is stamped on the host.
func (s *scope) clusterUID(m *v1alpha1.Machine, lease host.Lease) string {
	switch {
	case s.cluster != nil:
		return s.cluster.Spec.UID
	case m.Spec.ClaimRef != nil:
		return m.Spec.ClaimRef.UID
	case lease.Cluster != "":
		return lease.Cluster
	}
	return string(s.op.UID)
}

func isHuman(err error) bool {
	var e *kube.Error
	return errors.As(err, &e) && e.Kind == kube.NeedsHuman
}

// refusal is how a host stands that could not be taken. A host that somebody else may be working on stays Pending: it
// did not fail, and must be neither replaced nor cleaned.
func refusal(name string, err error) v1alpha1.HostStatus {
	result, message := v1alpha1.HostFailed, err.Error()
	var problem *host.Error
	if errors.As(err, &problem) {
		message = problem.Err.Error()
		switch problem.Kind {
		case host.Unreachable:
			result = v1alpha1.HostUnreachable
		case host.TakenElsewhere:
			result = v1alpha1.HostPending
		}
	}
	return v1alpha1.HostStatus{Machine: name, Result: result, Task: "taking the host", Message: kube.Limit(message, 1000)}
}
