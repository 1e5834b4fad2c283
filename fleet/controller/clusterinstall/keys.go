package clusterinstall

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pkiSecretType is the type of Secrets with the PKI of a cluster.
const pkiSecretType corev1.SecretType = "slipway.dev/pki"

// members are the etcd members of a cluster: its etcd machines, or its control planes where etcd runs beside them.
func members(ctx context.Context, seen *view.Cluster) ([]certs.Member, error) {
	role := v1alpha1.RoleEtcd
	if seen.Deployment != nil && seen.Deployment.Spec.Etcd.Topology == v1alpha1.EtcdColocated {
		role = v1alpha1.RoleControlPlane
	}
	var out []certs.Member
	for i := range seen.Machines {
		m := &seen.Machines[i]
		if seen.Role(m) != role || m.Spec.ClaimRef.Release != "" {
			continue
		}
		names := []string{m.Spec.Address}
		ip, err := view.IP(ctx, m)
		if err != nil {
			return nil, err
		}
		if ip != m.Spec.Address {
			names = append(names, ip)
		}
		out = append(out, certs.Member{Name: m.Name, Names: names})
	}
	return out, nil
}

func memberKey(members []certs.Member) string {
	words := make([]string, len(members))
	for i, m := range members {
		words[i] = m.Name + " " + strings.Join(m.Names, " ")
	}
	slices.Sort(words)
	return strings.Join(words, "\n")
}

// keys says whether the PKI is complete. It is read while the plan may ask for it, and once a day after that, because
// the administrator's certificate does not live for ever.
func (r *Reconciler) keys(ctx context.Context, s *scope) (kube.Result, error) {
	if s.seen.Deployment == nil || s.seen.Observed.Deleting {
		s.seen.Observed.PKI = true
		return kube.Result{}, nil
	}
	if s.seen.Observed.Installed && s.cluster.Status.KubeconfigSecretName != "" {
		s.seen.Observed.PKI = true
		return kube.Result{}, r.renew(ctx, s)
	}
	wanted, err := members(ctx, s.seen)
	if err != nil || len(wanted) == 0 {
		return kube.Result{}, err
	}
	key := memberKey(wanted)
	if r.known(s, key) && s.cluster.Status.KubeconfigSecretName != "" {
		s.seen.Observed.PKI = true
		return kube.Result{}, nil
	}
	complete, err := r.hasKeys(ctx, s, wanted)
	if complete && err == nil {
		r.noteKeys(s, key)
	}
	return kube.Result{}, err
}

// hasKeys reads whether both Secrets are there and hold all that the members need.
func (r *Reconciler) hasKeys(ctx context.Context, s *scope, wanted []certs.Member) (bool, error) {
	pki, err := r.readSecret(ctx, s.cluster.Namespace, view.PKISecret(s.cluster.Name))
	if err != nil || pki == nil {
		return false, err
	}
	_, made, err := r.issuer.EnsureCluster(certs.FromData(pki.Data), wanted)
	if err != nil {
		return false, kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("reading secret %s: %w", pki.Name, err))
	}
	config, err := r.readSecret(ctx, s.cluster.Namespace, view.KubeconfigSecret(s.cluster.Name))
	return err == nil && !made && config != nil, err
}

// renew makes the administrator's kubeconfig anew before its certificate ends. It looks once a day.
func (r *Reconciler) renew(ctx context.Context, s *scope) error {
	today := r.Kit.Clock.Now().UTC().Format("2006-01-02")
	if r.known(s, today) {
		return nil
	}
	pki, err := r.readSecret(ctx, s.cluster.Namespace, view.PKISecret(s.cluster.Name))
	if err != nil {
		return err
	}
	if pki == nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("secret %s is gone: restore it, nothing else can sign for the cluster", view.PKISecret(s.cluster.Name)))
	}
	if err := r.makeKubeconfig(ctx, s, certs.FromData(pki.Data)); err != nil {
		return err
	}
	r.noteKeys(s, today)
	return nil
}

// known says whether the keys of a cluster were seen to be complete for something.
func (r *Reconciler) known(s *scope, key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complete[s.cluster.UID] == key
}

func (r *Reconciler) noteKeys(s *scope, key string) {
	s.seen.Observed.PKI = true
	s.cluster.Status.KubeconfigSecretName = view.KubeconfigSecret(s.cluster.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complete[s.cluster.UID] = key
}

func (r *Reconciler) readSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Kit.Live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", name, err)
	}
	return secret, nil
}

// makeKeys makes what is missing of the PKI and the administrator's kubeconfig. What exists is kept.
func (r *Reconciler) makeKeys(ctx context.Context, s *scope) error {
	wanted, err := members(ctx, s.seen)
	if err != nil {
		return err
	}
	var pki certs.Cluster
	err = r.ensureSecret(ctx, s.cluster, view.PKISecret(s.cluster.Name), pkiSecretType, func(data map[string][]byte) (map[string][]byte, bool, error) {
		full, made, err := r.issuer.EnsureCluster(certs.FromData(data), wanted)
		pki = full
		return full.Data(), made, err
	})
	if err != nil {
		return err
	}
	r.Kit.Point("clusterinstall.pki-made")
	if err := r.makeKubeconfig(ctx, s, pki); err != nil {
		return err
	}
	r.noteKeys(s, memberKey(wanted))
	return nil
}

// makeKubeconfig makes the administrator's kubeconfig, or a new one when the certificate in it is about to end.
func (r *Reconciler) makeKubeconfig(ctx context.Context, s *scope, pki certs.Cluster) error {
	e := s.cluster.Spec.Endpoint
	server := "https://" + net.JoinHostPort(e.Name, strconv.Itoa(int(e.Port)))
	return r.ensureSecret(ctx, s.cluster, view.KubeconfigSecret(s.cluster.Name), corev1.SecretTypeOpaque, func(data map[string][]byte) (map[string][]byte, bool, error) {
		config, made, err := r.issuer.AdminKubeconfig(pki, s.cluster.Name, server, data[view.KubeconfigKey])
		if made {
			r.View.Connections.Renewed(client.ObjectKeyFromObject(s.cluster))
		}
		return map[string][]byte{view.KubeconfigKey: config}, made, err
	})
}

// ensureSecret makes a Secret of a cluster, or completes the one that is there. fill says whether it changed anything.
func (r *Reconciler) ensureSecret(ctx context.Context, c *v1alpha1.Cluster, name string, kind corev1.SecretType, fill func(map[string][]byte) (map[string][]byte, bool, error)) error {
	existing, err := r.readSecret(ctx, c.Namespace, name)
	if err != nil {
		return err
	}
	secret := existing
	if secret == nil {
		secret = &corev1.Secret{Type: kind}
		secret.Namespace, secret.Name = c.Namespace, name
		secret.Labels = map[string]string{v1alpha1.ClusterLabel: c.Name}
	}
	data, changed, err := fill(secret.Data)
	if err != nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("filling secret %s: %w", name, err))
	}
	secret.Data = data
	switch {
	case existing == nil:
		err = r.Kit.Live.Create(ctx, secret)
	case changed:
		err = r.Kit.Live.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("writing secret %s: %w", name, err)
	}
	return nil
}
