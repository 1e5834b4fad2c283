package plan

import (
	"encoding/json"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/test/golden"
)

// goodSpec can be built with goodFacts.
func goodSpec() v1alpha1.ClusterDeploymentSpec {
	three, twenty := int32(3), int32(20)
	return v1alpha1.ClusterDeploymentSpec{
		Kubernetes: v1alpha1.Kubernetes{Version: "v1.36.3", ComponentConfigs: &v1alpha1.ComponentConfigs{
			Kubelet:              raw(`{"maxPods":200,"serializeImagePulls":null,"evictionHard":{"memory.available":"5%"},"shutdownGracePeriod":"30s"}`),
			KubeProxy:            raw(`{"mode":"nftables"}`),
			ClusterConfiguration: raw(`{"apiServer":{"extraArgs":[{"name":"audit-log-maxage","value":"30"}]}}`),
		}},
		Etcd:         v1alpha1.Etcd{Topology: v1alpha1.EtcdExternal, Machines: &v1alpha1.EtcdMachines{Replicas: 3}},
		Network:      v1alpha1.Network{Plugin: v1alpha1.NetworkFlannel, PodCIDRs: []string{"10.244.0.0/16"}, ServiceCIDRs: []string{"10.96.0.0/16"}},
		APIEndpoint:  v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: "api.shop.example", Port: 6443},
		OS:           &v1alpha1.OperatingSystem{Sysctls: map[string]string{"vm.max_map_count": "262144"}},
		Addons:       []v1alpha1.Addon{{Name: "coredns"}},
		ControlPlane: v1alpha1.ControlPlane{Replicas: 1},
		Workers: []v1alpha1.WorkerSet{
			{Name: "general", Replicas: &twenty, Labels: map[string]string{"tier": "app"}},
			{Name: "gpu", Replicas: &three, Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: "NoSchedule"}}},
		},
	}
}

