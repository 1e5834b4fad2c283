//go:build plane

package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/kube/kubetest"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// worker gives a worker of a cluster.
func (s *sim) worker(cluster string) *v1alpha1.Machine {
	s.t.Helper()
	var found *v1alpha1.Machine
	kubetest.Eventually(s.t, "a worker is claimed", func(ctx context.Context) error {
		for _, m := range s.all(ctx) {
			if c := m.Spec.ClaimRef; c != nil && c.Name == cluster && strings.HasSuffix(c.MachineSet, "-general") {
				found = m.DeepCopy()
				return nil
			}
		}
		return errors.New("none")
	})
	return found
}

func TestFailingHostIsQuarantinedAndReplaced(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(5)
	s.operator()
	s.idles(5)
	for i := 1; i <= 5; i++ {
		s.fail("scale", fmt.Sprintf("m%d", i), "")
	}
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	s.ready("shop", 3)
	var next string
	for _, m := range s.all(t.Context()) {
		if idle(&m) {
			next = m.Name
			break
		}
	}
	s.fail("scale", next, "no space left on device")
	s.replicas("shop", 2)
	kubetest.Within(t, 2*time.Minute, "the bad host is quarantined", func(ctx context.Context) error {
		m := &v1alpha1.Machine{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: next}, m); err != nil {
			return err
		}
		if m.Spec.Quarantine == nil || !strings.Contains(m.Spec.Quarantine.Message, "no space left") || m.Spec.ClaimRef != nil {
			return fmt.Errorf("quarantine %v, claim %v, phase %s", m.Spec.Quarantine, m.Spec.ClaimRef, m.Status.Phase)
		}
		return nil
	})
	s.ready("shop", 4)
	s.fail("scale", next, "")
	m := &v1alpha1.Machine{}
	m.Namespace, m.Name = s.ns, next
	kubetest.Change(t, s.client, m, func(m *v1alpha1.Machine) { m.Spec.Quarantine = nil })
	s.idles(1)
}

func TestDeleteWhileInstallingEndsWithIdleMachines(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.latency.Store(int64(20 * time.Second))
	s.machines(3)
	s.operator()
	s.idles(3)
	d := s.deployment("shop", 1)
	kubetest.Must(t, s.client, d)
	kubetest.Eventually(t, "the installation runs", func(ctx context.Context) error {
		for _, op := range s.operations(v1alpha1.EntryCreate) {
			if op.Status.Phase == v1alpha1.OperationRunning {
				return nil
			}
		}
		return errors.New("it does not")
	})
	s.latency.Store(int64(200 * time.Millisecond))
	s.deleted(d)
	s.idles(3)
}

