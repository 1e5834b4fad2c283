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
	"github.com/slipway-dev/slipway/plane/planetest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// wipe takes the status of an object away.
func (s *sim) wipe(o client.Object) {
	s.t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"status":null}`))
	if err := s.client.Status().Patch(s.t.Context(), o, patch); err != nil {
		s.t.Fatalf("wiping the status of %s: %v", o.GetName(), err)
	}
}

// everything lists all objects of the domain in the namespace of the test.
func (s *sim) everything() []client.Object {
	s.t.Helper()
	var out []client.Object
	for _, list := range []client.ObjectList{
		&v1alpha1.MachineList{}, &v1alpha1.ClusterDeploymentList{}, &v1alpha1.ClusterList{}, &v1alpha1.MachineSetList{}, &v1alpha1.OperationList{},
	} {
		if err := s.client.List(s.t.Context(), list, client.InNamespace(s.ns)); err != nil {
			s.t.Fatal(err)
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			out = append(out, o.(client.Object))
			return nil
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

func TestWipedStatusIsRebuilt(t *testing.T) {
	t.Parallel()
	s := newShop(t, 4, 1)
	for _, o := range s.everything() {
		s.wipe(o)
	}
	s.ready("shop", 3)
	s.idles(1)
	if n := len(s.operations(v1alpha1.EntryCreate)); n != 1 {
		t.Errorf("%d create operations, want the one that was there", n)
	}
}

// restore stops nothing: it deletes all objects behind the operator's back and makes those again that keep lets through,
// without their status, as kubectl apply does.
func (s *sim) restore(override string, keep func(client.Object) bool) {
	s.t.Helper()
	saved := s.everything()
	for _, o := range saved {
		kubetest.Change(s.t, s.client, o.DeepCopyObject().(client.Object), func(o client.Object) { o.SetFinalizers(nil) })
		if err := client.IgnoreNotFound(s.client.Delete(s.t.Context(), o.DeepCopyObject().(client.Object))); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, o := range saved {
		o.SetResourceVersion("")
		o.SetUID("")
		o.SetAnnotations(map[string]string{v1alpha1.OverrideAnnotation: override})
		if keep(o) {
			kubetest.Must(s.t, s.client, o)
		}
	}
}

func TestRestoredClusterIsTakenUpWithoutARun(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	stop := s.operator()
	s.idles(3)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	s.ready("shop", 3)
	stop()
	s.restore("known_stamp_only", func(o client.Object) bool {
		_, is := o.(*v1alpha1.Operation)
		return !is
	})
	s.forgetStarts()
	s.operator()
	s.ready("shop", 3)
	s.mu.Lock()
	defer s.mu.Unlock()
	for run := range s.starts {
		if !strings.HasPrefix(run, "verify/") {
			t.Errorf("%s ran on a cluster that was there", run)
		}
	}
}

func TestOperationsOfABackupDoNotRunAgain(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	stop := s.operator()
	s.idles(3)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	s.ready("shop", 3)
	stop()
	s.restore("", func(client.Object) bool { return true })
	s.forgetStarts()
	s.operator()
	kubetest.Eventually(t, "the foreign stamp is reported", func(ctx context.Context) error {
		d := &v1alpha1.ClusterDeployment{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: "shop"}, d); err != nil {
			return err
		}
		if text := s.describe(ctx, d); !strings.Contains(text, "which this operator does not know") {
			return errors.New(text)
		}
		return nil
	})
	kubetest.Consistently(t, 10*time.Second, "no host is touched and no machine leaves", func(ctx context.Context) error {
		if n := s.count(ctx, func(m *v1alpha1.Machine) bool { return m.Spec.ClaimRef == nil || m.Spec.ClaimRef.Release != "" }); n != 0 {
			return fmt.Errorf("%d machines are leaving", n)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for run := range s.starts {
			if !strings.HasPrefix(run, "verify/") {
				return fmt.Errorf("runs: %v", s.starts)
			}
		}
		return nil
	})
}

func (s *sim) forgetStarts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.starts)
}

func TestDeletedNamespaceIsCleanedWithItsKey(t *testing.T) {
	p := planetest.Start(t)
	s := newSimOn(t, p.Config())
	s.everywhere = true
	s.machines(3)
	s.operator()
	s.idles(3)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	s.ready("shop", 3)
	if err := s.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}); err != nil {
		t.Fatal(err)
	}
	kubetest.Eventually(t, "the namespace is gone", func(ctx context.Context) error {
		ns := &corev1.Namespace{}
		err := s.client.Get(ctx, client.ObjectKey{Name: s.ns}, ns)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the namespace: %w", err)
		}
		return fmt.Errorf("it is there, with conditions %v%s", ns.Status.Conditions, s.describe(ctx, &v1alpha1.ClusterDeployment{}))
	})
	for i := 1; i <= 3; i++ {
		lease, err := s.hosts.Ping(t.Context(), s.at(i))
		if err != nil || lease.Operation != "" || lease.Cluster != "" {
			t.Errorf("lease of m%d: %+v, %v: want no holder", i, lease, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i <= 3; i++ {
		if _, ok := s.starts[fmt.Sprintf("remove/m%d", i)]; !ok {
			t.Errorf("nothing was removed from m%d", i)
		}
	}
}

func TestFrozenFleetStartsNothing(t *testing.T) {
	p := planetest.Start(t)
	s := newSimOn(t, p.Config())
	s.machines(3)
	s.operator()
	s.idles(3)
	freeze := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap}, Data: map[string]string{"reason": "holidays"},
	}
	kubetest.Must(t, s.client, freeze)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	kubetest.Eventually(t, "the freeze is reported", func(ctx context.Context) error {
		d := &v1alpha1.ClusterDeployment{}
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: "shop"}, d); err != nil {
			return err
		}
		c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionProgressing)
		if c == nil || c.Reason != v1alpha1.ReasonFrozen || !strings.Contains(c.Message, "holidays") {
			return fmt.Errorf("conditions: %s", s.describe(ctx, d))
		}
		return nil
	})
	if n := s.count(t.Context(), func(m *v1alpha1.Machine) bool { return m.Spec.ClaimRef != nil }); n != 0 {
		t.Errorf("%d machines were claimed", n)
	}
	if err := s.client.Delete(t.Context(), freeze); err != nil {
		t.Fatal(err)
	}
	s.ready("shop", 3)
}

func TestPausedClusterStartsNothing(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(4)
	s.operator()
	s.idles(4)
	d := s.deployment("shop", 1)
	kubetest.Must(t, s.client, d)
	s.ready("shop", 3)
	kubetest.Change(t, s.client, d, func(d *v1alpha1.ClusterDeployment) { d.Spec.Management = v1alpha1.ManagementPaused })
	s.replicas("shop", 2)
	kubetest.Eventually(t, "the pause is reported", func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		if d.Status.State != "Paused" {
			return errors.New(d.Status.State + s.describe(ctx, d))
		}
		return nil
	})
	if n := s.count(t.Context(), idle); n != 1 {
		t.Errorf("%d machines are idle, want 1", n)
	}
	kubetest.Change(t, s.client, d, func(d *v1alpha1.ClusterDeployment) { d.Spec.Management = v1alpha1.ManagementActive })
	s.ready("shop", 4)
}

func TestSettingsThatCannotBeBuiltNameTheirFields(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	s.operator()
	s.idles(3)
	for path, change := range map[string]func(*v1alpha1.ClusterDeployment){
		"spec.kubernetes.version": func(d *v1alpha1.ClusterDeployment) { d.Spec.Kubernetes.Version = "v1.35.9" },
		"spec.network":            func(d *v1alpha1.ClusterDeployment) { d.Spec.Network.ServiceCIDRs = []string{"10.244.0.0/18"} },
		"spec.addons":             func(d *v1alpha1.ClusterDeployment) { d.Spec.Addons = []v1alpha1.Addon{{Name: "cordns"}} },
		"spec.contentVersion":     func(d *v1alpha1.ClusterDeployment) { d.Spec.ContentVersion = "9.9.9" },
	} {
		d := s.deployment(strings.ToLower(strings.ReplaceAll(path, ".", "-")), 1)
		change(d)
		kubetest.Must(t, s.client, d)
		kubetest.Eventually(t, path+" is named", func(ctx context.Context) error {
			if err := s.client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return err
			}
			c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionSpecValid)
			if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, path) || d.Status.State != "Invalid" {
				return fmt.Errorf("state %s, condition %v", d.Status.State, c)
			}
			return nil
		})
	}
	if n := s.count(t.Context(), idle); n != 3 {
		t.Errorf("%d machines are idle, want all 3", n)
	}
}

func TestSettingsChangedLaterAreReportedAndNotRolledOut(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.machines(3)
	s.operator()
	s.idles(3)
	d := s.deployment("shop", 1)
	kubetest.Must(t, s.client, d)
	s.ready("shop", 3)
	upToDate := func(status metav1.ConditionStatus, reason string) {
		kubetest.Eventually(t, "UpToDate is "+string(status), func(ctx context.Context) error {
			if err := s.client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
				return err
			}
			c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionUpToDate)
			if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != d.Generation {
				return fmt.Errorf("generation %d: %s", d.Generation, s.describe(ctx, d))
			}
			return nil
		})
	}
	upToDate(metav1.ConditionTrue, v1alpha1.ReasonAsWanted)
	n := len(s.operations())
	kubetest.Change(t, s.client, d, func(d *v1alpha1.ClusterDeployment) {
		d.Spec.Kubernetes.ComponentConfigs = &v1alpha1.ComponentConfigs{Kubelet: &runtime.RawExtension{Raw: []byte(`{"maxPods":200}`)}}
	})
	upToDate(metav1.ConditionFalse, v1alpha1.ReasonSettingsChanged)
	kubetest.Change(t, s.client, d, func(d *v1alpha1.ClusterDeployment) { d.Spec.Kubernetes.ComponentConfigs = nil })
	upToDate(metav1.ConditionTrue, v1alpha1.ReasonAsWanted)
	if after := len(s.operations()); n == 0 || after != n {
		t.Errorf("%d operations after the change, %d before: nothing may be rolled out", after, n)
	}
}

func TestLostRunIsTakenUpByTheNextAttempt(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.latency.Store(int64(time.Minute))
	s.machines(3)
	s.operator()
	s.idles(3)
	kubetest.Must(t, s.client, s.deployment("shop", 1))
	var run string
	kubetest.Eventually(t, "the installation runs", func(ctx context.Context) error {
		for _, op := range s.operations(v1alpha1.EntryCreate) {
			if op.Status.Phase == v1alpha1.OperationRunning {
				run = string(op.UID)
				return nil
			}
		}
		return errors.New("it does not")
	})
	s.latency.Store(int64(200 * time.Millisecond))
	s.forgetStarts() // the second attempt of the same operation is what is wanted
	if err := s.world.Lose(run+"-1", "the worker was killed"); err != nil {
		t.Fatal(err)
	}
	s.ready("shop", 3)
	for _, op := range s.operations(v1alpha1.EntryCreate) {
		if op.Status.Attempt != 2 {
			t.Errorf("operation %s has %d attempts, want 2", op.Name, op.Status.Attempt)
		}
	}
	lease, err := s.hosts.Ping(t.Context(), s.at(1))
	if err != nil || lease.Generation < 2 {
		t.Errorf("lease %+v, %v: want a host that was taken a second time", lease, err)
	}
}

func TestReleasedMachineIsCleanedForThePool(t *testing.T) {
	t.Parallel()
	s := newShop(t, 4, 1)
	worker := s.worker("shop")
	at := host.Address{Host: worker.Spec.Address, Port: 22, User: "root", HostKey: worker.Spec.HostKey}
	s.hosts.Fail(at, &host.Error{Kind: host.Unreachable, Err: errors.New("no route")})
	kubetest.Change(t, s.client, worker, func(m *v1alpha1.Machine) {
		m.Spec.Quarantine = &v1alpha1.Quarantine{Reason: v1alpha1.ReasonByHand, Message: "smoke"}
	})
	kubetest.Eventually(t, "it has left the cluster", func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(worker), worker); err != nil {
			return err
		}
		if worker.Spec.ClaimRef != nil || worker.Status.Phase != v1alpha1.MachineQuarantined {
			return fmt.Errorf("claim %v, phase %s", worker.Spec.ClaimRef, worker.Status.Phase)
		}
		return nil
	})
	s.ready("shop", 3)
	s.hosts.Fail(at, nil)
	s.hosts.SetStages(at, map[string]string{"containerd": "sha256:1"})
	s.forgetStarts()
	kubetest.Change(t, s.client, worker, func(m *v1alpha1.Machine) {
		m.Spec.Quarantine = nil
		m.Annotations = map[string]string{v1alpha1.InspectAnnotation: "now"}
	})
	kubetest.Eventually(t, "an operation cleans it", func(ctx context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.starts["remove/"+worker.Name]; !ok {
			return fmt.Errorf("runs: %v%s", s.starts, s.describe(ctx, &v1alpha1.ClusterDeployment{}))
		}
		return nil
	})
	s.idles(1)
}