func raw(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

// goodFacts are those of the shipped bundle; its schemas and flags are cut out of its manifest into testdata.
func goodFacts(t testing.TB) Facts {
	t.Helper()
	data, err := os.ReadFile("testdata/bundle-facts.json")
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts{
		Versions: []string{"v1.35.7", "v1.36.3"}, Addons: []string{"coredns", "metrics-server"},
		Contents: []string{"0.1.0-abcdef01"}, Machines: map[string]string{"r1-u01": "198.18.0.11", "r1-u02": "host.example"},
	}
	if err := json.Unmarshal(data, &facts); err != nil {
		t.Fatal(err)
	}
	return facts
}

func TestValidateAcceptsAGoodSpec(t *testing.T) {
	if found := Validate(goodSpec(), goodFacts(t)); len(found) > 0 {
		t.Errorf("found:\n%v", found)
	}
}

func TestValidate(t *testing.T) {
	type spec = v1alpha1.ClusterDeploymentSpec
	kubelet := func(text string) func(*spec, *Facts) {
		return func(s *spec, _ *Facts) { s.Kubernetes.ComponentConfigs.Kubelet = raw(text) }
	}
	cluster := func(text string) func(*spec, *Facts) {
		return func(s *spec, _ *Facts) { s.Kubernetes.ComponentConfigs.ClusterConfiguration = raw(text) }
	}
	network := func(pods, services string) func(*spec, *Facts) {
		return func(s *spec, _ *Facts) {
			s.Network.PodCIDRs, s.Network.ServiceCIDRs = []string{pods}, []string{services}
		}
	}
	cases := map[string]func(*spec, *Facts){
		"version typo":                   func(s *spec, _ *Facts) { s.Kubernetes.Version = "v1.36.33" },
		"version far off":                func(s *spec, _ *Facts) { s.Kubernetes.Version = "v2.0.0" },
		"no bundle at all":               func(_ *spec, f *Facts) { f.Versions = nil },
		"version changed":                func(s *spec, f *Facts) { f.BuiltVersion, s.Kubernetes.Version = "v1.36.3", "v1.35.7" },
		"unknown content":                func(s *spec, _ *Facts) { s.ContentVersion = "0.2.0-abcdef01" },
		"even etcd":                      func(s *spec, _ *Facts) { s.Etcd.Machines.Replicas = 2 },
		"six etcd":                       func(s *spec, _ *Facts) { s.Etcd.Machines.Replicas = 6 },
		"seven etcd":                     func(s *spec, _ *Facts) { s.Etcd.Machines.Replicas = 7 },
		"external etcd without machines": func(s *spec, _ *Facts) { s.Etcd.Machines = nil },
		"colocated etcd with machines":   func(s *spec, _ *Facts) { s.Etcd.Topology = v1alpha1.EtcdColocated },
		"no control plane":               func(s *spec, _ *Facts) { s.ControlPlane.Replicas = 0 },
		"overlapping ranges":             network("10.96.0.0/12", "10.96.0.0/16"),
		"machines among the pods":        network("198.18.0.0/16", "10.96.0.0/16"),
		"machines among the services":    network("10.244.0.0/16", "198.18.0.0/16"),
		"pod range too small for nodes":  network("10.244.0.0/20", "10.96.0.0/16"),
		"pod range smaller than a node":  network("10.244.0.0/25", "10.96.0.0/16"),
		"service range too small":        network("10.244.0.0/16", "10.96.0.0/29"),
		"service range too large":        network("10.244.0.0/16", "11.0.0.0/8"),
		"range with host bits":           network("10.244.1.0/16", "10.96.0.0/16"),
		"range that is none":             network("10.244.0.0", "10.96.0.0/16"),
		"families mixed":                 network("fd00::/48", "10.96.0.0/16"),
		"two ranges":                     func(s *spec, _ *Facts) { s.Network.PodCIDRs = append(s.Network.PodCIDRs, "10.1.0.0/16") },
		"unknown plugin":                 func(s *spec, _ *Facts) { s.Network.Plugin = "flanel" },
		"unknown kubelet field":          kubelet(`{"maxPod":200}`),
		"unknown nested field":           kubelet(`{"authentication":{"webhok":{"enabled":true}}}`),
		"unknown field in a list":        cluster(`{"apiServer":{"extraVolumes":[{"name":"a","hostPth":"/x"}]}}`),
		"wrong type":                     kubelet(`{"maxPods":"many"}`),
		"not an object":                  kubelet(`[]`),
		"not JSON":                       kubelet(`{`),
		"part too long":                  kubelet(`{"podCIDR":"` + strings.Repeat("x", 64<<10) + `"}`),
		"owned kubelet field":            kubelet(`{"cgroupDriver":"cgroupfs","apiVersion":"kubelet.config.k8s.io/v1beta1"}`),
		"owned cluster fields":           cluster(`{"certificatesDir":"/x","imageRepository":"r","etcd":{"local":{"dataDir":"/x"}},"networking":{"podSubnet":"10.0.0.0/8"}}`),
		"owned nested proxy field": func(s *spec, _ *Facts) {
			s.Kubernetes.ComponentConfigs.KubeProxy = raw(`{"clientConnection":{"kubeconfig":"/x","qps":5}}`)
		},
		"removed flag":      cluster(`{"apiServer":{"extraArgs":[{"name":"insecure-port","value":"8080"}]}}`),
		"flag typo":         cluster(`{"scheduler":{"extraArgs":[{"name":"leader-elct","value":"true"}]}}`),
		"flag with dashes":  cluster(`{"controllerManager":{"extraArgs":[{"name":"--v","value":"4"}]}}`),
		"flag without name": cluster(`{"controllerManager":{"extraArgs":[{"value":"4"}]}}`),
		"owned flag":        cluster(`{"apiServer":{"extraArgs":[{"name":"etcd-servers","value":"http://x"}]}}`),
		"unknown addon":     func(s *spec, _ *Facts) { s.Addons = append(s.Addons, v1alpha1.Addon{Name: "core-dns"}) },
		"bad addon values": func(s *spec, f *Facts) {
			s.Addons[0].Values = raw(`{"x":1}`)
			f.CheckAddon = func(string, []byte) error { return os.ErrInvalid }
		},
		"worker set twice": func(s *spec, _ *Facts) { s.Workers[1].Name = "general" },
		"bad label":        func(s *spec, _ *Facts) { s.Workers[0].Labels = map[string]string{"a b": "c d"} },
		"bad taint effect": func(s *spec, _ *Facts) { s.Workers[1].Taints[0].Effect = "NoScedule" },
		"bad selector": func(s *spec, _ *Facts) {
			s.Workers[0].Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Is"}}}
		},
		"bad sysctl": func(s *spec, _ *Facts) { s.OS.Sysctls = map[string]string{"vm max": "1", "vm.x": "1\n2"} },
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		s, f := goodSpec(), goodFacts(t)
		cases[name](&s, &f)
		found := Validate(s, f)
		if len(found) == 0 {
			t.Errorf("%s: found nothing", name)
		}
		b.WriteString("# " + name + "\n")
		for _, finding := range found {
			b.WriteString(finding.String() + "\n")
		}
	}
	golden.Check(t, "testdata/validate.golden", b.String())
}

func TestMessage(t *testing.T) {
	found := []Finding{{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}, {"f", "6"}, {"g", "7"}}
	if got, want := Message(found), "a: 1; b: 2; c: 3; d: 4; e: 5; and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Message(nil); got != "" {
		t.Errorf("got %q for nothing", got)
	}
}

