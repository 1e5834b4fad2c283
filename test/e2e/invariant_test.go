//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/ansible"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/lab"
)

// lookForRemains fails the test for everything of Kubernetes that is left on a host: processes, mounts, files, devices, rules, cgroups.
const lookForRemains = `
pgrep -a 'kubelet|containerd|etcd|kube-|flanneld|coredns' | sed 's/^/process /'
grep -E '/var/lib/kubelet|/run/containerd|/run/netns/cni' /proc/mounts | sed 's/^/mount /'
for f in /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/containerd /run/containerd /etc/containerd /etc/cni /opt/cni /run/flannel /var/lib/cni \
  /usr/local/bin/kubelet /usr/local/bin/kubeadm /usr/local/bin/containerd /usr/local/bin/etcd /usr/local/bin/flanneld; do
  [ -e "$f" ] && echo "file $f"
done
ip -o link | grep -E ': (cni0|flannel|veth)' | sed 's/^/device /'
ip route | grep -E '^10\.' | sed 's/^/route /'
command -v nft >/dev/null && nft list tables 2>/dev/null | grep -E 'kube-proxy|flannel|cni' | sed 's/^/rules /'
ls /etc/systemd/system | grep -E 'kubelet|containerd|etcd|kube-proxy|flanneld' | sed 's/^/unit /'
true`

// clean checks that nothing of Kubernetes is left on a host.
func clean(t *testing.T, l *lab.Lab, machine string) {
	t.Helper()
	out, err := l.Exec(t.Context(), machine, "sudo", "sh", "-c", lookForRemains)
	if err != nil {
		t.Errorf("looking for remains on %s: %v", machine, err)
		return
	}
	if left := strings.TrimSpace(out.Stdout); left != "" {
		t.Errorf("%s is not clean:\n%s", machine, left)
	}
}

// changedTwice lists the tasks that reported a change on one host more than once over all attempts of one operation, but for those that
// the content lists as restartable.
func changedTwice(t *testing.T, home string, operations []v1alpha1.Operation) []string {
	t.Helper()
	restartable, err := ansible.Restartable()
	if err != nil {
		t.Fatal(err)
	}
	var twice []string
	for _, o := range operations {
		counts := map[string]int{}
		files, err := filepath.Glob(filepath.Join(home, "runs", string(o.UID)+"-*", "events.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			for _, e := range events(t, f) {
				if e.Kind == executor.KindChanged && !slices.Contains(restartable, e.Role+" : "+e.Task) {
					counts[fmt.Sprintf("%s: %s: %s : %s", o.Name, e.Host, e.Role, e.Task)]++
				}
			}
		}
		for task, n := range counts {
			if n > 1 {
				twice = append(twice, fmt.Sprintf("%s changed %d times", task, n))
			}
		}
	}
	sort.Strings(twice)
	return twice
}

// events reads what a run wrote; the last line of a killed one may be half.
func events(t *testing.T, file string) []executor.Event {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []executor.Event
	for _, line := range strings.Split(string(text), "\n") {
		var e executor.Event
		if json.Unmarshal([]byte(line), &e) == nil {
			list = append(list, e)
		}
	}
	return list
}

// watchClaims fails the test when a machine changes hands without going through the pool, or is seen in two clusters.
func watchClaims(e *env) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	var list v1alpha1.MachineList
	w, err := e.client.Watch(e.t.Context(), &list)
	if err != nil {
		e.t.Fatalf("watching the machines: %v", err)
	}
	go func() {
		defer close(done)
		last := map[string]string{}
		for {
			select {
			case <-stopped:
				return
			case ev, ok := <-w.ResultChan():
				if !ok {
					return
				}
				m, isMachine := ev.Object.(*v1alpha1.Machine)
				if !isMachine {
					continue
				}
				now := ""
				if m.Spec.ClaimRef != nil {
					now = m.Spec.ClaimRef.Name
				}
				if was := last[m.Name]; was != "" && now != "" && was != now {
					e.t.Errorf("machine %s went from cluster %s to %s without being free in between", m.Name, was, now)
				}
				last[m.Name] = now
			}
		}
	}()
	return func() { close(stopped); w.Stop(); <-done }
}
