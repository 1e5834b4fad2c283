package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// idle makes a machine that fits everything.
func idle(name string, change ...func(*v1alpha1.Machine)) *v1alpha1.Machine {
	m := &v1alpha1.Machine{}
	m.Name = name
	m.Labels = map[string]string{"pool": "general"}
	m.Status.Phase = v1alpha1.MachineIdle
	free := int64(20 << 30)
	m.Status.Facts = &v1alpha1.MachineFacts{CPUs: 4, MemoryBytes: 8 << 30, DiskFreeBytes: &free, FsyncMicroseconds: 2000}
	for _, c := range change {
		c(m)
	}
	return m
}

func in(domain string) func(*v1alpha1.Machine) {
	return func(m *v1alpha1.Machine) { m.Spec.FailureDomain = domain }
}

func names(machines []*v1alpha1.Machine) []string {
	out := make([]string, 0, len(machines))
	for _, m := range machines {
		out = append(out, m.Name)
	}
	return out
}

func TestPick(t *testing.T) {
	nvme := &metav1.LabelSelector{MatchLabels: map[string]string{"disk": "nvme"}}
	fast := func(m *v1alpha1.Machine) { m.Labels["disk"] = "nvme" }
	quarantined := func(m *v1alpha1.Machine) { m.Spec.Quarantine = &v1alpha1.Quarantine{Reason: "ByHand"} }
	claimed := func(m *v1alpha1.Machine) { m.Spec.ClaimRef = &v1alpha1.ClaimRef{Name: "other"} }
	tests := map[string]struct {
		in      PickInput
		want    []string
		message string
	}{
		"takes the first by name": {
			in:      PickInput{Want: 2, Pool: []*v1alpha1.Machine{idle("c"), idle("a"), idle("b")}},
			want:    []string{"a", "b"},
			message: "2 of 2 claimed",
		},
		"spreads over failure domains, those of held machines last": {
			in: PickInput{
				Want: 3, Held: []*v1alpha1.Machine{idle("z", in("r1"))},
				Pool: []*v1alpha1.Machine{idle("a", in("r1")), idle("b", in("r1")), idle("c", in("r2")), idle("d", in("r3")), idle("e", in("r3"))},
			},
			want:    []string{"c", "d", "a"},
			message: "4 of 4 claimed",
		},
		"groups the reasons of those that do not fit": {
			in: PickInput{
				Want: 3, Selector: nvme,
				Pool: []*v1alpha1.Machine{
					idle("a", fast), idle("b", fast), idle("c"), idle("d"), idle("e"), idle("f", fast, quarantined), idle("g", quarantined),
				},
			},
			want:    []string{"a", "b"},
			message: "2 of 3 claimed; 5 machines do not fit: 3 lack label disk=nvme, 2 quarantined",
		},
		"passes over machines in use, reserved, uninspected, silent, weak": {
			in: PickInput{
				Want: 1, Role: v1alpha1.RoleControlPlane, Reserved: func(name string) bool { return name == "b" },
				Pool: []*v1alpha1.Machine{
					idle("a", claimed), idle("b"),
					idle("c", func(m *v1alpha1.Machine) { m.Status.Phase = v1alpha1.MachineInspecting }),
					idle("d", func(m *v1alpha1.Machine) {
						m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse}}
					}),
					idle("e", func(m *v1alpha1.Machine) { m.Status.Facts.CPUs = 1 }),
				},
			},
			want:    []string{},
			message: "0 of 1 claimed; 5 machines do not fit: 2 in use, 1 have less than 2 CPUs, 1 not inspected yet, 1 unreachable",
		},
		"refuses a slow or small disk for etcd": {
			in: PickInput{
				Want: 1, Role: v1alpha1.RoleEtcd,
				Pool: []*v1alpha1.Machine{
					idle("a", func(m *v1alpha1.Machine) { m.Status.Facts.FsyncMicroseconds = 600_000 }),
					idle("b", func(m *v1alpha1.Machine) { *m.Status.Facts.DiskFreeBytes = 5 }),
				},
			},
			want: []string{},
			message: "0 of 1 claimed; 2 machines do not fit: 1 have a disk that needs more than 500 ms for a write, " +
				"1 have less than 1024 MiB of free disk",
		},
		"says that the pool is empty": {
			in: PickInput{Want: 1}, want: []string{},
			message: "0 of 1 claimed; the pool has no other machines: add some with `slipway machine add`",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Pick(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(got.Picked)); diff != "" {
				t.Errorf("picked (-want +got):\n%s", diff)
			}
			if got.Message() != tc.message {
				t.Errorf("message\n got %s\nwant %s", got.Message(), tc.message)
			}
		})
	}
}