func TestDistance(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want int
	}{
		"same": {"kubelet", "kubelet", 0}, "one letter more": {"maxPods", "maxPod", 1}, "two swapped": {"flannel", "flanenl", 1},
		"from nothing": {"", "abc", 3}, "another": {"abc", "xyz", 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := distance(tc.a, tc.b); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
			if got := distance(tc.b, tc.a); got != tc.want {
				t.Errorf("the other way round %d, want %d", got, tc.want)
			}
		})
	}
}

// Whatever a person writes into a part, the check ends, says where, and says it once for each place.
func FuzzValidateKubelet(f *testing.F) {
	facts := goodFacts(f)
	f.Add(`{"maxPods":1}`)
	f.Add(`{"authentication":{"x509":null,"webhook":{"a":[{}]}}}`)
	f.Add(`{"reservedMemory":[{"numaNode":0,"limits":{"memory":"1Gi"}},{"x":1}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := goodSpec()
		s.Kubernetes.ComponentConfigs.Kubelet = raw(text)
		seen := map[string]bool{}
		for _, finding := range Validate(s, facts) {
			if !strings.HasPrefix(finding.Path, "spec.kubernetes.componentConfigs.kubelet") || finding.Message == "" || seen[finding.Path] {
				t.Errorf("finding %q", finding)
			}
			seen[finding.Path] = true
		}
	})
}

// Whatever a person writes into the words of a spec, the check ends, and what it refuses has a place and a reason.
func FuzzValidateWords(f *testing.F) {
	facts := goodFacts(f)
	facts.CheckAddon = nil
	f.Add("v1.36.3", "10.244.0.0/16", "10.96.0.0/16", "flannel", "tier", "app", "vm.max_map_count", "1")
	f.Add("v1.36", "fd00::/48", "fd01::/108", "None", "a/b", "", "net.ipv4.conf.all/x", "")
	f.Add("", "0.0.0.0/0", "::/0", "calico", "/", "\n", "..", "1\n2")
	f.Add("v1.36.3", "10.244.0.1/33", "10.244.0.0/16", "\xff", "kubernetes.io/x", "é", "", "\x00")
	f.Fuzz(func(t *testing.T, version, pods, services, plugin, key, value, sysctl, setting string) {
		s := goodSpec()
		s.Kubernetes.Version, s.ContentVersion = version, version
		s.Network = v1alpha1.Network{Plugin: v1alpha1.NetworkPlugin(plugin), PodCIDRs: []string{pods}, ServiceCIDRs: []string{services}}
		s.Workers[0].Labels = map[string]string{key: value}
		s.Workers[0].Name = value
		s.Workers[0].Selector = &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
		s.OS.Sysctls = map[string]string{sysctl: setting}
		s.Addons[0].Name = plugin
		found := Validate(s, facts)
		for _, finding := range found {
			if !strings.HasPrefix(finding.Path, "spec.") || finding.Message == "" {
				t.Errorf("finding %q", finding)
			}
		}
		podRange, err := netip.ParsePrefix(pods)
		serviceRange, other := netip.ParsePrefix(services)
		if len(found) == 0 && (err != nil || other != nil || podRange.Overlaps(serviceRange)) {
			t.Errorf("took the ranges %q and %q", pods, services)
		}
	})
}

func FuzzNearest(f *testing.F) {
	f.Add("flanel", "flannel")
	f.Add("", "")
	f.Add(strings.Repeat("é", 100), "\xff\xfe")
	f.Fuzz(func(t *testing.T, a, b string) {
		if distance(a, b) != distance(b, a) || distance(a, a) != 0 {
			t.Errorf("the distance of %q and %q depends on the order", a, b)
		}
		if hint := didYouMean(a, []string{b}); hint != "" && !strings.HasSuffix(hint, "?") {
			t.Errorf("hint %q", hint)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, name := range []string{"shop-scale-0d19e180-3", "shop", "", "-", "a--1", "a-+1", "a-99999999999999999999", "a-٣"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := Number(name)
		if n < 0 || n > 0 && !strings.Contains(name, "-") {
			t.Errorf("Number(%q) = %d", name, n)
		}
		if got := Number("shop-scale-" + strconv.Itoa(n)); got != n {
			t.Errorf("%d is read as %d", n, got)
		}
	})
}
