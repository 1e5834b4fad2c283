package cli

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

func ago(d time.Duration) metav1.Time {
	return metav1.NewTime(time.Now().Add(-d).Truncate(time.Second))
}

func named(name string, age time.Duration) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name), Generation: 1, CreationTimestamp: ago(age)}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: ago(time.Hour)}
}

const days = 24 * time.Hour

// smallFleet is a cluster of one control plane machine and three workers, one of which is ill, with some machines in the pool.
func smallFleet() []client.Object {
	objects := []client.Object{
		shopDeployment(), shopCluster(),
		set("shop-control-plane", v1alpha1.RoleControlPlane, 1, 1), set("shop-general", v1alpha1.RoleCompute, 3, 2),
		claimed("cp1", "10.1.7.1", "shop-control-plane"), claimed("w1", "10.1.7.11", "shop-general"), claimed("w2", "10.1.7.12", "shop-general"),
		ill(claimed("w3", "10.1.7.13", "shop-general")),
		machine("idle1", "10.1.7.21", v1alpha1.MachineIdle), machine("idle2", "10.1.7.22", v1alpha1.MachineIdle),
		quarantined(machine("noisy", "10.1.7.23", v1alpha1.MachineQuarantined)),
		&corev1.Secret{ObjectMeta: named("rack-key", 41*days), Type: corev1.SecretTypeSSHAuth},
	}
	return append(objects, shopOperations()...)
}

func shopDeployment() *v1alpha1.ClusterDeployment {
	d := &v1alpha1.ClusterDeployment{ObjectMeta: named("shop", 41*days), Spec: v1alpha1.ClusterDeploymentSpec{
		Kubernetes:   v1alpha1.Kubernetes{Version: "v1.36.3"},
		Etcd:         v1alpha1.Etcd{Topology: v1alpha1.EtcdColocated},
		APIEndpoint:  v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: "api.shop.invalid", Port: 6443},
		ControlPlane: v1alpha1.ControlPlane{Replicas: 1},
		Workers:      []v1alpha1.WorkerSet{{Name: "general", Replicas: ptr.To(int32(3))}},
	}}
	d.Status = v1alpha1.ClusterDeploymentStatus{State: "Available", ObservedGeneration: 1, Conditions: []metav1.Condition{
		condition(v1alpha1.ConditionSpecValid, "True", v1alpha1.ReasonAsWanted, "the settings can be built"),
		condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonScaling, "shop-general: 2 of 3 ready"),
		condition("UpToDate", "False", "ContentBehind", "content 1.0-abcd (newest 1.1-ef01)"),
	}}
	return d
}

func shopCluster() *v1alpha1.Cluster {
	return &v1alpha1.Cluster{ObjectMeta: named("shop", 41*days),
		Spec: v1alpha1.ClusterSpec{ContentVersion: "1.0-abcd", UID: "u1", Endpoint: v1alpha1.Endpoint{Name: "api.shop.invalid", Port: 6443}},
		Status: v1alpha1.ClusterStatus{KubernetesVersion: "v1.36.3", Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionInstalled, "True", v1alpha1.ReasonSucceeded, ""), condition(v1alpha1.ConditionVerified, "True", v1alpha1.ReasonSucceeded, ""),
			condition(v1alpha1.ConditionAvailable, "True", v1alpha1.ReasonAsWanted, "the API server answers"),
		}}}
}

func set(name string, role v1alpha1.Role, wanted, ready int32) *v1alpha1.MachineSet {
	s := &v1alpha1.MachineSet{ObjectMeta: named(name, 41*days), Spec: v1alpha1.MachineSetSpec{ClusterName: "shop", Role: role, Replicas: &wanted}}
	s.Labels = map[string]string{v1alpha1.ClusterLabel: "shop"}
	status := metav1.ConditionFalse
	if ready == wanted {
		status = metav1.ConditionTrue
	}
	s.Status = v1alpha1.MachineSetStatus{ReadyReplicas: &ready, Conditions: []metav1.Condition{
		condition(v1alpha1.ConditionClaimed, "True", v1alpha1.ReasonAsWanted, ""), condition(v1alpha1.ConditionAvailable, status, v1alpha1.ReasonScaling, ""),
	}}
	return s
}

