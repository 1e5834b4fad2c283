package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/plan"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	namespace = "scale"
	writers   = 8
	poll      = 2 * time.Second
)

// phase is what one part of a measurement cost.
type phase struct {
	name     string
	clusters int
	machines int
	seconds  float64
	operator float64 // CPU seconds
	api      float64 // CPU seconds
	writes   writes
}

// result is what a case cost.
type result struct {
	scenario
	latency   time.Duration
	window    time.Duration
	rounds    []phase
	inspect   phase
	steady    phase
	deletion  phase
	peak, api float64 // MiB
	than      *result // the case that a machine must not cost more than; nil: none
}

// sample is the state of all counters at one moment.
type sample struct {
	at            time.Time
	operator, api float64
	writes        writes
}

func (b *bench) sample(ctx context.Context) (s sample, err error) {
	if s.operator, err = cpuSeconds(b.operator.cmd.Process.Pid); err != nil {
		return s, err
	}
	pid, err := child("kube-apiserver")
	if err != nil {
		return s, err
	}
	if s.api, err = cpuSeconds(pid); err != nil {
		return s, err
	}
	s.writes, err = readRequests(ctx, b.plane.Config(), writing)
	s.at = time.Now()
	return s, err
}

// part measures what happens while do runs.
func (b *bench) part(ctx context.Context, name string, clusters, machines int, do func(context.Context) error) (phase, error) {
	before, err := b.sample(ctx)
	if err != nil {
		return phase{}, err
	}
	start := time.Now()
	if err := do(ctx); err != nil {
		return phase{}, fmt.Errorf("%s: %w", name, err)
	}
	took := time.Since(start)
	after, err := b.sample(ctx)
	if err != nil {
		return phase{}, err
	}
	p := phase{
		name: name, clusters: clusters, machines: machines, seconds: took.Seconds(),
		operator: after.operator - before.operator, api: after.api - before.api, writes: after.writes.since(before.writes),
	}
	fmt.Fprintf(os.Stderr, "%s: %.1f s, operator %.1f CPU-s, API server %.1f CPU-s, %d writes, %d conflicts\n", name, p.seconds, p.operator, p.api, p.writes.total(), p.writes.conflicts())
	return p, nil
}

func (b *bench) measure(ctx context.Context) (*result, error) {
	r := &result{scenario: b.scenario, latency: b.latency, window: b.window}
	total := b.rounds * b.clusters * b.machines
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	var err error
	if b.watch, err = watchStates(ctx, b.client); err != nil {
		return nil, err
	}
	r.inspect, err = b.part(ctx, "inspect", b.rounds*b.clusters, total, func(ctx context.Context) error {
		if err := b.addMachines(ctx, total); err != nil {
			return err
		}
		return b.waitPhase(ctx, v1alpha1.MachineIdle, total)
	})
	if err != nil {
		return nil, err
	}
	for round := range b.rounds {
		p, err := b.part(ctx, fmt.Sprintf("create %d", round+1), b.clusters, b.clusters*b.machines, func(ctx context.Context) error {
			return b.create(ctx, round)
		})
		if err != nil {
			return nil, err
		}
		p.writes.subtract("POST", "clusterdeployments", b.clusters) // those are ours
		r.rounds = append(r.rounds, p)
	}
	if err := b.allReady(ctx, total); err != nil {
		return nil, err
	}
	if r.steady, err = b.part(ctx, "steady", b.rounds*b.clusters, total, b.wait); err != nil {
		return nil, err
	}
	r.deletion, err = b.part(ctx, "delete", b.rounds*b.clusters, total, func(ctx context.Context) error { return b.delete(ctx, total) })
	if err != nil {
		return nil, err
	}
	if r.peak, err = peakMiB(b.operator.cmd.Process.Pid); err != nil {
		return nil, err
	}
	pid, err := child("kube-apiserver")
	if err != nil {
		return nil, err
	}
	r.api, err = peakMiB(pid)
	return r, err
}

