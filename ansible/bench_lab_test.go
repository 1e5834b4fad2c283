//go:build lab

package ansible

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
)

// slowCores is what each joining machine gets when one and three at once are compared: three of them must not share what one has alone.
const slowCores = 0.3

// BenchmarkCreate compares Slipway, from `slipway cluster create` on idle machines to a cluster that is Ready and verified,
// with a shell script that does all the same on the same machines in the same run: the same archives, packages, images,
// configuration files, kubeadm init and join, CoreDNS, nodes Ready. Then one worker more by both. Then one and three at once on machines
// that are limited to a part of a core each, as machines of their own would be. It prints times and ratios; what counts
// is the ratios. Where the time of the playbooks goes is in the log.
func BenchmarkCreate(b *testing.B) {
	s := newSite(b, 8)
	f := &floor{site: s, files: map[string][]byte{}}
	cluster := slices.Concat(s.etcd, s.planes, s.workers)
	var joining []string
	for _, m := range s.lab.Machines()[3:] {
		joining = append(joining, m.Name)
	}
	first, all := s.workers, append(slices.Clone(cluster), joining...)
	results := s.succeed("create", cluster)
	b.Logf("create: where the time of the playbook went\n%s", where(results))
	s.workers = joining
	b.Logf("scale by five: where the time of the playbook went\n%s", where(s.succeed("scale", joining)))
	f.harvest(all)
	s.workers = all[2:]
	s.clear(all)
	var ours, theirs times
	for b.Loop() {
		ours.add(newProduct(s).measure(joining))
		s.workers = first
		round := times{create: timed(func() { f.create() })}
		s.workers = joining
		round.one = timed(func() { f.join(joining[0]) })
		s.slow(joining, slowCores)
		round.slow = timed(func() { f.join(joining[1]) })
		round.three = timed(func() { each(joining[2:], f.join) })
		s.slow(joining, 0)
		theirs.add(round)
		s.workers = all[2:]
		s.clear(all)
	}
	n := float64(b.N)
	b.ReportMetric(ours.create.Seconds()/n, "create-s")
	b.ReportMetric(theirs.create.Seconds()/n, "shell-create-s")
	b.ReportMetric(ours.create.Seconds()/theirs.create.Seconds(), "create-ratio")
	b.ReportMetric(ours.one.Seconds()/n, "join-s")
	b.ReportMetric(theirs.one.Seconds()/n, "shell-join-s")
	b.ReportMetric(ours.one.Seconds()/theirs.one.Seconds(), "join-ratio")
	b.ReportMetric(ours.slow.Seconds()/n, "slow-join-s")
	b.ReportMetric(theirs.slow.Seconds()/n, "shell-slow-join-s")
	b.ReportMetric(ours.three.Seconds()/n, "slow-three-s")
	b.ReportMetric(theirs.three.Seconds()/n, "shell-slow-three-s")
	b.ReportMetric(ours.three.Seconds()/ours.slow.Seconds(), "three-ratio")
	b.ReportMetric(theirs.three.Seconds()/theirs.slow.Seconds(), "shell-three-ratio")
}

// times are what one side took for a cluster, for one worker more, and for one and three more at once on limited machines.
type times struct{ create, one, slow, three time.Duration }

func (t *times) add(round times) {
	t.create, t.one, t.slow, t.three = t.create+round.create, t.one+round.one, t.slow+round.slow, t.three+round.three
}

// slow limits the cores of machines; zero takes the limit away.
func (s *site) slow(names []string, cores float64) {
	s.t.Helper()
	for _, name := range names {
		if err := s.lab.LimitCores(s.t.Context(), name, cores); err != nil {
			s.t.Fatal(err)
		}
	}
}

// clear removes everything from machines and gives them back.
func (s *site) clear(names []string) {
	s.succeed("remove", names)
	for _, name := range names {
		s.on(name, "/var/lib/slipway/fence", "release", s.generation(name))
	}
}

// product is Slipway as its users run it, on the machines of the site.
type product struct {
	*site
	bin, home string
}

func newProduct(s *site) *product {
	s.t.Helper()
	return &product{site: s, bin: must(filepath.Abs("../bin/slipway"))(s.t), home: s.t.TempDir()}
}

