package addons

import (
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
)

// appliedDigest is the digest of an addon as it was applied; empty when it was not.
func appliedDigest(c *v1alpha1.Cluster, name string) string {
	for _, a := range c.Status.Addons {
		if a.Name == name {
			return a.Digest
		}
	}
	return ""
}

// remember records what was applied, sorted by name.
func remember(c *v1alpha1.Cluster, name, digest string) {
	forget(c, name)
	c.Status.Addons = append(c.Status.Addons, v1alpha1.AddonStatus{Name: name, Digest: digest})
	slices.SortFunc(c.Status.Addons, func(a, b v1alpha1.AddonStatus) int { return strings.Compare(a.Name, b.Name) })
}

func forget(c *v1alpha1.Cluster, name string) {
	c.Status.Addons = slices.DeleteFunc(c.Status.Addons, func(a v1alpha1.AddonStatus) bool { return a.Name == name })
}

// status says how the addons stand. The addons in the status were applied in their present form, unless a phase failed.
func (r *Reconciler) status(s *scope, err error) {
	c := s.cluster
	if s.seen == nil || s.seen.Deployment == nil {
		return
	}
	conditions := &c.Status.Conditions
	switch {
	case err != nil:
		kube.False(conditions, c.Generation, v1alpha1.ConditionAddonsApplied, kube.Reason(err, v1alpha1.ReasonFailed), err.Error())
	case s.held != "" && s.complete():
		return // nothing to do and nothing known to be wrong
	case s.held != "":
		kube.False(conditions, c.Generation, v1alpha1.ConditionAddonsApplied, v1alpha1.ReasonPending, s.held)
	case len(s.seen.Deployment.Spec.Addons) == 0:
		kube.True(conditions, c.Generation, v1alpha1.ConditionAddonsApplied, v1alpha1.ReasonAsWanted, "no addons are wanted")
	default:
		kube.True(conditions, c.Generation, v1alpha1.ConditionAddonsApplied, v1alpha1.ReasonAsWanted, "applied: "+names(c.Status.Addons))
	}
}

// complete says that every wanted addon was applied once, in whatever form.
func (s *scope) complete() bool {
	for _, a := range s.seen.Deployment.Spec.Addons {
		if appliedDigest(s.cluster, a.Name) == "" {
			return false
		}
	}
	return true
}

func names(addons []v1alpha1.AddonStatus) string {
	var list []string
	for _, a := range addons {
		list = append(list, a.Name)
	}
	return strings.Join(list, ", ")
}
