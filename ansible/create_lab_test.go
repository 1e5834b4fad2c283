//go:build lab

package ansible

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDev(t *testing.T) {
	s := newSite(t, 4)
	before := map[string][]string{}
	for _, m := range s.lab.Machines() {
		before[m.Name] = s.snapshot(m.Name)
	}
	defer func() {
		for _, m := range s.lab.Machines() {
			t.Log(m.Name, cmp.Diff(before[m.Name], s.snapshot(m.Name)))
		}
	}()
	for _, entry := range strings.Fields(os.Getenv("ENTRY")) {
		names := append(append(append([]string{}, s.etcd...), s.planes...), s.workers...)
		if entry == "scale" {
			s.workers = []string{"m4"}
			names = s.workers
		}
		if entry == "verify" || entry == "addons" {
			names = s.planes
		}
		var first float64
		changed := map[string]int{}
		count := map[string]int{}
		for _, r := range s.play(entry, names...) {
			if first == 0 {
				first = r.Start
			}
			count[r.Host]++
			if r.Changed {
				changed[r.Host]++
			}
			t.Logf("%6.1f %5.2f %v %s %s", r.Start-first, r.End-r.Start, r.Changed, r, r.Outputs)
		}
		t.Log(entry, count, "changed", changed)
	}
}
