package workload

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names of the Secrets with certificates of a migration, which hold the files of slipway prometheus agent init.

// AuthoritySecret holds ca.crt and ca.key. No pod mounts it.
func AuthoritySecret(migration string) string { return migration + "-authority" }

// SourceSecret holds the folder source: that of the shim, and of an agent that a person starts.
func SourceSecret(migration string) string { return migration + "-source" }

// TargetSecret holds the folder target: that of the target's server, and of the pod that pulls from an agent.
func TargetSecret(migration string) string { return migration + "-target" }

// Secrets are those three; the files come from migration/transfer, EnsureCredentials.
func Secrets(migration, namespace string, owner *metav1.OwnerReference, authority, source, target map[string][]byte) []*corev1.Secret {
	one := func(name string, data map[string][]byte) *corev1.Secret {
		s := &corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{LabelName: migration, "app.kubernetes.io/managed-by": "slipway"}},
			Data:       data,
		}
		if owner != nil {
			s.OwnerReferences = []metav1.OwnerReference{*owner}
		}
		return s
	}
	return []*corev1.Secret{one(AuthoritySecret(migration), authority), one(SourceSecret(migration), source), one(TargetSecret(migration), target)}
}