// slipway runs a command of the product.
func (p *product) slipway(in string, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, args...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "SLIPWAY_HOME="+p.home), strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("slipway %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// measure makes a cluster, adds workers, and gives all machines back.
func (p *product) measure(joining []string) times {
	p.t.Helper()
	p.slipway("", "up", "--detach", "--mirror-listen", net.JoinHostPort(p.lab.Gateway(), "8443"))
	defer p.slipway("", "down")
	p.slipway(must(p.lab.Manifests(lab.ManifestOptions{Namespace: "default", SecretName: "lab-key"}))(p.t), "machine", "add", "-f", "-")
	for p.idle() < len(p.lab.Machines()) {
		select {
		case <-p.t.Context().Done():
			p.t.Fatal(p.t.Context().Err())
		case <-time.After(time.Second):
		}
	}
	var t times
	t.create = timed(func() {
		p.slipway("", "cluster", "create", "shop", "--etcd", "External", "--workers", "1", "--profile", "lab", "--wait")
	})
	if verified := p.plane("get", "clusters.fleet.slipway.dev", "shop", "-o", `jsonpath={.status.conditions[?(@.type=="Verified")].status}`); verified != "True" {
		p.t.Errorf("Verified is %q", verified)
	}
	t.one = timed(func() { p.slipway("", "cluster", "scale", "shop", "--replicas", "2", "--wait") })
	p.slow(joining, slowCores)
	t.slow = timed(func() { p.slipway("", "cluster", "scale", "shop", "--replicas", "3", "--wait") })
	t.three = timed(func() { p.slipway("", "cluster", "scale", "shop", "--replicas", "6", "--wait") })
	p.slow(joining, 0)
	p.slipway("", "cluster", "delete", "shop", "--yes", "--wait")
	return t
}

// plane asks the management plane.
func (p *product) plane(args ...string) string {
	p.t.Helper()
	return p.slipway("", append([]string{"kubectl", "--kubeconfig", filepath.Join(p.home, "plane", "kubeconfig")}, args...)...)
}

func (p *product) idle() int {
	p.t.Helper()
	return strings.Count(p.plane("get", "machines.fleet.slipway.dev", "-o", "jsonpath={.items[*].status.phase}"), "Idle")
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// floor is the shell script: what somebody without Slipway would write, with no step that could be left out.
type floor struct {
	*site
	// files are archives of configuration files by machine, taken from machines that Ansible had set up.
	files map[string][]byte
}

// configuration are the files that Ansible writes, and that the script gets ready-made.
const configuration = `cd / && tar c $(ls -d etc/hosts etc/sysctl.d/99-slipway.conf etc/containerd etc/etcd etc/slipway var/lib/kube-proxy \
  etc/systemd/system/containerd.service etc/systemd/system/etcd.service etc/systemd/system/kubelet.service \
  etc/systemd/system/kube-proxy.service etc/systemd/system/flanneld.service 2>/dev/null)`

func (f *floor) harvest(names []string) {
	for _, name := range names {
		f.files[name] = []byte(f.on(name, "sh", "-c", configuration))
	}
}

// pipe runs a script on a machine with standard input.
func (f *floor) pipe(name string, in io.Reader, script string) {
	var complaint bytes.Buffer
	err := f.lab.ExecAs(f.t.Context(), name, "root", lab.Streams{In: in, Out: io.Discard, Err: &complaint}, "sh", "-ec", script)
	if err != nil {
		f.t.Errorf("%s: %v: %s", name, err, complaint.String())
	}
}

func (f *floor) unpack(name string, contents ...string) {
	for _, c := range contents {
		content, _ := f.bundle.Manifest().Content(c)
		blob, _, err := f.bundle.Blob(content.Digest)
		if err != nil {
			f.t.Error(err)
			return
		}
		f.pipe(name, blob, "tar xzf - -C /")
		blob.Close()
	}
}

const (
	packages = `dpkg --force-unsafe-io -i /var/lib/slipway/packages/*.deb; rm -r /var/lib/slipway/packages; sysctl -q -p /etc/sysctl.d/99-slipway.conf || true`
	node     = `systemctl daemon-reload; systemctl enable --quiet --now containerd; systemctl enable --quiet kubelet kube-proxy flanneld
		for image in /var/lib/slipway/images/*.tar; do ctr -n k8s.io images import $image & done; wait; rm -r /var/lib/slipway/images
		systemctl start --no-block kube-proxy flanneld`
	ready   = `until kubectl --kubeconfig /etc/kubernetes/kubelet.conf get node $(hostname) -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -q True; do sleep 0.2; done`
	settled = `until systemctl -q is-active kube-proxy flanneld; do sleep 0.2; done; until [ -s /etc/cni/net.d/10-flannel.conflist ]; do sleep 0.2; done`
)

// each does something with several machines at once.
func each(names []string, do func(name string)) {
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() { do(name) })
	}
	group.Wait()
}

