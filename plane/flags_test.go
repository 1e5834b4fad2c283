package plane

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestFlags(t *testing.T) {
	state := State{ListenHost: loopback, Ports: Ports{APIServer: 20001, EtcdClient: 20002, EtcdPeer: 20003, ControllerManager: 20004}}
	open := state
	open.ListenHost = "0.0.0.0"
	build := func(s State, volatile bool) flags {
		return flags{dir: "/data/plane", state: s, pki: newPKI("/data/plane", false), volatile: volatile}
	}
	tests := map[string][]string{
		"etcd waits for the disk":              build(state, false).etcd(),
		"etcd of a test does not":              build(state, true).etcd(),
		"kube-apiserver listens on loopback":   build(state, false).apiServer(),
		"kube-apiserver listens everywhere":    build(open, false).apiServer(),
		"kube-controller-manager runs the few": build(state, false).controllerManager(),
	}
	for name, got := range tests {
		t.Run(name, func(t *testing.T) {
			golden(t, strings.ReplaceAll(name, " ", "_")+".golden", strings.Join(got, "\n")+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}
