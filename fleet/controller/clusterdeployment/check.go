package clusterdeployment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/addon"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/plan"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// verdict is what the check of a spec said, and what it was made from.
type verdict struct {
	basis    string
	findings string
}

// check says what is wrong with a spec. Schemas are large: what was checked is checked again only when something that
// the check depends on has changed.
func (r *Reconciler) check(ctx context.Context, s *scope) (string, error) {
	d := s.deployment
	facts, err := r.facts(ctx, s)
	if err != nil {
		return "", err
	}
	addresses := make([]string, 0, len(facts.Machines))
	for name, address := range facts.Machines {
		addresses = append(addresses, name+" "+address)
	}
	slices.Sort(addresses)
	basis := fmt.Sprintf("%d %s %s %v %v", d.Generation, s.release.BundleDigest, facts.BuiltVersion, facts.Versions, addresses)
	r.mu.Lock()
	kept, ok := r.checked[d.UID]
	r.mu.Unlock()
	if ok && kept.basis == basis {
		return kept.findings, nil
	}
	v := verdict{basis: basis}
	if findings := plan.Validate(d.Spec, facts); len(findings) > 0 {
		v.findings = plan.Message(findings)
	}
	r.mu.Lock()
	r.checked[d.UID] = v
	r.mu.Unlock()
	return v.findings, nil
}

// facts are what the spec is checked against.
func (r *Reconciler) facts(ctx context.Context, s *scope) (plan.Facts, error) {
	d := s.deployment
	facts := Facts(r.View.Content, d.Spec)
	machines, err := r.View.Machines(ctx, d.Namespace, view.MachineCluster, d.Name)
	if err != nil {
		return facts, err
	}
	facts.Machines = make(map[string]string, len(machines))
	for i := range machines {
		facts.Machines[machines[i].Name] = machines[i].Spec.Address
	}
	cluster := &v1alpha1.Cluster{}
	err = r.Kit.Get(ctx, client.ObjectKeyFromObject(d), cluster)
	if apierrors.IsNotFound(err) {
		return facts, nil
	}
	if err != nil {
		return facts, fmt.Errorf("reading cluster %s: %w", d.Name, err)
	}
	if built, ok := r.View.Content.Built(cluster.Spec.ContentVersion, cluster.Spec.BundleDigest); ok {
		facts.BuiltVersion = built.Manifest.Kubernetes
	}
	return facts, nil
}

// Facts are what is known of the bundles for a spec, without a look at any cluster.
func Facts(content view.Content, spec v1alpha1.ClusterDeploymentSpec) plan.Facts {
	facts := plan.Facts{
		Versions: content.Versions(spec.ContentVersion), Addons: addon.Known(), CheckAddon: addon.Check, Contents: contents(content),
	}
	release, ok := content.ForVersion(spec.ContentVersion, spec.Kubernetes.Version)
	if !ok {
		return facts
	}
	facts.Schemas = make(map[string]json.RawMessage, len(release.Manifest.Schemas))
	for kind, schema := range release.Manifest.Schemas {
		facts.Schemas[kind] = schema.Document
	}
	facts.Flags = make(map[string][]plan.Flag, len(release.Manifest.FlagSets))
	for component, flags := range release.Manifest.FlagSets {
		for _, f := range flags {
			facts.Flags[component] = append(facts.Flags[component], plan.Flag{Name: f.Name, Deprecated: f.Deprecated})
		}
	}
	return facts
}

func contents(c view.Content) []string {
	var out []string
	for _, r := range c.Releases() {
		out = append(out, r.ContentVersion)
	}
	slices.SortFunc(out, strings.Compare)
	return slices.Compact(out)
}
