// Package v1alpha1 holds the kinds of the migration domain: servers that move into a cluster.
// It holds types, their validation markers and their condition words alone; no behaviour.
// +kubebuilder:object:generate=true
// +groupName=migration.slipway.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "migration.slipway.dev", Version: "v1alpha1"}

// Kind is the name of the kind, as manifests have it.
const Kind = "PrometheusMigration"

// AddToScheme registers the kinds of this package in a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &PrometheusMigration{}, &PrometheusMigrationList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// Labels, annotations and finalizers of the migration domain.
const (
	// NameLabel on an object names the migration that made it.
	NameLabel = "migration.slipway.dev/name"
	// RoleLabel on a pod and its Job says what it does: rehearse, shim, preflight, move, proof, cutover, rollback, finalize.
	RoleLabel = "migration.slipway.dev/role"
	// DigestAnnotation on a Job holds the digest of what was asked of it: another digest makes it anew.
	DigestAnnotation = "migration.slipway.dev/digest"
	// Finalizer keeps a migration until what it switched over is undone, or final.
	Finalizer = "migration.slipway.dev/undo"
	// PausedAnnotation stops every start of anything for a migration; what runs goes on, and so does the users' endpoint. The value is the reason.
	PausedAnnotation = "migration.slipway.dev/paused"
	// AbandonAnnotation lets go of a migration that is being deleted and whose target's cluster is gone for good; the value is the reason. What
	// stays behind is listed in its conditions. While the cluster answers it has no effect.
	AbandonAnnotation = "migration.slipway.dev/abandon"
	// RetryAnnotation asks for another try of the job that stopped, now; the value is any new text.
	RetryAnnotation = "migration.slipway.dev/retry"
)
