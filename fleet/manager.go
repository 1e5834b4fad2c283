package fleet

import (
	"context"
	"fmt"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scheme knows every kind that the domain reads or writes.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// lastApplied is an annotation of kubectl that repeats the whole object; nothing here reads it.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// ManagerOptions completes the options of a manager: what is cached and how reads see writes. A read waits until the
// cache has seen the writes of this process, which is what lets controllers decide by what they read. Of Secrets only
// those with SSH keys are cached, of ConfigMaps only the freeze.
func ManagerOptions(base ctrl.Options) (ctrl.Options, error) {
	if base.Scheme == nil {
		scheme, err := Scheme()
		if err != nil {
			return base, err
		}
		base.Scheme = scheme
	}
	base.Cache.DefaultTransform = slim
	if base.Cache.ByObject == nil {
		base.Cache.ByObject = map[client.Object]cache.ByObject{}
	}
	base.Cache.ByObject[&corev1.Secret{}] = cache.ByObject{Field: fields.OneTermEqualSelector("type", string(corev1.SecretTypeSSHAuth))}
	base.Cache.ByObject[&corev1.ConfigMap{}] = cache.ByObject{
		Namespaces: map[string]cache.Config{v1alpha1.FreezeNamespace: {}},
		Field:      fields.OneTermEqualSelector("metadata.name", v1alpha1.FreezeConfigMap),
	}
	if base.Client.Cache == nil {
		base.Client.Cache = &client.CacheOptions{}
	}
	base.Client.Cache.EnableReadYourWritesConsistency = ptr.To(true)
	return base, nil
}

// slim drops from cached objects what nothing reads and what makes up half of their size.
func slim(in any) (any, error) {
	if o, ok := in.(metav1.Object); ok {
		o.SetManagedFields(nil)
		if annotations := o.GetAnnotations(); annotations[lastApplied] != "" {
			delete(annotations, lastApplied)
			o.SetAnnotations(annotations)
		}
	}
	return in, nil
}

// prepare makes the namespace of what belongs to no namespace of its own.
func (d *domain) prepare(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.FreezeNamespace}}
	if err := d.kit.Live.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making namespace %s: %w", v1alpha1.FreezeNamespace, err)
	}
	return nil
}
