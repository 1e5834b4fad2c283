//go:build lab

package ansible

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/lab"
)

const (
	endpointName = "api.shop.example"
	token        = "abcdef.0123456789abcdef"
	podCIDR      = "10.244.0.0/16"
	serviceCIDR  = "10.96.0.0/16"
)

// site is a lab with everything that a run of the content needs: PKI, mirror, inventory, vars. It is what the operator
// does, written by hand, so that the content is tested without it.
type site struct {
	t           testing.TB
	lab         *lab.Lab
	dir         string
	content     Tree
	root        string
	venv        string
	bundle      *bundle.Bundle
	pki         certs.Cluster
	mirror      string
	mirrorCA    string
	etcd        []string
	planes      []string
	workers     []string
	user        string
	generations map[string]int
	attempts    int
	cluster     string
	// bastion is the machine to go through; empty: none.
	bastion string
	// breakInit, when set, is what kubeadm init is given; verifySeconds, when set, is how long verify may take.
	breakInit     string
	verifySeconds int
}

// result is one line that the callback of the tests wrote.
type result struct {
	Host, Kind, Role, Task, Action, Message string
	Changed, Restartable                    bool
	Start, End                              float64
	Outputs                                 map[string]json.RawMessage
}

func (r result) String() string {
	return fmt.Sprintf("%s: %s : %s: %s %s", r.Host, r.Role, r.Task, r.Kind, r.Message)
}

// newSite makes a lab of its own, or uses the one that SLIPWAY_TEST_LAB names and leaves it running.
func newSite(t testing.TB, machines int) *site {
	t.Helper()
	ctx := t.Context()
	s := &site{t: t, dir: t.TempDir(), user: "root", generations: map[string]int{}, cluster: fmt.Sprintf("c%x", time.Now().UnixNano())}
	s.openLab(ctx, machines)
	names := make([]string, 0, machines)
	for _, m := range s.lab.Machines() {
		names = append(names, m.Name)
	}
	s.etcd, s.planes, s.workers = names[:1], names[1:2], names[2:3]
	s.prepareContent(ctx)
	s.makePKI()
	s.serveBundle(ctx)
	s.installFence(ctx)
	return s
}

