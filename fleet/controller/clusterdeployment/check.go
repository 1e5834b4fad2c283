package clusterdeployment

import (
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/controller/view"
)

// check says what is wrong with a spec. Schemas are large: each generation is checked once.
func (r *Reconciler) check(d *v1alpha1.ClusterDeployment, release view.Release, carried bool) verdict {
	r.mu.Lock()
	kept, ok := r.checked[d.UID]
	r.mu.Unlock()
	if ok && kept.generation == d.Generation {
		return kept
	}
	v := verdict{generation: d.Generation, reason: v1alpha1.ReasonInvalidSpec}
	if !carried {
		v.findings = "spec.kubernetes.version: there is no bundle of " + d.Spec.Kubernetes.Version
	}
	r.mu.Lock()
	r.checked[d.UID] = v
	r.mu.Unlock()
	return v
}
