//go:build lab

package ansible

import (
	"slices"
	"strings"
	"testing"
)

// TestFailuresStayWhereTheyAre breaks one thing after the other: the host at fault says what is wrong, hosts that wait for it
// say that it is not their fault, all others go on.
func TestFailuresStayWhereTheyAre(t *testing.T) {
	s := newSite(t, 4)
	off := s.lab.Machines()[3].Name
	s.workers = append(slices.Clone(s.workers), off)
	all := slices.Concat(s.etcd, s.planes, s.workers)
	plane, worker := s.hostname(s.planes[0]), s.hostname(s.workers[0])

	s.take(all...)
	if err := s.lab.PowerOff(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	s.breakInit = strings.Replace(s.initConfiguration(), "skipPhases:", "timeouts: {kubeletHealthCheck: 15s, kubernetesAPICall: 15s}\nskipPhases:", 1) + "evictionHard: {memory.available: plenty}\n"
	results := s.playTaken(t.Context(), "create", all...)
	s.fails(results, map[string]string{
		plane:           "failed kubeadm init",
		worker:          "failed blocked: the control plane of this run failed, see " + plane,
		s.hostname(off): "unreachable ",
	})
	if !slices.ContainsFunc(results, func(r result) bool {
		return r.Host == plane && strings.Contains(r.Message, "the kubelet says: ") && strings.Contains(r.Message, "quantities must match")
	}) {
		t.Error("the message does not tell what the kubelet complained of")
	}
	s.breakInit = ""
	s.fails(s.playTaken(t.Context(), "create", all...), map[string]string{s.hostname(off): "unreachable "})

	s.workers = s.workers[:1]
	s.verifySeconds = 25
	s.fails(s.play("verify", s.planes...), map[string]string{plane: "failed " + plane + ": resolve verify."})
	s.succeed("addons", s.planes)
	s.succeed("verify", s.planes)

	s.on(s.workers[0], "systemctl", "stop", "kube-proxy")
	s.fails(s.play("check", s.planes[0], s.workers[0]), map[string]string{worker: "failed kube-proxy.service is inactive"})
}

// fails says that exactly these hosts failed, each with a text that begins like this.
func (s *site) fails(results []result, want map[string]string) {
	s.t.Helper()
	if len(results) == 0 {
		s.t.Error("no results")
	}
	got := map[string]string{}
	for _, r := range results {
		if r.Kind == "failed" || r.Kind == "unreachable" {
			got[r.Host] = r.Kind + " " + r.Message
			s.t.Logf("%s: %s", r.Host, got[r.Host])
		}
	}
	for host, text := range want {
		if !strings.HasPrefix(got[host], text) {
			s.t.Errorf("%s: %q, want %q", host, got[host], text)
		}
		delete(got, host)
	}
	for host, text := range got {
		s.t.Errorf("%s failed too: %s", host, text)
	}
}
