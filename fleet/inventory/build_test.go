package inventory

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/test/golden"
)

var day0 = time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)

// hostKey is a key of the right form that belongs to nobody.
func hostKey(name string) string {
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("host key of "+name)) + " a comment"
}

func host(name string, role v1alpha1.Role, address string, change ...func(*Host)) Host {
	h := Host{Name: name, Role: role, Generation: 3, Spec: v1alpha1.MachineSpec{
		Address: address, Port: 22, User: "root", SSHKeySecretName: "rack-key", HostKey: hostKey(name),
	}}
	for _, c := range change {
		c(&h)
	}
	return h
}

func raw(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

// external is a cluster with etcd on a machine of its own, a control plane and a worker.
func external(t *testing.T) Input {
	t.Helper()
	e := host("r1-u01", v1alpha1.RoleEtcd, "198.18.0.11")
	c := host("r1-u02", v1alpha1.RoleControlPlane, "198.18.0.12")
	w := host("r1-u03", v1alpha1.RoleCompute, "198.18.0.13")
	in := Input{
		EntryPoint: v1alpha1.EntryCreate, Run: "3f1c-1", OperationUID: "3f1c", OperationCreated: day0,
		ClusterName: "shop",
		Cluster: v1alpha1.ClusterSpec{
			ContentVersion: "0.1.0-abcdef01", BundleDigest: "sha256:" + strings.Repeat("ab", 32), UID: "5b0c",
		},
		Hosts: []Host{w, c, e}, ControlPlane: []Host{c}, Etcd: []Host{e},
		Bundle: Bundle{
			ImageRepository: "bundle.slipway.dev", VerifyImage: "bundle.slipway.dev/verify:v1",
			Contents: map[string]Content{"etcd": {Digest: "sha256:" + strings.Repeat("cd", 32), Size: 12345678}},
		},
		Mirrors: []string{"https://198.18.0.1:8443"}, MirrorCA: []byte("the mirror's authority"),
	}
	in.Spec.Kubernetes.Version = "v1.36.3"
	in.Spec.Etcd.Topology = v1alpha1.EtcdExternal
	in.Spec.Network = v1alpha1.Network{Plugin: v1alpha1.NetworkFlannel, PodCIDRs: []string{"10.244.0.0/16"}, ServiceCIDRs: []string{"10.96.0.0/16"}}
	in.Spec.APIEndpoint = v1alpha1.APIEndpoint{Type: v1alpha1.EndpointDirect, Name: "api.shop.example", Port: 6443}
	in.PKI = pki(t, certs.Member{Name: "r1-u01", Names: []string{"198.18.0.11"}}, certs.Member{Name: "r1-u02", Names: []string{"198.18.0.12"}})
	return in
}

func pki(t *testing.T, members ...certs.Member) certs.Cluster {
	t.Helper()
	out, _, err := certs.New(certs.Options{Now: func() time.Time { return day0 }}).EnsureCluster(certs.Cluster{}, members)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// cases are the inputs of the golden tests; change starts from external.
func cases() map[string]func(in *Input) {
	colocated := func(in *Input) {
		in.Spec.Etcd.Topology = v1alpha1.EtcdColocated
		in.Etcd = nil
		in.Hosts = in.Hosts[:2]
	}
	return map[string]func(*Input){
		"create-external-etcd":  func(*Input) {},
		"create-colocated-etcd": colocated,
		"create-lab": func(in *Input) {
			colocated(in)
			in.Spec.OS = &v1alpha1.OperatingSystem{Profile: v1alpha1.OSLab, Sysctls: map[string]string{"vm.max_map_count": "262144"}}
		},
		"create-with-user-settings": func(in *Input) {
			in.Spec.Kubernetes.ComponentConfigs = &v1alpha1.ComponentConfigs{
				Kubelet:   raw(`{"maxPods":200,"serializeImagePulls":null,"evictionHard":{"memory.available":"200Mi"},"cgroupDriver":"cgroupfs"}`),
				KubeProxy: raw(`{"conntrack":{"min":0},"nftables":{"syncPeriod":"10s"}}`),
				ClusterConfiguration: raw(`{"certificateValidityPeriod":"17520h","apiServer":{"certSANs":["api.example"],
					"extraArgs":[{"name":"audit-log-maxage","value":"30"},{"name":"kubelet-certificate-authority","value":"/tmp/x"}]},
					"networking":{"dnsDomain":"other"}}`),
			}
			in.Spec.ContainerRuntime = &v1alpha1.ContainerRuntime{Name: "containerd", Registries: []v1alpha1.Registry{
				{Host: "registry.example", Mirrors: []string{"https://mirror.example"}},
			}}
			in.Spec.APIEndpoint = v1alpha1.APIEndpoint{Type: v1alpha1.EndpointExternal, Name: "api.shop.example", Port: 443}
		},
		"scale-one": func(in *Input) {
			in.EntryPoint = v1alpha1.EntryScale
			in.Hosts = []Host{host("r9-u03", v1alpha1.RoleCompute, "198.18.0.33", func(h *Host) {
				h.Taints = []Taint{{Key: "gpu", Value: "yes", Effect: "NoSchedule"}}
			})}
		},
		"scale-bastion-sudo-port": func(in *Input) {
			in.EntryPoint = v1alpha1.EntryScale
			in.Hosts = []Host{host("r9-u03", v1alpha1.RoleCompute, "host.example", func(h *Host) {
				h.IP, h.Spec.Port, h.Spec.User, h.Spec.SSHKeySecretName = "198.18.0.33", 2222, "ops", "other-key"
				h.Spec.Bastion = &v1alpha1.Bastion{Address: "198.18.0.2", Port: 2022, User: "jump", HostKey: hostKey("bastion")}
			})}
		},
		"remove": func(in *Input) { in.EntryPoint = v1alpha1.EntryRemove },
		"verify": func(in *Input) {
			in.EntryPoint, in.Hosts, in.Nodes = v1alpha1.EntryVerify, in.ControlPlane, []string{"r1-u03", "r1-u02"}
		},
	}
}

func TestBuildGolden(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(cases())) {
		t.Run(name, func(t *testing.T) {
			in := external(t)
			cases()[name](&in)
			out, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", name+".golden"), fmt.Sprintf("# hosts: %v, keys: %v\n# inventory\n%s# known_hosts\n%s# vars\n%s# secret vars\n%s",
				out.Hosts, out.KeySecrets, out.Inventory, out.KnownHosts, out.Vars, masked(t, in, out.SecretVars)))
		})
	}
}

