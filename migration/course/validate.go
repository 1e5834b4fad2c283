package course

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Validate says what is wrong with a migration inside a cluster beside what its schema says: each finding has the path of a field. The
// command line and the controller share it; what a plan of the target needs is told by migration/target, Validate.
func Validate(m *v1alpha1.PrometheusMigration) (found []Finding) {
	spec := &m.Spec
	add := func(bad bool, where, format string, args ...any) {
		if bad {
			found = append(found, Finding{Where: where, Says: fmt.Sprintf(format, args...)})
		}
	}
	add(spec.Tools.Image == "", "spec.tools.image", "it is missing; slipway image build makes it")
	validateSeed(spec, add)
	validateSource(&spec.Source, add)
	if w := spec.Cutover.Window; w != nil {
		_, _, err := Window(w, time.Unix(0, 0))
		add(err != nil, "spec.cutover.window", "%v", err)
	}
	for i, g := range spec.Cutover.Grafana {
		add(!isAddress(g.URL), fmt.Sprintf("spec.cutover.grafana[%d].url", i), "%q is no address like http://grafana:3000 (a password has no place in it)", shown(g.URL))
	}
	if t := spec.Transfer.MaxBytesPerSecond; t != nil {
		add(t.Sign() <= 0, "spec.transfer.maxBytesPerSecond", "%s would bring nothing; leave it out for no ceiling", t)
	}
	validateTarget(&spec.Target, add)
	validateGrafana(m, add)
	for i, name := range slices.Concat(spec.Coverage.Except, spec.Overrides) {
		add(strings.ContainsAny(name, ",\"\n"), "spec.coverage.except, spec.overrides", "name %d, %q, has a comma, a quotation mark or a line end", i+1, name)
	}
	return found
}

// adder notes a finding if something is bad.
type adder func(bad bool, where, format string, args ...any)

func validateSeed(spec *v1alpha1.PrometheusMigrationSpec, add adder) {
	add(spec.Seed == v1alpha1.SeedExisting, "spec.seed", "Existing: a server that starts on a copy of a data directory takes its blocks and its log for its own, and the move could not tell "+
		"the two histories apart; bring what the copy has to an empty volume on a host that has both (slipway prometheus pull FROM /mnt/new --seed /mnt/copy), and say MountedOnSource")
	add(spec.Seed == v1alpha1.SeedMountedOnSource && spec.Target.Prometheus != nil, "spec.seed", "MountedOnSource: the operator takes such a disk for a StatefulSet of its own alone; say Network")
	add(spec.Seed == v1alpha1.SeedMountedOnSource && spec.Target.Prometheus == nil && (spec.Target.StatefulSet == nil || spec.Target.StatefulSet.Storage.VolumeName == ""), "spec.seed",
		"MountedOnSource: name the PersistentVolume that was filled, in spec.target.statefulSet.storage.volumeName; else the claim gets another, empty one")
}

func validateTarget(t *v1alpha1.Target, add adder) {
	if s := t.StatefulSet; s != nil {
		add(s.Shim.URL != "" || s.Shim.Image != "" || len(s.Shim.Args) > 0, "spec.target.statefulSet.shim", "inside a cluster the operator runs the read shim by itself; leave it out")
		add(s.Storage.Size != nil && s.Storage.Size.Sign() <= 0, "spec.target.statefulSet.storage.size", "%s is no size", s.Storage.Size)
	}
	if s := t.Prometheus; s != nil {
		add(s.Shim.URL != "" || s.Shim.Image != "" || len(s.Shim.Args) > 0, "spec.target.prometheus.shim", "inside a cluster the operator runs the read shim by itself; leave it out")
	}
}

// Paths of Grafana's packages, where the spec leaves them out.
const (
	grafanaDataDir      = "/var/lib/grafana"
	grafanaProvisioning = "/etc/grafana/provisioning"
)

func validateGrafana(m *v1alpha1.PrometheusMigration, add adder) {
	g := m.Spec.Grafana
	if g == nil {
		return
	}
	add(g.Image == "", "spec.grafana.image", "it is missing")
	add(slices.Contains(servicesOf(m), cmp.Or(g.Name, "grafana")), "spec.grafana.name", "%q is the name of another Service of this move", cmp.Or(g.Name, "grafana"))
	add(g.Storage.Size != nil && g.Storage.Size.Sign() <= 0, "spec.grafana.storage.size", "%s is no size", g.Storage.Size)
	add(g.Service.NodePort != 0 && g.Service.Type != corev1.ServiceTypeNodePort, "spec.grafana.service.nodePort", "it is given, but service.type is not NodePort")
	f := g.From
	if f == nil {
		return
	}
	add(!isAddress(f.URL), "spec.grafana.from.url", "%q is no address like http://monitor:3000 (a password has no place in it)", shown(f.URL))
	add(f.APISecretName == "", "spec.grafana.from.apiSecretName", "it is missing; both are compared by their API")
	h := m.Spec.Source.Host
	add(h.Address == "" || h.SSHKeySecretName == "" || h.KnownHostKey == "", "spec.grafana.from",
		"its data comes over SSH: spec.source.host needs address, sshKeySecretName and knownHostKey; or leave from out, and the new one begins empty")
	data, provisioning := path.Clean(cmp.Or(f.DataDir, grafanaDataDir)), path.Clean(cmp.Or(f.ProvisioningDir, grafanaProvisioning))
	add(strings.HasPrefix(data+"/", provisioning+"/"), "spec.grafana.from.dataDir", "%s lies within the folder of the provisioning, %s", data, provisioning)
}

// servicesOf are the names of the other Services of a move.
func servicesOf(m *v1alpha1.PrometheusMigration) (names []string) {
	users := ""
	switch t := m.Spec.Target; {
	case t.StatefulSet != nil:
		users = t.StatefulSet.Name
	case t.Prometheus != nil:
		users = cmp.Or(t.Prometheus.ServiceName, t.Prometheus.Name)
	}
	return []string{users, users + "-pod", m.Name + "-" + string(RoleShim)}
}

func validateSource(s *v1alpha1.Source, add adder) {
	add(!isAddress(s.URL), "spec.source.url", "%q is no address like http://monitor:9090 (a password has no place in it)", shown(s.URL))
	add(s.Config == nil, "spec.source.config", "it is missing: a server tells its configuration with every secret masked; name a ConfigMap or Secret with a copy of its folder")
	if a := s.Host.Address; a != "" {
		_, err := netip.ParseAddr(a)
		add(err != nil, "spec.source.host.address", "%q is no IP address; the users' Service leads to it until the cutover", a)
	}
	if a := s.Agent; a != nil {
		_, port, err := net.SplitHostPort(a.Address)
		add(err != nil || port == "", "spec.source.agent.address", "%q is not host:port", a.Address)
		return
	}
	add(s.Host.SSHKeySecretName == "", "spec.source.host.sshKeySecretName", "it is missing; without an agent one is put on the host over SSH")
	add(s.Host.Address == "", "spec.source.host.address", "it is missing; SSH goes there")
	add(s.Host.KnownHostKey == "", "spec.source.host.knownHostKey", "it is missing; nobody is there to say yes to an unknown host: ssh-keyscan shows it")
}

// isAddress takes http and https without a password.
func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "http" || u.Scheme == "https")
}

// shown leaves out what may be a password.
func shown(text string) string {
	if i := strings.LastIndex(text, "@"); i >= 0 {
		return "…" + text[i:]
	}
	return text
}
