package search

import (
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestSettings shows the configuration of every node of a cluster, for each server.
func TestSettings(t *testing.T) {
	for _, s := range Servers() {
		spec := Spec{Product: s.Product, Version: s.Version, Tiers: []Tier{{"hot", 1}, {"warm", 1}}, Masters: 1}
		if s.Product == OpenSearch && s.major() >= 2 {
			spec.Searchers = 1
		}
		server, err := spec.check()
		if err != nil {
			t.Fatal(err)
		}
		nodes := spec.layout()
		for i := range nodes {
			nodes[i].HTTPPort, nodes[i].TransportPort = 9200+i, 9300+i
		}
		var all strings.Builder
		for _, n := range nodes {
			all.WriteString("# " + n.Name + "\n" + settings(server, "logs", n, nodes, "/data/logs") + "\n")
		}
		golden.Check(t, "testdata/settings/"+string(s.Product)+"-"+s.Version+".golden", all.String())
	}
}

func TestJVMOptions(t *testing.T) {
	for in, want := range map[string]string{
		"-Xms1g\n-XX:+AlwaysPreTouch\n-XX:HeapDumpPath=data\n-XX:ErrorFile=logs/hs_err_pid%p.log\n9-:-Xlog:gc*:file=logs/gc.log:utctime\n": "-Xms1g\n-XX:HeapDumpPath=/n/data\n" +
			"-XX:ErrorFile=/n/logs/hs_err_pid%p.log\n9-:-Xlog:gc*:file=/n/logs/gc.log:utctime\n",
		"# has sufficient space\n# -XX:HeapDumpPath=/heap/dump/path\n": "# has sufficient space\n-XX:HeapDumpPath=/n/data\n",
	} {
		if got := jvmOptions(in, "/n"); got != want {
			t.Errorf("%s", got)
		}
	}
}
