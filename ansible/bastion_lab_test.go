//go:build lab

package ansible

import (
	"fmt"
	"os"
	"testing"

	"github.com/slipway-dev/slipway/lab"
)

// TestBastion reaches a machine that answers only to its bastion, on another port, as a user with sudo: looks at it while
// it is bare, prepares it, looks again, and leaves it as it was.
func TestBastion(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), user: "ops", generations: map[string]int{}, cluster: "bastion"}
	s.lab = must(lab.New(lab.Options{Name: fmt.Sprintf("bastion-%d", os.Getpid()%10000), Home: s.dir, Progress: os.Stderr}))(t)
	if err := s.lab.Create(t.Context(), lab.Spec{Machines: 1, Bastion: true, Port: 2222, WithCreator: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.lab.Delete(s.background()); err != nil {
			t.Error(err)
		}
	})
	s.etcd, s.planes = []string{"m1"}, []string{"m1"}
	s.bastion = "bastion"
	s.prepareContent(t.Context())
	s.makePKI()
	s.serveBundle(t.Context())
	s.installFence(t.Context())
	before := map[string][]string{"m1": s.snapshot("m1")}
	s.unchanged("check", s.planes)
	s.succeed("os", s.planes)
	s.succeed("etcd", s.etcd)
	s.unchanged("check", s.planes)
	s.removeAll(s.planes, before)
}
