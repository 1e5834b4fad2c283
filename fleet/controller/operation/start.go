package operation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/inventory"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tokenSpare is how long a bootstrap token is good beyond the time limit of its operation, in seconds.
const tokenSpare = 900

// start makes the run and starts it.
func (r *Reconciler) start(ctx context.Context, s *scope) (kube.Result, error) {
	if message := s.hopeless(); message != "" {
		s.end, s.endMessage = v1alpha1.OperationFailed, message
		return kube.Result{Stop: true}, nil
	}
	run, err := r.compose(ctx, s)
	if err == nil {
		err = r.Executor.Start(ctx, run)
	}
	if err != nil {
		return r.notStarted(s, err)
	}
	r.Kit.Point("operation.started")
	s.run = &executor.Observation{Phase: executor.Running}
	return kube.Result{RequeueAfter: lookAgain}, nil
}

// hopeless says why a run is not worth a start with the hosts that could be taken.
func (s *scope) hopeless() string {
	var missing []string
	for name := range s.refused {
		if len(s.leases) == 0 || s.op.Spec.EntryPoint == v1alpha1.EntryCreate && s.seen.Role(s.machines[name]) != v1alpha1.RoleCompute {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	words := make([]string, 0, 3)
	slices.Sort(missing)
	for _, name := range missing[:min(len(missing), 3)] {
		words = append(words, name+": "+kube.Limit(s.refused[name].Message, 300))
	}
	return fmt.Sprintf("it was not started, because %d hosts that it cannot do without could not be taken: %s", len(missing), strings.Join(words, "; "))
}

// notStarted keeps an operation that cannot be started for a while, and then fails it.
func (r *Reconciler) notStarted(s *scope, err error) (kube.Result, error) {
	if errors.Is(err, executor.ErrDigestMismatch) || r.Kit.Clock.Since(s.op.CreationTimestamp.Time) > giveUp {
		s.end, s.endMessage = v1alpha1.OperationFailed, "it could not be started: "+err.Error()
		return kube.Result{Stop: true}, nil
	}
	s.waitReason, s.waitMessage = kube.Reason(err, v1alpha1.ReasonPending), "it could not be started yet: "+err.Error()
	var kind *kube.Error
	if errors.As(err, &kind) {
		return kube.Result{RequeueAfter: waitAgain, Stop: true}, err
	}
	return kube.Result{}, fmt.Errorf("starting operation %s: %w", s.op.Name, err)
}

// compose makes the run: inventory, variables, keys.
func (r *Reconciler) compose(ctx context.Context, s *scope) (executor.Run, error) {
	in, err := r.input(ctx, s)
	if err != nil {
		return executor.Run{}, err
	}
	if err := r.ensureToken(ctx, s, in); err != nil {
		return executor.Run{}, err
	}
	out, err := inventory.Build(in)
	if err != nil {
		return executor.Run{}, fmt.Errorf("making the inventory: %w", err)
	}
	keys := make(map[string][]byte, len(out.KeySecrets))
	for _, name := range out.KeySecrets {
		if keys[name], err = view.SSHKey(ctx, r.Kit, view.Home(s.op), name); err != nil {
			return executor.Run{}, err
		}
	}
	return executor.Run{
		Name: in.Run, Playbook: string(s.op.Spec.EntryPoint), ContentVersion: in.Cluster.ContentVersion,
		Hosts: out.Hosts, Inventory: out.Inventory, Vars: out.Vars, SecretVars: out.SecretVars, Keys: keys, KnownHosts: out.KnownHosts,
		TimeoutSeconds: int(s.op.Spec.TimeoutSeconds),
		Labels: map[string]string{
			executor.LabelCluster: in.Cluster.UID, "namespace": view.Home(s.op), "operation": s.op.Name,
		},
	}, nil
}

// input gathers what the inventory is made from.
func (r *Reconciler) input(ctx context.Context, s *scope) (inventory.Input, error) {
	in := inventory.Input{
		EntryPoint: s.op.Spec.EntryPoint, Run: view.Run(s.op, s.attempt), OperationUID: string(s.op.UID), OperationCreated: s.op.CreationTimestamp.Time,
		ClusterName: s.op.Spec.ClusterName, Mirrors: r.Mirrors(), MirrorCA: r.MirrorCA(),
	}
	if s.deployment != nil {
		in.Spec = s.deployment.Spec
	}
	if err := r.release(s, &in); err != nil {
		return in, err
	}
	for _, name := range s.op.Spec.Machines {
		lease, taken := s.leases[name]
		if !taken {
			continue
		}
		h, err := s.host(ctx, s.machines[name])
		if err != nil {
			return in, err
		}
		h.Generation = lease.Generation
		in.Hosts = append(in.Hosts, h)
	}
	if err := s.members(ctx, &in); err != nil {
		return in, err
	}
	if !needsPKI(s.op.Spec.EntryPoint) {
		return in, nil
	}
	secret := &corev1.Secret{}
	if err := r.Kit.Live.Get(ctx, types.NamespacedName{Namespace: view.Home(s.op), Name: view.PKISecret(s.op.Spec.ClusterName)}, secret); err != nil {
		return in, fmt.Errorf("reading the PKI of cluster %s: %w", s.op.Spec.ClusterName, err)
	}
	in.PKI = certs.FromData(secret.Data)
	return in, nil
}

// release finds the content and the bundle. Hosts of a cluster that is gone are cleaned with the newest content.
func (r *Reconciler) release(s *scope, in *inventory.Input) error {
	content := r.View.Content
	if s.cluster == nil {
		release, ok := content.Newest()
		in.Cluster = v1alpha1.ClusterSpec{ContentVersion: content.Version, BundleDigest: release.BundleDigest, UID: string(s.op.UID)}
		if ok {
			in.Bundle = bundleOf(release.Manifest)
			return nil
		}
	} else {
		in.Cluster = s.cluster.Spec
		if release, ok := content.Built(in.Cluster.ContentVersion, in.Cluster.BundleDigest); ok {
			in.Bundle = bundleOf(release.Manifest)
			return nil
		}
	}
	return kube.Human(v1alpha1.ReasonUnknownContent, fmt.Errorf("this operator does not carry content %s with bundle %s", in.Cluster.ContentVersion, in.Cluster.BundleDigest))
}

// verifyImage is the image of the bundle that verify runs.
const verifyImage = "verify"

// bundleOf is a manifest in the words of the inventory.
func bundleOf(m *bundle.Manifest) inventory.Bundle {
	out := inventory.Bundle{ImageRepository: m.ImageRepository, Contents: make(map[string]inventory.Content, len(m.Contents))}
	for _, c := range m.Contents {
		out.Contents[c.Name] = inventory.Content{Digest: c.Digest, Size: c.Size}
	}
	if image, ok := m.Image(verifyImage); ok {
		out.VerifyImage = image.Reference
	}
	return out
}

// members adds the control plane and etcd machines, and the Nodes that verify looks at.
func (s *scope) members(ctx context.Context, in *inventory.Input) error {
	for i := range s.seen.Machines {
		m := &s.seen.Machines[i]
		role := s.seen.Role(m)
		if role != v1alpha1.RoleEtcd && (m.Status.Phase == v1alpha1.MachineDeployed || m.Status.Phase == v1alpha1.MachineReady) {
			in.Nodes = append(in.Nodes, m.Name)
		}
		if role == v1alpha1.RoleCompute || m.Spec.ClaimRef.Release != "" && !slices.Contains(s.op.Spec.Machines, m.Name) {
			continue
		}
		h, err := s.host(ctx, m)
		if err != nil {
			return err
		}
		if role == v1alpha1.RoleEtcd {
			in.Etcd = append(in.Etcd, h)
		} else {
			in.ControlPlane = append(in.ControlPlane, h)
		}
	}
	return nil
}

// host is a machine in the words of the inventory.
func (s *scope) host(ctx context.Context, m *v1alpha1.Machine) (inventory.Host, error) {
	h := inventory.Host{Name: m.Name, Role: s.seen.Role(m), Spec: m.Spec, Generation: s.leases[m.Name].Generation}
	if m.Spec.ClaimRef != nil {
		if set := s.seen.Set(m.Spec.ClaimRef.MachineSet); set != nil {
			h.Labels = set.Spec.Labels
			for _, t := range set.Spec.Taints {
				h.Taints = append(h.Taints, inventory.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
			}
		}
	}
	ip, err := view.IP(ctx, m)
	if ip != m.Spec.Address {
		h.IP = ip
	}
	return h, err
}

// ensureToken makes the bootstrap token with which workers join a cluster that is there.
func (r *Reconciler) ensureToken(ctx context.Context, s *scope, in inventory.Input) error {
	if !joins(in) {
		return nil
	}
	token, err := inventory.BootstrapToken(in.PKI.CA, in.OperationUID)
	if err != nil {
		return err
	}
	if s.seen.Remote == nil {
		return kube.Wait(v1alpha1.ReasonClusterUnreachable, waitAgain, errors.New("making a bootstrap token: there is no connection to the cluster"))
	}
	if err := s.seen.Remote.EnsureBootstrapToken(ctx, token, int(s.op.Spec.TimeoutSeconds)+tokenSpare); err != nil {
		return kube.Wait(v1alpha1.ReasonClusterUnreachable, waitAgain, fmt.Errorf("making a bootstrap token: %w", err))
	}
	return nil
}

// joins says that hosts of the run join a cluster whose API server is not a part of the run.
func joins(in inventory.Input) bool {
	if in.EntryPoint != v1alpha1.EntryScale && in.EntryPoint != v1alpha1.EntryKubernetes {
		return false
	}
	return !slices.ContainsFunc(in.Hosts, func(h inventory.Host) bool { return h.Role == v1alpha1.RoleControlPlane })
}

func needsPKI(entry v1alpha1.EntryPoint) bool {
	switch entry {
	case v1alpha1.EntryRemove, v1alpha1.EntryCheck, v1alpha1.EntryOS, v1alpha1.EntryContainerRuntime:
		return false
	}
	return true
}