var pemBlock = regexp.MustCompile(`(?s)-----BEGIN ([A-Z ]+)-----.*?-----END [A-Z ]+-----\n`)

// masked prints secret variables as YAML with what each certificate says in its place, because keys differ in each run.
func masked(t *testing.T, in Input, data []byte) string {
	t.Helper()
	var vars map[string]any
	if err := json.Unmarshal(data, &vars); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(walk(vars, func(s string) string {
		return pemBlock.ReplaceAllStringFunc(s, describe)
	}))
	if err != nil {
		t.Fatal(err)
	}
	token, err := BootstrapToken(in.PKI.CA, in.OperationUID)
	if err != nil {
		t.Fatal(err)
	}
	pin, err := certs.PublicKeyHash(in.PKI.CA.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(token, "<token>", pin, "<pin>").Replace(string(text))
}

func describe(block string) string {
	decoded, _ := pem.Decode([]byte(block))
	if decoded.Type != "CERTIFICATE" {
		return "<" + decoded.Type + ">"
	}
	info, err := certs.Read([]byte(block))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("<%s by %s for %v until %s>", info.CommonName, info.Issuer, info.Names, info.NotAfter.Format(time.DateOnly))
}

func walk(v any, change func(string) string) any {
	switch x := v.(type) {
	case string:
		return change(x)
	case []any:
		for i := range x {
			x[i] = walk(x[i], change)
		}
	case map[string]any:
		for k := range x {
			x[k] = walk(x[k], change)
		}
	}
	return v
}

func TestBuildIsDeterministic(t *testing.T) {
	in := external(t)
	first, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(in.Hosts)
	second, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("the order of the hosts matters:\n%s", diff)
	}
}

// Every secret that goes in is looked for in all that anybody may see, whole and line by line.
func TestBuildLeaksNothing(t *testing.T) {
	for name, change := range cases() {
		in := external(t)
		change(&in)
		out, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := string(out.Inventory) + string(out.Vars) + string(out.KnownHosts)
		for _, secret := range secrets(t, in) {
			if strings.Contains(seen, secret) {
				t.Errorf("%s: a secret can be seen: %.12s…", name, secret)
			}
		}
		if strings.Contains(seen, "PRIVATE KEY") {
			t.Errorf("%s: a private key can be seen", name)
		}
	}
}

func secrets(t *testing.T, in Input) []string {
	t.Helper()
	token, err := BootstrapToken(in.PKI.CA, in.OperationUID)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{token, token[7:]}
	for file, data := range in.PKI.Data() {
		if !strings.HasSuffix(file, ".key") {
			continue
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
				out = append(out, line, base64.StdEncoding.EncodeToString([]byte(line)))
			}
		}
	}
	return out
}

func TestBuildRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Input)
		want   string
	}{
		"no hosts":              {func(in *Input) { in.Hosts = nil }, "has no hosts"},
		"a host without a key":  {func(in *Input) { in.Hosts[0].Spec.HostKey = "" }, "machine r1-u03: no host key is pinned"},
		"a name without an IP":  {func(in *Input) { in.Hosts[0].Spec.Address = "host.example" }, `"host.example" is a name that was not resolved`},
		"a member without PKI":  {func(in *Input) { in.PKI.EtcdMembers = nil }, "no certificates for it as an etcd member"},
		"no authority":          {func(in *Input) { in.PKI.CA = certs.Pair{} }, "reading certificate"},
		"no operation":          {func(in *Input) { in.OperationUID = "" }, "the operation has no uid"},
		"no members":            {func(in *Input) { in.Etcd = nil }, "no etcd members"},
		"a part that is a list": {func(in *Input) { in.Spec.Kubernetes.ComponentConfigs = &v1alpha1.ComponentConfigs{Kubelet: raw("[]")} }, "not a JSON object"},
		"a tiny service range":  {func(in *Input) { in.Spec.Network.ServiceCIDRs = []string{"10.96.0.0/30"} }, "no tenth address"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in := external(t)
			tc.change(&in)
			if _, err := Build(in); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBootstrapToken(t *testing.T) {
	in := external(t)
	token, err := BootstrapToken(in.PKI.CA, "a")
	if err != nil || !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(token) {
		t.Errorf("token %q, error %v", token, err)
	}
	if again, _ := BootstrapToken(in.PKI.CA, "a"); again != token {
		t.Error("asked again it is another")
	}
	if other, _ := BootstrapToken(in.PKI.CA, "b"); other == token {
		t.Error("another operation has the same")
	}
}

func TestComplete(t *testing.T) {
	in := external(t)
	cases()["create-with-user-settings"](&in)
	got, err := Complete(in.ClusterName, in.Spec, in.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/complete.golden", string(text))
	in.Spec.Network.ServiceCIDRs = nil
	if _, err := Complete(in.ClusterName, in.Spec, in.Bundle); err == nil {
		t.Error("a spec without services is accepted")
	}
}