func TestPickRefusesABrokenSelector(t *testing.T) {
	_, err := Pick(PickInput{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}})
	if err == nil {
		t.Error("accepted")
	}
}

// Whatever the pool and its order: the same choice, no machine twice, none that does not fit, and domains as even as can be.
func TestPickProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var pool []*v1alpha1.Machine
		available := map[string]int{}
		for i := range random.IntN(40) {
			m := idle(fmt.Sprintf("m%02d", i), in(fmt.Sprintf("r%d", random.IntN(4))))
			if random.IntN(4) == 0 {
				m.Status.Phase = v1alpha1.MachineCleaning
			} else {
				available[m.Spec.FailureDomain]++
			}
			pool = append(pool, m)
		}
		want := random.IntN(12)
		first, _ := Pick(PickInput{Want: want, Pool: pool})
		random.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
		second, _ := Pick(PickInput{Want: want, Pool: pool})
		if diff := cmp.Diff(names(first.Picked), names(second.Picked)); diff != "" {
			t.Fatalf("round %d: another order of the pool, another choice:\n%s", round, diff)
		}
		checkSpread(t, round, first.Picked, available, want)
	}
}

func checkSpread(t *testing.T, round int, picked []*v1alpha1.Machine, available map[string]int, want int) {
	t.Helper()
	total, taken, seen := 0, map[string]int{}, map[string]bool{}
	for _, n := range available {
		total += n
	}
	if len(picked) != min(want, total) {
		t.Fatalf("round %d: picked %d of %d, %d wanted", round, len(picked), total, want)
	}
	for _, m := range picked {
		if seen[m.Name] || m.Status.Phase != v1alpha1.MachineIdle {
			t.Fatalf("round %d: %s is picked twice or does not fit", round, m.Name)
		}
		seen[m.Name] = true
		taken[m.Spec.FailureDomain]++
	}
	for a := range available {
		for b := range available {
			if taken[a] > taken[b]+1 && taken[b] < available[b] {
				t.Fatalf("round %d: %d from %s and %d from %s, where %d fit", round, taken[a], a, taken[b], b, available[b])
			}
		}
	}
}

func TestLeave(t *testing.T) {
	at := func(hour int) func(*v1alpha1.Machine) {
		return func(m *v1alpha1.Machine) {
			m.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC))
		}
	}
	marked := func(m *v1alpha1.Machine) {
		m.Annotations = map[string]string{v1alpha1.DeleteFirstAnnotation: ""}
	}
	held := []*v1alpha1.Machine{
		idle("old", at(1)), idle("new", at(5)), idle("marked", at(2), marked), idle("sick", at(3)), idle("newer", at(6)),
	}
	healthy := func(m *v1alpha1.Machine) bool { return !strings.HasPrefix(m.Name, "sick") }
	got := names(Leave(held, 4, healthy))
	if diff := cmp.Diff([]string{"marked", "sick", "newer", "new"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if held[0].Name != "old" || len(Leave(held, 9, healthy)) != 5 || len(Leave(held, -1, healthy)) != 0 {
		t.Error("the argument was changed, or the limits do not hold")
	}
}

func BenchmarkPick20000(b *testing.B) {
	var pool []*v1alpha1.Machine
	for i := range 20000 {
		pool = append(pool, idle(fmt.Sprintf("m%05d", i), in(fmt.Sprintf("r%d", i%50))))
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"pool": "general"}}
	for b.Loop() {
		got, err := Pick(PickInput{Want: 100, Pool: pool, Selector: selector})
		if err != nil || len(got.Picked) != 100 || !slices.IsSortedFunc(got.Unfit, func(a, b Unfit) int { return b.Count - a.Count }) {
			b.Fatal(err)
		}
	}
}
