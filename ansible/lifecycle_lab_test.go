//go:build lab

package ansible

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLifecycle goes through the life of hosts: a cluster whose making is killed twice, once with the power of a host, a
// worker more, all removed.
func TestLifecycle(t *testing.T) {
	s := newSite(t, 4)
	before := map[string][]string{}
	for _, m := range s.lab.Machines() {
		before[m.Name] = s.snapshot(m.Name)
	}
	cluster := slices.Concat(s.etcd, s.planes, s.workers)
	var attempts []result
	attempts = append(attempts, s.kill("create", cluster, func(seen []result) bool {
		return slices.ContainsFunc(seen, func(r result) bool {
			return r.Host == s.hostname(s.planes[0]) && strings.HasPrefix(r.Task, "Know the kubelet") && r.Kind == "ok"
		})
	})...)
	// The host forgets what was not on its disk; what its records say that it has must be there.
	if err := errors.Join(s.lab.PowerOff(t.Context(), s.planes[0]), s.lab.PowerOn(t.Context(), s.planes[0])); err != nil {
		t.Fatal(err)
	}
	attempts = append(attempts, s.kill("create", cluster, func([]result) bool {
		return s.exists(s.planes[0], "/etc/kubernetes/manifests/kube-apiserver.yaml")
	})...)
	attempts = append(attempts, s.succeed("create", cluster)...)
	s.changedOnce(attempts)
	s.unchanged("create", cluster)
	s.succeed("addons", s.planes)
	s.unchanged("addons", s.planes)
	s.succeed("verify", s.planes)

	s.workers = []string{s.lab.Machines()[3].Name}
	s.counted("scale", s.succeed("scale", s.workers))
	s.unchanged("scale", s.workers)
	s.succeed("verify", s.planes)
	all := append(slices.Clone(cluster), s.workers...)
	s.workers = all[2:]
	s.unchanged("check", all)
	s.removeAll(all, before)
	s.noSecrets()
}

// succeed runs an entry point, which must not fail on any host.
func (s *site) succeed(entryPoint string, names []string) []result {
	s.t.Helper()
	results := s.play(entryPoint, names...)
	touched := map[string]bool{}
	for _, r := range results {
		touched[r.Host] = true
		if r.Kind == "failed" || r.Kind == "unreachable" {
			log := strings.Split(string(must(os.ReadFile(filepath.Join(s.dir, s.operation(), "log")))(s.t)), "\n")
			s.t.Fatalf("%s: %s\n%s", entryPoint, r, strings.Join(log[max(0, len(log)-40):], "\n"))
		}
	}
	if len(touched) != len(names) {
		s.t.Fatalf("%s touched %v, want %v", entryPoint, touched, names)
	}
	return results
}

// unchanged runs an entry point that has nothing left to do.
func (s *site) unchanged(entryPoint string, names []string) []result {
	s.t.Helper()
	results := s.succeed(entryPoint, names)
	for _, r := range results {
		if r.Changed {
			s.t.Errorf("%s again: %s changed something", entryPoint, r)
		}
	}
	return results
}

// kill runs an entry point and kills it once the condition holds; what runs on the hosts goes on until the next take.
func (s *site) kill(entryPoint string, names []string, condition func([]result) bool) []result {
	s.t.Helper()
	s.take(names...)
	ctx, cancel := context.WithCancel(s.t.Context())
	events := filepath.Join(s.dir, s.operation(), "events")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for !condition(s.results(events)) {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	results := s.playTaken(ctx, entryPoint, names...)
	if ctx.Err() == nil {
		s.t.Fatalf("%s ended before it could be killed", entryPoint)
	}
	cancel()
	<-ended
	return results
}

// changedOnce says that no attempt did again what another one had done, but for tasks that say they may.
func (s *site) changedOnce(attempts []result) {
	s.t.Helper()
	count := map[string]int{}
	for _, r := range attempts {
		if r.Changed && !r.Restartable {
			count[r.Host+" "+r.Role+" "+r.Task]++
		}
	}
	for task, n := range count {
		if n > 1 {
			s.t.Errorf("%s reported a change %d times over all attempts", task, n)
		}
	}
}

// counted says that each host went through as many tasks as TaskCount foretells.
func (s *site) counted(entryPoint string, results []result) {
	s.t.Helper()
	count := map[string]int{}
	for _, r := range results {
		count[r.Host]++
	}
	for group, names := range map[string][]string{"etcd": s.etcd, "control_plane": s.planes, "compute": s.workers} {
		want := must(TaskCount(entryPoint, group))(s.t)
		for _, name := range names {
			if got, ran := count[s.hostname(name)]; ran && got != want {
				s.t.Errorf("%s: %s went through %d tasks, TaskCount says %d", entryPoint, name, got, want)
			}
		}
	}
}

// removeAll removes everything twice and holds the machines against what they were before.
func (s *site) removeAll(names []string, before map[string][]string) {
	s.t.Helper()
	s.succeed("remove", names)
	s.unchanged("remove", names)
	for _, name := range names {
		s.on(name, "/var/lib/slipway/fence", "release", s.generation(name))
		if diff := cmp.Diff(before[name], s.snapshot(name)); diff != "" {
			s.t.Errorf("%s is not as it was (-before +after):\n%s", name, diff)
		}
	}
}

// noSecrets looks through what all runs printed and reported for keys and tokens.
func (s *site) noSecrets() {
	s.t.Helper()
	secrets := []string{token, "PRIVATE KEY"}
	for _, pattern := range []string{"log", "events"} {
		files := must(filepath.Glob(filepath.Join(s.dir, "operation-*", pattern)))(s.t)
		if len(files) == 0 {
			s.t.Errorf("no %s files to look through", pattern)
		}
		for _, file := range files {
			text := string(must(os.ReadFile(file))(s.t))
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					s.t.Errorf("%s shows a secret: %s", file, secret)
				}
			}
		}
	}
}
