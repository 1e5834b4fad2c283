//go:build lab

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabCreationThatIsKilledLeavesNothingAfterDelete(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	// Each step is a file or directory that appears at some point of the creation.
	for _, step := range []string{"labs/torn/lock", "labs/torn/lab.json", "labs/torn/id_ed25519.pub", "labs/torn/machines/m1/disk.img",
		"labs/torn/machines/m1/boot.sh", "labs/torn/machines/m2/console.log", "labs/torn/machines/m3/console.log"} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprintf("killed at %s, stale %t", filepath.Base(filepath.Dir(step))+"/"+filepath.Base(step), stale), func(t *testing.T) {
				killedCreation(t, self, step, stale)
			})
		}
	}
}

func killedCreation(t *testing.T, self, step string, stale bool) {
	home := newHome(t)
	process, err := os.StartProcess(self, []string{self, "create", home, "torn"}, &os.ProcAttr{Files: []*os.File{nil, os.Stderr, os.Stderr}})
	must(t, err)
	eventually(t, step, func() bool { return exists(filepath.Join(home, step)) })
	must(t, process.Kill())
	_, err = process.Wait()
	must(t, err)
	index := 0
	host, err := DetectHost()
	must(t, err)
	claims, err := newRegistry(host).claims()
	must(t, err)
	for _, c := range claims {
		if strings.HasPrefix(c.Dir, home) {
			index = c.Index
		}
	}
	if stale {
		if index == 0 {
			return // killed before it had claimed anything
		}
		_, err := DeleteStale(t.Context())
		must(t, err)
	} else {
		l, err := New(Options{Name: "torn", Home: home})
		must(t, err)
		must(t, l.Delete(t.Context()))
	}
	expectNothingLeft(t, home, index) // no lab has index 0: killed before it had claimed anything
}

func TestLabWhoseDirectoryIsGoneIsStale(t *testing.T) {
	home := newHome(t)
	l := newLab(t, home, "lost", Spec{Machines: 1})
	index := l.state.Index
	must(t, os.RemoveAll(l.Dir()))
	removed, err := DeleteStale(t.Context())
	must(t, err)
	if len(removed) == 0 || !strings.Contains(strings.Join(removed, "\n"), l.CIDR()) {
		t.Errorf("removed: %v", removed)
	}
	expectNothingLeft(t, home, index)
}

func TestLabThatWasKilledIsMadeAnewByCreate(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	home := newHome(t)
	process, err := os.StartProcess(self, []string{self, "create", home, "torn"}, &os.ProcAttr{Files: []*os.File{nil, os.Stderr, os.Stderr}})
	must(t, err)
	eventually(t, "first machine", func() bool { return exists(filepath.Join(home, "labs/torn/machines/m1/console.log")) })
	must(t, process.Kill())
	_, err = process.Wait()
	must(t, err)
	l := newLab(t, home, "torn", Spec{Machines: 1})
	mustExec(t, l, "m1", "true")
	if err := l.Create(t.Context(), Spec{Machines: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating a lab that lives: %v", err)
	}
	must(t, l.PowerOff(t.Context(), "m1"))
	must(t, l.Ensure(t.Context(), Spec{Machines: 1}))
	mustExec(t, l, "m1", "true")
	if err := l.Ensure(t.Context(), Spec{Machines: 2}); err == nil {
		t.Error("ensured a lab of another size")
	}
	index := l.state.Index
	must(t, l.Delete(t.Context()))
	expectNothingLeft(t, home, index)
}