func (b *bench) prepare(ctx context.Context) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "rack-key"}, Type: corev1.SecretTypeSSHAuth,
			Data: map[string][]byte{corev1.SSHAuthPrivateKey: []byte("simulated hosts ask for none")},
		},
	}
	for _, o := range objects {
		if err := b.client.Create(ctx, o); err != nil {
			return fmt.Errorf("making %s: %w", o.GetName(), err)
		}
	}
	return nil
}

// each does something n times, several at once.
func each(n int, do func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}

func (b *bench) addMachines(ctx context.Context, n int) error {
	return each(n, func(i int) error {
		return b.client.Create(ctx, &v1alpha1.Machine{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("m%05d", i)},
			Spec: v1alpha1.MachineSpec{
				Address: fmt.Sprintf("10.%d.%d.%d", 1+i/62500, i/250%250, 1+i%250), SSHKeySecretName: "rack-key",
				FailureDomain: fmt.Sprintf("r%03d", i/40),
			},
		})
	})
}

func (b *bench) create(ctx context.Context, round int) error {
	err := each(b.clusters, func(i int) error { return b.client.Create(ctx, deployment(clusterName(round, i), b.machines)) })
	if err != nil {
		return err
	}
	return b.watch.wait(ctx, (round+1)*b.clusters, func(s string) bool { return s == plan.StateAvailable })
}

func clusterName(round, i int) string { return fmt.Sprintf("c%d-%03d", round, i) }

// deployment is a cluster of one control plane, one etcd machine, and workers.
func deployment(name string, machines int) *v1alpha1.ClusterDeployment {
	return &v1alpha1.ClusterDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ClusterDeploymentSpec{
			Kubernetes:   v1alpha1.Kubernetes{Version: "v1.36.3"},
			Etcd:         v1alpha1.Etcd{Topology: v1alpha1.EtcdExternal, Machines: &v1alpha1.EtcdMachines{Replicas: 1}},
			Network:      v1alpha1.Network{Plugin: v1alpha1.NetworkFlannel, PodCIDRs: []string{"172.20.0.0/14"}, ServiceCIDRs: []string{"192.168.0.0/16"}},
			APIEndpoint:  v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: "api." + name + ".example", Port: 6443},
			ControlPlane: v1alpha1.ControlPlane{Replicas: 1},
			Addons:       []v1alpha1.Addon{{Name: "coredns"}},
			Workers:      []v1alpha1.WorkerSet{{Name: "general", Replicas: ptr.To(int32(machines - 2))}},
		},
	}
}

// allReady looks at every machine once.
func (b *bench) allReady(ctx context.Context, total int) error {
	ready, next := 0, ""
	for {
		var list v1alpha1.MachineList
		if err := b.client.List(ctx, &list, client.InNamespace(namespace), client.Limit(1000), client.Continue(next)); err != nil {
			return fmt.Errorf("listing machines: %w", err)
		}
		for i := range list.Items {
			if list.Items[i].Status.Phase == v1alpha1.MachineReady {
				ready++
			}
		}
		if next = list.Continue; next == "" {
			break
		}
	}
	if ready != total {
		return fmt.Errorf("%d of %d machines are Ready", ready, total)
	}
	return nil
}

func (b *bench) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.window):
		return nil
	}
}

func (b *bench) delete(ctx context.Context, total int) error {
	for round := range b.rounds {
		err := each(b.clusters, func(i int) error { return b.client.Delete(ctx, deployment(clusterName(round, i), b.machines)) })
		if err != nil {
			return err
		}
	}
	if err := b.watch.wait(ctx, 0, func(string) bool { return true }); err != nil {
		return err
	}
	return b.waitPhase(ctx, v1alpha1.MachineIdle, total)
}

// waitPhase waits until the operator sees so many machines in a phase.
func (b *bench) waitPhase(ctx context.Context, wanted v1alpha1.MachinePhase, n int) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		seen, err := b.operator.machines()
		if err != nil || seen[string(wanted)] >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d machines are %s: %w", seen[string(wanted)], n, wanted, ctx.Err())
		case <-tick.C:
		}
	}
}
