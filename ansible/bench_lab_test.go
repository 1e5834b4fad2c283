//go:build lab

package ansible

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/lab"
)

// BenchmarkCreate compares the entry points create and scale with a shell script that does all the same on the same
// machines in the same run: the same archives, packages, images, configuration files, kubeadm init and join. It prints the
// time of both and their ratio; what counts is the ratio.
func BenchmarkCreate(b *testing.B) {
	s := newSite(b, 4)
	f := &floor{site: s, files: map[string][]byte{}}
	cluster := slices.Concat(s.etcd, s.planes, s.workers)
	joining := []string{s.lab.Machines()[3].Name}
	first := s.workers
	var ours, theirs, oursJoin, theirsJoin time.Duration
	round := func(measured bool) {
		s.workers = first
		var results []result
		create := timed(func() { results = s.succeed("create", cluster) })
		s.workers = joining
		scale := timed(func() { s.succeed("scale", joining) })
		if measured {
			ours, oursJoin = ours+create, oursJoin+scale
			b.Logf("create: where the time went\n%s", where(results))
		} else {
			f.harvest(append(cluster, joining...))
		}
		s.workers = append(slices.Clone(first), joining...)
		s.succeed("remove", append(cluster, joining...))
	}
	round(false) // fills the caches and gives the script its configuration files
	for b.Loop() {
		round(true)
		s.workers = first
		theirs += timed(func() { f.create() })
		s.workers = joining
		theirsJoin += timed(func() { f.join(joining[0]) })
		s.workers = append(slices.Clone(first), joining...)
		s.succeed("remove", append(cluster, joining...))
	}
	n := time.Duration(b.N)
	b.ReportMetric((ours / n).Seconds(), "create-s")
	b.ReportMetric((theirs / n).Seconds(), "shell-create-s")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "create-ratio")
	b.ReportMetric((oursJoin / n).Seconds(), "join-s")
	b.ReportMetric((theirsJoin / n).Seconds(), "shell-join-s")
	b.ReportMetric(oursJoin.Seconds()/theirsJoin.Seconds(), "join-ratio")
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// floor is the shell script: what somebody without Slipway would write, as fast as it gets.
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
	f.pipe(name, f.secrets(name, nil, f.joinConfigurations()[f.hostname(name)]), "tar xf - -C /; kubeadm join --config /run/kubeadm.yaml; "+settled)
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