func (s *site) openLab(ctx context.Context, machines int) {
	s.t.Helper()
	if name := os.Getenv("SLIPWAY_TEST_LAB"); name != "" {
		s.lab = must(lab.Open(lab.Options{Name: name}))(s.t)
		return
	}
	s.lab = must(lab.New(lab.Options{Name: fmt.Sprintf("ansible-%d", os.Getpid()%10000), Home: s.dir, Progress: os.Stderr}))(s.t)
	if err := s.lab.Create(ctx, lab.Spec{Machines: machines, WithCreator: true}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := s.lab.Delete(context.WithoutCancel(ctx)); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *site) prepareContent(ctx context.Context) {
	s.t.Helper()
	s.content = must(Content())(s.t)
	s.root = must(Extract(filepath.Join(s.dir, "content")))(s.t)
	cache := must(bundle.CacheDir(""))(s.t)
	s.venv = must(EnsureVenv(ctx, filepath.Join(cache, "venv"), func(line string) { s.t.Log(line) }))(s.t)
}

func (s *site) makePKI() {
	s.t.Helper()
	members := []certs.Member{}
	for _, name := range s.etcd {
		members = append(members, certs.Member{Name: s.hostname(name), Names: []string{s.address(name)}})
	}
	pki, _, err := certs.New(certs.Options{}).EnsureCluster(certs.Cluster{}, members)
	if err != nil {
		s.t.Fatal(err)
	}
	s.pki = pki
}

// serveBundle serves the bundle over TLS on the address of this host in the lab's network.
func (s *site) serveBundle(ctx context.Context) {
	s.t.Helper()
	built := must(bundle.Build(ctx, bundle.Options{}))(s.t)
	s.bundle = must(bundle.Open(built.Path))(s.t)
	issuer := certs.New(certs.Options{})
	ca := must(issuer.NewCA("mirror-ca"))(s.t)
	leaf := must(issuer.NewLeaf(ca, certs.Leaf{CommonName: "mirror", Names: []string{s.lab.Gateway()}, Usage: certs.Server}))(s.t)
	pair := must(tls.X509KeyPair(leaf.Certificate, leaf.Key))(s.t)
	listener := must(net.Listen("tcp", net.JoinHostPort(s.lab.Gateway(), "0")))(s.t)
	server := bundle.NewServer(bundle.ServerOptions{Bundles: []*bundle.Bundle{s.bundle}, TLS: &tls.Config{Certificates: []tls.Certificate{pair}}})
	ended := make(chan error, 1)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { ended <- server.Serve(serving, listener) }()
	s.t.Cleanup(func() {
		stop()
		<-ended
		s.bundle.Close()
	})
	s.mirror, s.mirrorCA = "https://"+listener.Addr().String(), string(ca.Certificate)
}

func (s *site) installFence(ctx context.Context) {
	s.t.Helper()
	fence := must(Fence())(s.t)
	for _, m := range s.lab.Machines() {
		script := "mkdir -p /var/lib/slipway && chmod 0700 /var/lib/slipway && cat >/var/lib/slipway/fence && chmod 0755 /var/lib/slipway/fence"
		if err := s.lab.ExecAs(ctx, m.Name, "root", lab.Streams{In: bytes.NewReader(fence)}, "sh", "-c", script); err != nil {
			s.t.Fatal(err)
		}
	}
}

// background is a context that outlives the test, for cleaning up.
func (s *site) background() context.Context { return context.WithoutCancel(s.t.Context()) }

func (s *site) machine(name string) lab.Machine {
	s.t.Helper()
	return must(s.lab.Machine(name))(s.t)
}

func (s *site) hostname(name string) string { return s.machine(name).Hostname }
func (s *site) address(name string) string  { return s.machine(name).Address }

// operation is the name of the present attempt.
func (s *site) operation() string { return fmt.Sprintf("operation-%d", s.attempts) }

// take moves the lease of machines to the next generation for a new attempt.
func (s *site) take(names ...string) {
	s.t.Helper()
	s.attempts++
	for _, name := range names {
		var lease struct{ Generation int }
		if err := json.Unmarshal([]byte(s.on(name, "/var/lib/slipway/fence", "show")), &lease); err != nil {
			s.t.Fatal(err)
		}
		s.on(name, "/var/lib/slipway/fence", "take", strconv.Itoa(lease.Generation), s.cluster, s.operation())
		s.generations[name] = lease.Generation + 1
	}
}

func (s *site) generation(name string) string { return strconv.Itoa(s.generations[name]) }

// exists tells whether a machine has a file.
func (s *site) exists(name, path string) bool {
	return s.lab.ExecAs(s.t.Context(), name, "root", lab.Streams{}, "test", "-e", path) == nil
}

// on runs a command on a machine as root and gives its output.
func (s *site) on(name string, command ...string) string {
	s.t.Helper()
	var out, complaint bytes.Buffer
	if err := s.lab.ExecAs(s.t.Context(), name, "root", lab.Streams{Out: &out, Err: &complaint}, command...); err != nil {
		s.t.Fatalf("%s: %v: %v: %s", name, command, err, complaint.String())
	}
	return out.String()
}

// play takes the machines and runs an entry point on them.
func (s *site) play(entryPoint string, names ...string) []result {
	s.t.Helper()
	s.take(names...)
	return s.playTaken(s.t.Context(), entryPoint, names...)
}

func (s *site) playTaken(ctx context.Context, entryPoint string, names ...string) []result {
	s.t.Helper()
	dir := filepath.Join(s.dir, s.operation())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	events := filepath.Join(dir, "events")
	if err := os.RemoveAll(events); err != nil {
		s.t.Fatal(err)
	}
	command := s.command(ctx, dir, entryPoint, names)
	command.Env = append(os.Environ(), "ANSIBLE_CONFIG="+filepath.Join(s.root, "ansible.cfg"), "SLIPWAY_TEST_EVENTS="+events,
		"ANSIBLE_CALLBACK_PLUGINS="+must(filepath.Abs("testdata/callback"))(s.t), "ANSIBLE_CALLBACKS_ENABLED=lines", "PYTHONDONTWRITEBYTECODE=1",
		"ANSIBLE_HOME="+filepath.Join(s.dir, "home"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	// Killed as a whole: its workers would go on otherwise, which a dead machine's do not.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	err = command.Run()
	results := s.results(events)
	used := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	s.t.Logf("%s on %v: %v in %s, %s of CPU here", entryPoint, names, err, time.Since(start).Round(100*time.Millisecond), used.Round(100*time.Millisecond))
	if err != nil && len(results) == 0 {
		s.t.Errorf("%s ran no task:\n%s", entryPoint, must(os.ReadFile(log.Name()))(s.t))
	}
	return results
}

func (s *site) command(ctx context.Context, dir, entryPoint string, names []string) *exec.Cmd {
	s.t.Helper()
	vars, secrets := s.vars()
	s.writeJSON(filepath.Join(dir, "inventory.json"), s.inventory(names), 0o644)
	s.writeJSON(filepath.Join(dir, "vars.json"), vars, 0o644)
	s.writeJSON(filepath.Join(dir, "secrets.json"), secrets, 0o600)
	return exec.CommandContext(ctx, filepath.Join(s.venv, "bin", "ansible-playbook"), "-vvv", "-i", filepath.Join(dir, "inventory.json"), "-f", "50",
		"-e", "@"+filepath.Join(dir, "vars.json"), "-e", "@"+filepath.Join(dir, "secrets.json"), filepath.Join(s.root, "playbooks", entryPoint+".yml"))
}

func (s *site) results(events string) []result {
	s.t.Helper()
	f, err := os.Open(events)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	var results []result
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var r result
		// The last line of a killed run may be half there.
		if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
			results = append(results, r)
		}
	}
	return results
}

func (s *site) writeJSON(path string, value any, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(path, must(json.Marshal(value))(s.t), mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) inventory(names []string) map[string]any {
	groups := map[string]any{}
	for group, members := range map[string][]string{"etcd": s.etcd, "control_plane": s.planes, "compute": s.workers} {
		hosts := map[string]any{}
		for _, name := range members {
			if !slices.Contains(names, name) {
				continue
			}
			m := s.machine(name)
			host := map[string]any{
				"ansible_host": m.Address, "ansible_port": m.Port, "ansible_user": s.user, "slipway_machine": m.Hostname,
				"ansible_ssh_private_key_file": "{{ slipway_key_dir }}/" + filepath.Base(m.KeyPath), "slipway_generation": s.generations[name],
			}
			if s.bastion != "" {
				b := s.machine(s.bastion)
				host["slipway_bastion"] = map[string]any{"address": b.Address, "port": b.Port, "user": s.user}
			}
			hosts[m.Hostname] = host
		}
		groups[group] = map[string]any{"hosts": hosts}
	}
	return map[string]any{"all": map[string]any{"vars": map[string]any{"ansible_connection": "slipway_ssh"}, "children": groups}}
}

func (s *site) vars() (vars, secrets map[string]any) {
	s.t.Helper()
	contents := map[string]any{}
	for _, c := range s.bundle.Manifest().Contents {
		contents[c.Name] = map[string]any{"digest": c.Digest, "size": c.Size}
	}
	var members []map[string]string
	etcdPKI := map[string]any{}
	for _, name := range s.etcd {
		host := s.hostname(name)
		members = append(members, map[string]string{"name": host, "address": s.address(name)})
		m := s.pki.EtcdMembers[host]
		etcdPKI[host] = map[string]string{
			"server_crt": string(m.Server.Certificate), "server_key": string(m.Server.Key),
			"peer_crt": string(m.Peer.Certificate), "peer_key": string(m.Peer.Key),
		}
	}
	key := s.machine(s.etcd[0]).KeyPath
	plane := s.address(s.planes[0])
	image, _ := s.bundle.Manifest().Image("verify")
	vars = map[string]any{
		"slipway_key_dir": filepath.Dir(key), "slipway_known_hosts": s.knownHosts(), "slipway_operation": s.operation(),
		"slipway_cluster_uid": s.cluster, "slipway_cluster_name": "shop", "slipway_content_version": s.content.Version,
		"slipway_mirrors": []string{s.mirror}, "slipway_mirror_ca": s.mirrorCA, "slipway_profile": "lab",
		"slipway_bundle": map[string]any{"digest": s.bundle.Digest(), "contents": contents}, "slipway_kubernetes_version": s.bundle.Manifest().Kubernetes,
		"os_base_hosts": []any{map[string]any{"address": plane, "names": []string{endpointName}}}, "os_base_sysctls": map[string]string{},
		"containerd_registries": []any{map[string]any{"host": "registry.example", "mirrors": []string{"https://mirror.example"}}},
		"etcd_members":          members, "etcd_cluster_token": s.cluster,
		"kubernetes_endpoint": map[string]any{"name": endpointName, "port": 6443}, "kubernetes_address": plane,
		"kubernetes_pod_cidr": podCIDR, "kubernetes_service_cidr": serviceCIDR,
		"kube_proxy_configuration": map[string]any{
			"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables", "clusterCIDR": podCIDR,
			"conntrack": map[string]any{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
		},
		"network_plugin": "flannel", "network_flannel_pod_cidr": podCIDR,
		"verify_image": image.Reference, "verify_nodes": s.nodes(),
		"addons_manifests": []any{map[string]any{"name": "coredns", "yaml": s.coreDNS()}},
	}
	secrets = map[string]any{
		"etcd_pki":       map[string]any{"ca_crt": string(s.pki.EtcdCA.Certificate), "members": etcdPKI},
		"kubernetes_pki": s.kubernetesPKI(), "kubernetes_init_configuration": map[string]string{s.hostname(s.planes[0]): s.initConfiguration()},
		"kubernetes_join_configuration": s.joinConfigurations(), "kubernetes_node_pki": s.nodePKI(),
	}
	if s.verifySeconds > 0 {
		vars["verify_timeout_seconds"] = s.verifySeconds
	}
	return vars, secrets
}

// nodes are the names of all nodes.
func (s *site) nodes() []string {
	var names []string
	for _, name := range slices.Concat(s.planes, s.workers) {
		names = append(names, s.hostname(name))
	}
	return names
}

func (s *site) kubernetesPKI() map[string]string {
	p := s.pki
	return map[string]string{
		"ca.crt": string(p.CA.Certificate), "ca.key": string(p.CA.Key), "front-proxy-ca.crt": string(p.FrontProxyCA.Certificate),
		"front-proxy-ca.key": string(p.FrontProxyCA.Key), "sa.pub": string(p.ServiceAccount.Certificate), "sa.key": string(p.ServiceAccount.Key),
		"etcd/ca.crt": string(p.EtcdCA.Certificate), "apiserver-etcd-client.crt": string(p.EtcdClient.Certificate),
		"apiserver-etcd-client.key": string(p.EtcdClient.Key),
	}
}

func (s *site) knownHosts() string {
	s.t.Helper()
	var lines strings.Builder
	for _, m := range s.lab.Machines() {
		host := m.Address
		if m.Port != 22 {
			host = fmt.Sprintf("[%s]:%d", m.Address, m.Port)
		}
		fmt.Fprintf(&lines, "%s %s\n", host, m.HostKey)
	}
	path := filepath.Join(s.dir, "known_hosts")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
