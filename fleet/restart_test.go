//go:build plane

package fleet_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube/kubetest"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// life is that of a fleet's operator: when it is over neither the API nor hosts, runs or clusters are reached.
type life struct{ *kubetest.Life }

func newLife(point string) *life { return &life{kubetest.NewLife(point)} }

func (l *life) wrap(cfg *rest.Config, o *fleet.Options) {
	cfg.Wrap(l.Wrap)
	o.Executor = mortalExecutor{o.Executor, l}
	o.Prober = mortalProber{o.Prober, l}
	o.Connector = mortalConnector{o.Connector, l}
	o.Crash = l.Crash
}

type mortalExecutor struct {
	executor.Executor
	life *life
}

func (e mortalExecutor) Start(ctx context.Context, run executor.Run) error {
	if e.life.Dead() {
		return kubetest.ErrDead
	}
	return e.Executor.Start(ctx, run)
}

func (e mortalExecutor) Cancel(ctx context.Context, name string) error {
	if e.life.Dead() {
		return kubetest.ErrDead
	}
	return e.Executor.Cancel(ctx, name)
}

type mortalProber struct {
	host.Prober
	life *life
}

func (p mortalProber) Take(ctx context.Context, a host.Address, expected int64, cluster, operation string) (host.Lease, error) {
	if p.life.Dead() {
		return host.Lease{}, kubetest.ErrDead
	}
	return p.Prober.Take(ctx, a, expected, cluster, operation)
}

func (p mortalProber) Release(ctx context.Context, a host.Address, generation int64) error {
	if p.life.Dead() {
		return kubetest.ErrDead
	}
	return p.Prober.Release(ctx, a, generation)
}

type mortalConnector struct {
	remote.Connector
	life *life
}

func (c mortalConnector) Connect(ctx context.Context, t remote.Target) (remote.Cluster, error) {
	if c.life.Dead() {
		return nil, kubetest.ErrDead
	}
	return c.Connector.Connect(ctx, t)
}

// recorder fails the test when a playbook is started twice on a host by two runs without a remove in between.
type recorder struct {
	executor.Executor
	sim *sim
}

func (r *recorder) Start(ctx context.Context, run executor.Run) error {
	r.sim.mu.Lock()
	for _, h := range run.Hosts {
		if run.Playbook == "remove" {
			delete(r.sim.starts, "create/"+h)
			delete(r.sim.starts, "scale/"+h)
		}
		key := run.Playbook + "/" + h
		_, mayFail := r.sim.failing[key] // one that fails is tried again
		if before, ok := r.sim.starts[key]; ok && !mayFail && before != run.Name && (run.Playbook == "create" || run.Playbook == "scale") {
			r.sim.t.Errorf("%s ran on %s twice, as %s and as %s", run.Playbook, h, before, run.Name)
		}
		r.sim.starts[key] = run.Name
	}
	r.sim.mu.Unlock()
	return r.Executor.Start(ctx, run)
}

// points are all places at which a death is tested, with the part of the story in which they are met.
var points = []string{
	"machine.inspected", "machine.released",
	"machineset.claimed", "machineset.marked",
	"clusterdeployment.cluster-made", "clusterdeployment.set-made", "clusterdeployment.taken-down",
	"clusterinstall.pki-made", "clusterinstall.phase-set", "clusterinstall.operation-made", "clusterinstall.machine-written", "clusterinstall.node-deleted",
	"operation.taken", "operation.started", "operation.cancelled",
	"remotemachineset.machine-written", "addons.applied",
}

func TestOperatorDiesAnywhereAndNothingIsLostOrRepeated(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			s := newSim(t)
			s.life = newLife(point)
			first := s.operator()
			died := make(chan struct{})
			go func() {
				<-s.life.Ended()
				first()
				s.life = nil
				s.operator()
				close(died)
			}()
			s.story()
			select {
			case <-died:
			case <-time.After(kubetest.Patience):
				t.Errorf("the point %s was never met", point)
			}
		})
	}
}

// story is a life of a cluster: create, grow, shrink, delete, and one that is deleted while it is installed.
func (s *sim) story() {
	s.t.Helper()
	s.machines(5)
	s.idles(5)
	d := s.deployment("shop", 1)
	kubetest.Must(s.t, s.client, d)
	s.ready("shop", 3)
	s.replicas("shop", 2)
	s.ready("shop", 4)
	s.replicas("shop", 1)
	s.ready("shop", 3)
	s.idles(2)
	s.deleted(d)
	s.idles(5)
	s.latency.Store(int64(time.Minute))
	short := s.deployment("brief", 1)
	kubetest.Must(s.t, s.client, short)
	kubetest.Eventually(s.t, "the installation runs", func(ctx context.Context) error {
		var ops v1alpha1.OperationList
		if err := s.client.List(ctx, &ops, client.InNamespace(s.ns), client.MatchingLabels{v1alpha1.ClusterLabel: "brief"}); err != nil {
			return err
		}
		for _, op := range ops.Items {
			if op.Status.Phase == v1alpha1.OperationRunning {
				return nil
			}
		}
		return fmt.Errorf("%d operations, none runs", len(ops.Items))
	})
	s.latency.Store(int64(300 * time.Millisecond))
	s.deleted(short)
	s.idles(5)
}
