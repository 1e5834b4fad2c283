package state

import "testing"

func TestRolesOfNodes(t *testing.T) {
	for name, c := range map[string]struct {
		roles        []string
		master, data bool
	}{
		"an old node does everything":          {[]string{"master", "data", "ingest"}, true, true},
		"a cluster manager is a master":        {[]string{"cluster_manager"}, true, false},
		"who only votes cannot be elected":     {[]string{"master", "voting_only"}, false, false},
		"a hot node holds data":                {[]string{"data_hot"}, false, true},
		"a frozen node holds caches alone":     {[]string{"data_frozen"}, false, false},
		"a search node holds no shards of its": {[]string{"search"}, false, false},
		"a coordinating node has no role":      {nil, false, false},
	} {
		n := &Node{Roles: c.roles}
		if n.MasterEligible() != c.master || n.HoldsData() != c.data {
			t.Errorf("%s: master %t, data %t", name, n.MasterEligible(), n.HoldsData())
		}
	}
}