func (f *floor) prepare(name string, contents ...string) {
	f.pipe(name, bytes.NewReader(f.files[name]), "tar xf - -C /")
	f.unpack(name, "os-packages")
	f.pipe(name, nil, packages)
	f.unpack(name, contents...)
}

func (f *floor) create() {
	each(slices.Concat(f.etcd, f.planes, f.workers), func(name string) {
		switch {
		case slices.Contains(f.etcd, name):
			f.prepare(name, "etcd")
			f.pipe(name, nil, "mkdir -p -m 0700 /var/lib/etcd; systemctl daemon-reload; systemctl enable --quiet --now etcd")
		case slices.Contains(f.planes, name):
			f.prepare(name, "container-runtime", "kubernetes-node", "images-control-plane", "images-node", "network-flannel")
			f.pipe(name, nil, node)
			f.pipe(name, f.secrets(name, f.kubernetesPKI(), f.initConfiguration()), "tar xf - -C /; kubeadm init --config /run/kubeadm.yaml")
			f.pipe(name, bytes.NewReader(must(os.ReadFile("roles/kubernetes_control_plane/files/roles.yaml"))(f.t)),
				"kubectl --kubeconfig /etc/kubernetes/admin.conf apply -f -")
		default:
			f.prepareWorker(name)
		}
	})
	each(slices.Concat(f.planes, f.workers), func(name string) {
		if slices.Contains(f.workers, name) {
			f.joinPrepared(name)
		} else {
			f.pipe(name, nil, settled)
			f.pipe(name, strings.NewReader(f.coreDNS()), "export KUBECONFIG=/etc/kubernetes/admin.conf; kubectl apply -f - && kubectl -n kube-system rollout status deployment/coredns --timeout=180s")
		}
	})
}

func (f *floor) join(name string) {
	f.prepareWorker(name)
	f.joinPrepared(name)
}

func (f *floor) prepareWorker(name string) {
	f.prepare(name, "container-runtime", "kubernetes-node", "images-node", "network-flannel")
	f.pipe(name, nil, node)
}

func (f *floor) joinPrepared(name string) {
	f.pipe(name, f.secrets(name, nil, f.joinConfigurations()[f.hostname(name)]), "tar xf - -C /; kubeadm join --config /run/kubeadm.yaml; "+settled+"; "+ready)
}

// secrets packs what kubeadm finds on the machine.
func (f *floor) secrets(name string, pki map[string]string, kubeadm string) io.Reader {
	files := map[string]string{"run/kubeadm.yaml": kubeadm}
	for file, text := range pki {
		files[path.Join("etc/kubernetes/pki", file)] = text
	}
	pair := f.nodePKI()[f.hostname(name)].(map[string]string)
	files["var/lib/kubelet/pki/slipway-serving.crt"], files["var/lib/kubelet/pki/slipway-serving.key"] = pair["crt"], pair["key"]
	b, err := packed(files)
	if err != nil {
		f.t.Error(err)
	}
	return bytes.NewReader(b)
}

// packed is an uncompressed archive of files that only root may read.
func packed(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// where says where the time of a run went: the slowest tasks of each host.
func where(results []result) string {
	slices.SortFunc(results, func(a, b result) int { return int((b.End - b.Start - a.End + a.Start) * 1000) })
	var lines strings.Builder
	for _, r := range results[:min(12, len(results))] {
		fmt.Fprintf(&lines, "%6.1f s  %s  %s : %s\n", r.End-r.Start, r.Host, r.Role, r.Task)
	}
	return lines.String()
}
