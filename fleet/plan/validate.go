package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Finding is one thing in a spec that cannot be built.
type Finding struct {
	// Path is the field, as in spec.network.podCIDRs[0].
	Path string `json:"path"`
	// Message says what is wrong, with which value, and what to do.
	Message string `json:"message"`
}

// String is path: message.
func (f Finding) String() string { return f.Path + ": " + f.Message }

// Message joins findings for a condition: at most five, then how many more.
func Message(findings []Finding) string {
	const most = 5
	var parts []string
	for _, f := range findings[:min(most, len(findings))] {
		parts = append(parts, f.String())
	}
	if more := len(findings) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// Facts are what a spec is checked against.
type Facts struct {
	// Versions are the Kubernetes versions of which there is a bundle.
	Versions []string
	// Schemas are the JSON schemas by kind and Flags the flags by component of the bundle of the spec's version; nil where
	// there is no such bundle.
	Schemas map[string]json.RawMessage
	Flags   map[string][]Flag
	// Addons are the names of the addons that are shipped. CheckAddon checks the values of one; nil: they are not checked.
	Addons     []string
	CheckAddon func(name string, values []byte) error
	// Contents are the content versions that the operator carries; nil: not checked.
	Contents []string
	// Machines are the addresses of the claimed machines by name.
	Machines map[string]string
	// BuiltVersion is the Kubernetes version that the cluster was built with; empty: it is not built yet.
	BuiltVersion string
}

// Flag is one command line flag of a component.
type Flag struct {
	Name       string
	Deprecated string
}

// maxPartBytes limits the part of a component's configuration.
const maxPartBytes = 64 << 10

// findings collects what a check finds.
type findings struct {
	spec  v1alpha1.ClusterDeploymentSpec
	facts Facts
	list  []Finding
}

// Validate checks a spec against the facts of a bundle. No findings: it can be built. What the API server refuses is
// found as well, so that a file can be checked with no cluster.
func Validate(spec v1alpha1.ClusterDeploymentSpec, facts Facts) []Finding {
	f := &findings{spec: spec, facts: facts}
	f.version()
	f.content()
	f.replicas()
	f.network()
	f.workers()
	f.system()
	f.components()
	f.addons()
	return f.list
}

func (f *findings) add(path, format string, args ...any) {
	f.list = append(f.list, Finding{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (f *findings) version() {
	const path = "spec.kubernetes.version"
	version := f.spec.Kubernetes.Version
	if f.facts.BuiltVersion != "" && version != f.facts.BuiltVersion {
		f.add(path, "the cluster is built with %s and cannot be moved to %q: upgrades are not supported yet; set it back to %s", f.facts.BuiltVersion, version, f.facts.BuiltVersion)
		return
	}
	if slices.Contains(f.facts.Versions, version) {
		return
	}
	if len(f.facts.Versions) == 0 {
		f.add(path, "there is no bundle of %q, nor of any other version; make one with `slipway bundle build`", version)
		return
	}
	f.add(path, "there is no bundle of %q%s; there is one of %s", version, didYouMean(version, f.facts.Versions), strings.Join(f.facts.Versions, ", "))
}

func (f *findings) content() {
	want := f.spec.ContentVersion
	if want == "" || f.facts.Contents == nil || slices.Contains(f.facts.Contents, want) {
		return
	}
	f.add("spec.contentVersion", "this operator does not carry content %q%s; it carries %s", want, didYouMean(want, f.facts.Contents), strings.Join(f.facts.Contents, ", "))
}

func (f *findings) replicas() {
	etcd := f.spec.Etcd
	switch {
	case etcd.Topology == v1alpha1.EtcdExternal && etcd.Machines == nil:
		f.add("spec.etcd.machines", "is missing: External etcd has machines of its own; set replicas to 1, 3 or 5")
	case etcd.Topology == v1alpha1.EtcdColocated && etcd.Machines != nil:
		f.add("spec.etcd.machines", "must not be set: Colocated etcd runs on the control planes; remove it, or set topology to External")
	case etcd.Topology != v1alpha1.EtcdExternal && etcd.Topology != v1alpha1.EtcdColocated:
		f.add("spec.etcd.topology", "%q is neither External nor Colocated", etcd.Topology)
	}
	if etcd.Machines != nil {
		f.etcdReplicas(etcd.Machines.Replicas)
		f.selector("spec.etcd.machines.selector", etcd.Machines.Selector)
	}
	if n := f.spec.ControlPlane.Replicas; n != 1 {
		f.add("spec.controlPlane.replicas", "is %d; it can be 1 today", n)
	}
	f.selector("spec.controlPlane.selector", f.spec.ControlPlane.Selector)
}

func (f *findings) etcdReplicas(n int32) {
	const path = "spec.etcd.machines.replicas"
	switch n {
	case 1, 3, 5:
	case 2, 4:
		f.add(path, "is %d: an even number of members tolerates no more failures than %d; set %d or %d", n, n-1, n-1, n+1)
	default:
		f.add(path, "is %d; set 1, 3 or 5", n)
	}
}

func (f *findings) selector(path string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		f.add(path, "%v", err)
	}
}

func (f *findings) workers() {
	seen := map[string]bool{}
	for i, w := range f.spec.Workers {
		path := fmt.Sprintf("spec.workers[%d]", i)
		if seen[w.Name] {
			f.add(path+".name", "%q is there twice", w.Name)
		}
		seen[w.Name] = true
		if w.Replicas == nil || *w.Replicas < 0 {
			f.add(path+".replicas", "must be 0 or more")
		}
		f.selector(path+".selector", w.Selector)
		f.nodeLabels(path+".labels", w.Labels)
		for j, taint := range w.Taints {
			at := fmt.Sprintf("%s.taints[%d]", path, j)
			for _, problem := range validation.IsQualifiedName(taint.Key) {
				f.add(at+".key", "%q: %s", taint.Key, problem)
			}
			effects := []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
			if effect := string(taint.Effect); !slices.Contains(effects, effect) {
				f.add(at+".effect", "%q is unknown%s; it can be %s", effect, didYouMean(effect, effects), strings.Join(effects, ", "))
			}
		}
	}
}

func (f *findings) nodeLabels(path string, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		for _, problem := range validation.IsQualifiedName(key) {
			f.add(path, "key %q: %s", key, problem)
		}
		for _, problem := range validation.IsValidLabelValue(labels[key]) {
			f.add(path, "value %q of %s: %s", labels[key], key, problem)
		}
	}
}

func (f *findings) system() {
	if f.spec.OS == nil {
		return
	}
	for _, key := range sortedKeys(f.spec.OS.Sysctls) {
		value := f.spec.OS.Sysctls[key]
		if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") != "" || strings.Contains(key, "..") {
			f.add("spec.os.sysctls", "%q is not the name of a kernel setting, such as vm.max_map_count", key)
		}
		if value == "" || strings.ContainsAny(value, "\n\r\x00") {
			f.add("spec.os.sysctls", "the value of %s is empty or has more than one line", key)
		}
	}
}

func (f *findings) addons() {
	for i, a := range f.spec.Addons {
		path := fmt.Sprintf("spec.addons[%d]", i)
		if !slices.Contains(f.facts.Addons, a.Name) {
			f.add(path+".name", "there is no addon %q%s; there are %s", a.Name, didYouMean(a.Name, f.facts.Addons), strings.Join(f.facts.Addons, ", "))
			continue
		}
		if a.Values == nil || len(a.Values.Raw) == 0 {
			continue
		}
		if len(a.Values.Raw) > maxPartBytes {
			f.add(path+".values", "are %d bytes long; the limit is %d", len(a.Values.Raw), maxPartBytes)
			continue
		}
		if f.facts.CheckAddon == nil {
			continue
		}
		if err := f.facts.CheckAddon(a.Name, a.Values.Raw); err != nil {
			f.add(path+".values", "%v", err)
		}
	}
}
