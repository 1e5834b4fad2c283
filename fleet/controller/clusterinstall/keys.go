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
)

// pkiSecretType is the type of Secrets with the PKI of a cluster.
const pkiSecretType corev1.SecretType = "slipway.dev/pki"

// members are the etcd members of a cluster: its etcd machines, or its control planes where etcd runs beside them.
func members(seen *view.Cluster) []certs.Member {
	role := v1alpha1.RoleEtcd
	if seen.Deployment != nil && seen.Deployment.Spec.Etcd.Topology == v1alpha1.EtcdColocated {
		role = v1alpha1.RoleControlPlane
	}
	var out []certs.Member
	for i := range seen.Machines {
		m := &seen.Machines[i]
		if seen.Role(m) == role && m.Spec.ClaimRef.Release == "" {
			out = append(out, certs.Member{Name: m.Name, Names: []string{m.Spec.Address}})
		}
	}
	return out
}

func memberKey(members []certs.Member) string {
	words := make([]string, len(members))
	for i, m := range members {
		words[i] = m.Name + " " + strings.Join(m.Names, " ")
	}
	slices.Sort(words)
	return strings.Join(words, "\n")
}

// keys says whether the PKI is complete. It is read only while the plan may ask for it.
func (r *Reconciler) keys(ctx context.Context, s *scope) (kube.Result, error) {
	if s.seen.Deployment == nil || s.seen.Observed.Installed && s.cluster.Status.KubeconfigSecretName != "" {
		s.seen.Observed.PKI = true
		return kube.Result{}, nil
	}
	wanted := members(s.seen)
	if len(wanted) == 0 {
		return kube.Result{}, nil
	}
	key := memberKey(wanted)
	r.mu.Lock()
	known := r.complete[s.cluster.UID] == key
	r.mu.Unlock()
	if known && s.cluster.Status.KubeconfigSecretName != "" {
		s.seen.Observed.PKI = true
		return kube.Result{}, nil
	}
	pki, err := r.readSecret(ctx, s.cluster.Namespace, view.PKISecret(s.cluster.Name))
	if err != nil || pki == nil {
		return kube.Result{}, err
	}
	_, made, err := r.issuer.EnsureCluster(certs.FromData(pki.Data), wanted)
	if err != nil {
		return kube.Result{}, kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("reading secret %s: %w", pki.Name, err))
	}
	config, err := r.readSecret(ctx, s.cluster.Namespace, view.KubeconfigSecret(s.cluster.Name))
	if err != nil || made || config == nil {
		return kube.Result{}, err
	}
	r.noteKeys(s, key)
	return kube.Result{}, nil
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
	wanted := members(s.seen)
	var pki certs.Cluster
	err := r.ensureSecret(ctx, s.cluster, view.PKISecret(s.cluster.Name), pkiSecretType, func(data map[string][]byte) (map[string][]byte, error) {
		made, _, err := r.issuer.EnsureCluster(certs.FromData(data), wanted)
		pki = made
		return made.Data(), err
	})
	if err != nil {
		return err
	}
	r.Kit.Point("clusterinstall.pki-made")
	e := s.cluster.Spec.Endpoint
	server := "https://" + net.JoinHostPort(e.Name, strconv.Itoa(int(e.Port)))
	err = r.ensureSecret(ctx, s.cluster, view.KubeconfigSecret(s.cluster.Name), corev1.SecretTypeOpaque, func(data map[string][]byte) (map[string][]byte, error) {
		config, _, err := r.issuer.AdminKubeconfig(pki, s.cluster.Name, server, data[view.KubeconfigKey])
		return map[string][]byte{view.KubeconfigKey: config}, err
	})
	if err != nil {
		return err
	}
	r.noteKeys(s, memberKey(wanted))
	return nil
}

// ensureSecret makes a Secret of a cluster, or completes the one that is there.
func (r *Reconciler) ensureSecret(ctx context.Context, c *v1alpha1.Cluster, name string, kind corev1.SecretType, fill func(map[string][]byte) (map[string][]byte, error)) error {
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
	if secret.Data, err = fill(secret.Data); err != nil {
		return kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("filling secret %s: %w", name, err))
	}
	if existing == nil {
		err = r.Kit.Live.Create(ctx, secret)
	} else {
		err = r.Kit.Live.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("writing secret %s: %w", name, err)
	}
	return nil
}