func machine(name, address string, phase v1alpha1.MachinePhase) *v1alpha1.Machine {
	return &v1alpha1.Machine{ObjectMeta: named(name, 41*days),
		Spec: v1alpha1.MachineSpec{Address: address, Port: 22, User: "ops", SSHKeySecretName: "rack-key", Site: "dc1", FailureDomain: "r07", HostKey: "ssh-ed25519 AAAA"},
		Status: v1alpha1.MachineStatus{Phase: phase,
			Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, "True", v1alpha1.ReasonAsWanted, "waits in the pool")},
			Facts: &v1alpha1.MachineFacts{OS: "Debian 12", Architecture: "amd64", Kernel: "6.1.0", CgroupVersion: 2, CPUs: 32, MemoryBytes: 128 << 30, DiskBytes: 900 << 30,
				DiskFreeBytes: ptr.To(int64(850 << 30)), FsyncMicroseconds: 1800, ClockOffsetSeconds: ptr.To(int64(-1)), Python: "3.11.2", Security: []string{"AppArmor"}},
		}}
}

func claimed(name, address, set string) *v1alpha1.Machine {
	m := machine(name, address, v1alpha1.MachineReady)
	m.Spec.ClaimRef = &v1alpha1.ClaimRef{Name: "shop", UID: "u1", MachineSet: set}
	return m
}

func ill(m *v1alpha1.Machine) *v1alpha1.Machine {
	m.Status.Phase = v1alpha1.MachineDeployed
	m.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonNodeNotReady, "container runtime network not ready\ncni plugin not initialized")}
	return m
}

func quarantined(m *v1alpha1.Machine) *v1alpha1.Machine {
	m.Spec.Quarantine = &v1alpha1.Quarantine{Reason: v1alpha1.ReasonByHand, Message: "fan is loud, ticket 4711"}
	m.Spec.Bastion = &v1alpha1.Bastion{Address: "10.1.7.2", Port: 2222, User: "jump"}
	m.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, "False", v1alpha1.ReasonByHand, "in quarantine: fan is loud, ticket 4711; `slipway machine release noisy` ends it")}
	return m
}

func operation(name string, age time.Duration, entry v1alpha1.EntryPoint, phase v1alpha1.OperationPhase, message string, machines ...string) *v1alpha1.Operation {
	o := &v1alpha1.Operation{ObjectMeta: named(name, age), Spec: v1alpha1.OperationSpec{ClusterName: "shop", EntryPoint: entry, Machines: machines, Reason: "workers/general 2 → 3"}}
	o.Labels = map[string]string{v1alpha1.ClusterLabel: "shop"}
	o.Status = v1alpha1.OperationStatus{Phase: phase, Executor: "Process", Attempt: 1}
	if message != "" {
		o.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionComplete, "False", v1alpha1.ReasonRunning, message)}
	}
	if finished(o) {
		o.Status.FinishedAt = ptr.To(ago(age - time.Minute))
	}
	return o
}

// shopOperations stand in an order that is not that of their age.
func shopOperations() []client.Object {
	running := operation("shop-scale-3", 20*time.Minute, v1alpha1.EntryScale, v1alpha1.OperationRunning, "w3: 31 of 48 tasks, containerd : configuration", "w3")
	running.Status.Hosts = []v1alpha1.HostStatus{{Machine: "w3", Result: v1alpha1.HostRunning, Done: ptr.To(int32(31)), Total: ptr.To(int32(48)), Task: "containerd : configuration"}}
	return []client.Object{
		operation("shop-verify-4", 15*time.Minute, v1alpha1.EntryVerify, "", "another operation runs on cp1", "cp1"),
		running,
		operation("shop-scale-2", 90*time.Minute, v1alpha1.EntryScale, v1alpha1.OperationFailed, "w3: containerd : unpack: no space left on device", "w3"),
		operation("shop-create-1", 41*days, v1alpha1.EntryCreate, v1alpha1.OperationSucceeded, "2 of 2 machines done", "cp1", "w1"),
	}
}

func fleetEvent(name, namespace, kind, object, reason, message string, age time.Duration, count int32) *corev1.Event {
	return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Reason: reason, Message: message, Count: count, LastTimestamp: ago(age),
		InvolvedObject: corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: object, Namespace: namespace}}
}
