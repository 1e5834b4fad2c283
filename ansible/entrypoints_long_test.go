//go:build lab && long

package ansible

import (
	"slices"
	"testing"
)

// TestEntryPointsOneByOne makes a cluster through the single entry points, each twice, as a user with sudo, on hosts that served
// another cluster before.
func TestEntryPointsOneByOne(t *testing.T) {
	s := newSite(t, 3)
	before := map[string][]string{}
	for _, m := range s.lab.Machines() {
		before[m.Name] = s.snapshot(m.Name)
	}
	cluster := slices.Concat(s.etcd, s.planes, s.workers)
	s.succeed("create", cluster)
	s.removeAll(cluster, before)

	s.user, s.cluster = "ops", s.cluster+"-second"
	for _, entryPoint := range []string{"os", "container-runtime", "etcd", "kubernetes", "network"} {
		s.succeed(entryPoint, s.of(entryPoint, cluster))
		s.unchanged(entryPoint, s.of(entryPoint, cluster))
	}
	s.counted("create", s.unchanged("create", cluster))
	s.succeed("addons", s.planes)
	s.succeed("verify", s.planes)
	s.removeAll(cluster, before)
}

// of are the machines that an entry point works on.
func (s *site) of(entryPoint string, all []string) []string {
	switch entryPoint {
	case "etcd":
		return s.etcd
	case "os":
		return all
	default:
		return slices.Concat(s.planes, s.workers)
	}
}
