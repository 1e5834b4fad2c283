package plane

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

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
			golden.Check(t, filepath.Join("testdata", strings.ReplaceAll(name, " ", "_")+".golden"), strings.Join(got, "\n")+"\n")
		})
	}
}