// deleted deletes an object and waits until it is gone.
func (s *sim) deleted(o client.Object) {
	s.t.Helper()
	if err := s.client.Delete(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
	kubetest.Eventually(s.t, o.GetName()+" is gone", func(ctx context.Context) error {
		err := s.client.Get(ctx, client.ObjectKeyFromObject(o), o)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if d, ok := o.(*v1alpha1.ClusterDeployment); ok {
			return fmt.Errorf("it is there: %s", s.describe(ctx, d))
		}
		if err != nil {
			return fmt.Errorf("looking for it: %w", err)
		}
		return errors.New("it is there")
	})
}

func TestDeleteCleansEverything(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	s.operator()
	s.idles(3)
	d := s.deployment("shop", 1)
	kubetest.Must(t, s.client, d)
	s.ready("shop", 3)
	s.deleted(d)
	s.idles(3)
	for _, list := range []client.ObjectList{&v1alpha1.ClusterList{}, &v1alpha1.MachineSetList{}} {
		if err := s.client.List(t.Context(), list, client.InNamespace(s.ns)); err != nil {
			t.Fatal(err)
		}
		if n := meta.LenList(list); n != 0 {
			t.Errorf("%d objects left in %T", n, list)
		}
	}
	for i := 1; i <= 3; i++ {
		lease, err := s.hosts.Ping(t.Context(), s.at(i))
		if err != nil || lease.Operation != "" || lease.Cluster != "" || lease.Generation == 0 {
			t.Errorf("lease of m%d: %+v, %v: want a generation and no holder", i, lease, err)
		}
	}
	kubetest.Must(t, s.client, s.deployment("again", 1))
	s.ready("again", 3)
}

// at is the address of a machine with its key pinned.
func (s *sim) at(i int) host.Address {
	a := host.Address{Host: s.address(i), Port: 22, User: "root"}
	a.HostKey = host.SimulatedHostKey(a)
	return a
}

func TestDeletedMachineIsHeldUntilItIsClean(t *testing.T) {
	t.Parallel()
	s := newShop(t, 4, 1)
	m := s.worker("shop")
	s.deleted(m)
	s.ready("shop", 3)
	removed := false
	for _, op := range s.operations(v1alpha1.EntryRemove) {
		removed = removed || op.Spec.Machines[0] == m.Name
	}
	if !removed {
		t.Errorf("nothing was removed from %s before it went", m.Name)
	}
}

func TestHostsThatDoNotFitSayWhy(t *testing.T) {
	t.Parallel()
	good := func(change func(*host.Facts)) host.Facts {
		f := host.GoodFacts(host.Address{Host: "x"})
		change(&f)
		return f
	}
	s := newSim(t)
	cases := map[string]struct {
		facts  host.Facts
		fail   error
		reason string
	}{
		"no Python":       {facts: good(func(f *host.Facts) { f.Python, f.MachineID = "", "a1" }), reason: v1alpha1.ReasonNoPython},
		"no space":        {facts: good(func(f *host.Facts) { f.DiskFreeBytes, f.MachineID = 1<<30, "a2" }), reason: v1alpha1.ReasonNoSpace},
		"clock off":       {facts: good(func(f *host.Facts) { f.ClockOffset, f.MachineID = time.Minute, "a3" }), reason: v1alpha1.ReasonClockSkew},
		"leftovers":       {facts: good(func(f *host.Facts) { f.Leftovers, f.MachineID = []string{"/etc/kubernetes"}, "a4" }), reason: v1alpha1.ReasonLeftovers},
		"other system":    {facts: good(func(f *host.Facts) { f.OS, f.MachineID = "Plan 9", "a5" }), reason: v1alpha1.ReasonUnsupportedHost},
		"no sudo":         {fail: &host.Error{Kind: host.NoSudo, Err: errors.New("a password is asked for")}, reason: v1alpha1.ReasonNoSudo},
		"key refused":     {fail: &host.Error{Kind: host.Authentication, Err: errors.New("refused")}, reason: v1alpha1.ReasonAuthenticationFailed},
		"unreachable":     {fail: &host.Error{Kind: host.Unreachable, Err: errors.New("no route")}, reason: v1alpha1.ReasonUnreachable},
		"other key":       {fail: &host.Error{Kind: host.HostKeyChanged, Err: errors.New("another key")}, reason: v1alpha1.ReasonHostKeyChanged},
		"taken by others": {reason: v1alpha1.ReasonTakenElsewhere},
	}
	i, names := 0, map[string]string{}
	for name, c := range cases {
		i++
		names[name] = fmt.Sprintf("m%d", i)
		at := s.at(i)
		switch {
		case c.fail != nil:
			s.hosts.Fail(at, c.fail)
		case c.facts.OS != "":
			s.hosts.SetFacts(at, c.facts)
		default:
			s.hosts.SetLease(at, host.Lease{Generation: 4, Cluster: "other", Operation: "other-1"})
		}
	}
	s.machines(i)
	s.operator()
	for name, c := range cases {
		kubetest.Eventually(t, name+" is reported", func(ctx context.Context) error {
			m := &v1alpha1.Machine{}
			if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: names[name]}, m); err != nil {
				return err
			}
			for _, condition := range m.Status.Conditions {
				if condition.Type != v1alpha1.ConditionReady && condition.Status != "True" && condition.Reason == c.reason && m.Status.Phase != v1alpha1.MachineIdle {
					return nil
				}
			}
			return fmt.Errorf("phase %s, conditions %v", m.Status.Phase, m.Status.Conditions)
		})
	}
}

func TestOneHostTwiceIsReportedOnBoth(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(1)
	s.operator()
	s.idles(1)
	twin := s.machine(1)
	twin.Name = "twin"
	kubetest.Must(t, s.client, twin)
	for mine, other := range map[string]string{"m1": "twin", "twin": "m1"} {
		kubetest.Eventually(t, mine+" names "+other, func(ctx context.Context) error {
			m := &v1alpha1.Machine{}
			if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: mine}, m); err != nil {
				return err
			}
			c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionInspected)
			if c == nil || c.Reason != v1alpha1.ReasonDuplicate || !strings.Contains(c.Message, s.ns+"/"+other) || m.Status.Phase == v1alpha1.MachineIdle {
				return fmt.Errorf("phase %s, condition %v", m.Status.Phase, c)
			}
			return nil
		})
	}
}
