package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/test/golden"
)

// built is a world whose cluster runs with two workers.
func built(t *testing.T) *world {
	t.Helper()
	w := newWorld(20, 2)
	if p, err := w.settle(succeeds); err != nil || p.State != StateAvailable {
		t.Fatalf("the cluster does not come up: %v\n%s", err, p)
	}
	return w
}

// step plans and acts once, and returns the text of the plan.
func step(t *testing.T, w *world) string {
	t.Helper()
	w.claim()
	p := w.plan()
	if err := w.apply(p); err != nil {
		t.Fatal(err)
	}
	return p.String()
}

// Each story is a sequence of plans as a person would see them.
func TestStories(t *testing.T) {
	type story func(t *testing.T, tell func(title string, w *world))
	stories := map[string]story{
		"create": func(t *testing.T, tell func(string, *world)) {
			w := newWorld(3, 1)
			tell("nothing is there yet", w)
			tell("the certificates are there", w)
			tell("the create operation runs", w)
			w.endAll(succeeds)
			tell("the create operation succeeded", w)
			w.endAll(succeeds)
			tell("verify succeeded", w)
		},
		"create-short": func(t *testing.T, tell func(string, *world)) {
			w := newWorld(1, 1)
			tell("the pool has one machine for three", w)
			w.free = 1
			tell("one more came", w)
			tell("the certificates are there", w)
		},
		"create-control-plane-fails": func(t *testing.T, tell func(string, *world)) {
			w := newWorld(10, 1)
			tell("nothing is there yet", w)
			tell("the certificates are there", w)
			w.endAll(fails("m01", "m02"))
			tell("the control plane failed, and the worker with it", w)
			w.endAll(fails("m01", "m02"))
			tell("the control plane failed again", w)
			tell("it leaves", w)
			w.endAll(succeeds)
			tell("it is clean", w)
			tell("another takes its place", w)
		},
		"scale-out-two-fail": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 7
			tell("five more are wanted", w)
			w.endAll(fails("m05", "m07"))
			tell("two of five failed", w)
			w.endAll(fails("m05", "m07"))
			tell("they failed again", w)
			tell("they leave, two others are claimed", w)
			w.endAll(fails("m05"))
			tell("one is clean and one is not; the others joined", w)
		},
		"scale-in": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 1
			w.pods["m03"] = 1
			tell("one less is wanted, a pod is still there", w)
			tell("the pod has left", w)
			w.endAll(succeeds)
			tell("the host is clean", w)
			tell("the claim is free", w)
		},
		"scale-in-unreachable": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 1
			w.Nodes, w.Reachable = nil, false
			tell("the API server does not answer", w)
			w.Overrides = []string{RuleDrainFirst}
			tell("a person switches the rule off", w)
			w.endAll(succeeds)
			tell("the host is clean, the Node cannot be deleted", w)
		},
		"scale-in-dead-host": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 1
			w.Nodes["m03"], w.pods["m03"] = Node{}, 3
			w.machine("m03").Unreachable = true
			tell("the host is dead, its pods do not leave", w)
			w.endAll(func(string) Result { return Result{Result: v1alpha1.HostUnreachable} })
			tell("nothing could be removed", w)
		},
		"delete": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Deleting = true
			tell("the deployment is deleted", w)
			w.endAll(fails("m03"))
			tell("one host failed", w)
			w.endAll(fails("m03"))
			tell("it failed again", w)
			tell("no machine is left", w)
		},
		"delete-while-installing": func(t *testing.T, tell func(string, *world)) {
			w := newWorld(3, 1)
			step(t, w)
			tell("the cluster is being built", w)
			w.Deleting = true
			tell("the deployment is deleted", w)
			tell("the operation is not at its end", w)
			w.endAll(func(string) Result { return Result{} })
			tell("the operation is cancelled", w)
			w.endAll(succeeds)
			tell("the hosts are clean", w)
		},
		"frozen": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 3
			w.Frozen = "change night"
			tell("frozen while one more is wanted", w)
			w.Frozen, w.Paused = "", "spec.management is Paused"
			tell("paused", w)
			w.Paused, w.Invalid = "", `spec.kubernetes.version: "v1.36.33": there is no bundle of it`
			tell("invalid", w)
			w.Invalid, w.ContentCarried = "", false
			tell("the content is not there", w)
			w.ContentCarried, w.WantedContent = true, "2.0-def"
			tell("other content is wished for", w)
		},
		"everything-fails": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 10
			all := func(m string) Result { return fails(m)(m) }
			step(t, w)
			w.endAll(all)
			step(t, w)
			w.endAll(all)
			tell("eight machines failed twice and none succeeded", w)
			w.Overrides = []string{RuleReplaceHelps}
			tell("a person wants them replaced all the same", w)
		},
		"executor-broken": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 3
			for i := range 3 {
				step(t, w)
				w.endAll(func(string) Result { return Result{} })
				last := &w.Operations[len(w.Operations)-1]
				last.Message = "ansible-runner is not there"
				if last.SecondsSinceEnd = 1000; i == 2 {
					last.SecondsSinceEnd = 4
				}
			}
			tell("three runs did not reach the host", w)
		},
		"cancelled": func(t *testing.T, tell func(string, *world)) {
			w := built(t)
			w.Sets[2].Replicas = 3
			step(t, w)
			w.Operations[len(w.Operations)-1].Cancelling = true
			w.endAll(func(string) Result { return Result{} })
			tell("a person cancelled the join", w)
		},
		"etcd-replaced": func(t *testing.T, tell func(string, *world)) {
			w := newWorld(10, 0)
			w.Sets[0].Replicas = 3
			step(t, w)
			step(t, w)
			bad := func(m string) Result {
				if m == "m00" || m == "m03" {
					return fails(m)(m)
				}
				return succeeds(m)
			}
			w.endAll(bad)
			step(t, w)
			w.endAll(bad)
			tell("one of three etcd machines failed twice", w)
			tell("it is cleaned; the others know a member that is gone", w)
			w.endAll(succeeds)
			tell("all are clean", w)
			tell("they are set up together with the new one", w)
		},
	}
	for _, name := range slices.Sorted(maps.Keys(stories)) {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			stories[name](t, func(title string, w *world) {
				fmt.Fprintf(&b, "# %s\n%s\n", title, step(t, w))
			})
			golden.Check(t, filepath.Join("testdata", name+".golden"), b.String())
		})
	}
}

func TestPlanAsYAML(t *testing.T) {
	w := built(t)
	w.Sets[2].Replicas = 3
	w.claim()
	data, err := yaml.Marshal(w.plan())
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/scale-out.yaml", string(data))
}

// Whatever happens: no two operations on one machine, none on one in quarantine (apply fails on both), a plan that was
// carried out is not made again, and in the end the cluster is as wanted, or a person is asked for.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(4+random.IntN(12), random.IntN(5))
		w.Sets[0].Replicas = []int{0, 1, 3}[random.IntN(3)]
		for round := range 60 {
			if err := live(w, random); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		w.Paused, w.Frozen, w.Invalid, w.ContentCarried = "", "", "", true
		w.Overrides = []string{RuleCancelled, RuleReplaceHelps, RuleVerifyRepeated}
		if w.Nodes != nil {
			w.Reachable = true
		}
		p, err := w.settle(succeeds)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if p.State == StateAvailable || (w.Deleting && p.Finished) || p.Blocked || waitsForPool(w) {
			continue
		}
		t.Fatalf("seed %d: it rests in the wrong place:\n%s", seed, p)
	}
}

func waitsForPool(w *world) bool {
	return slices.ContainsFunc(w.Sets, func(s Set) bool { return s.Short })
}

// live lets one thing happen by chance, then plans and acts twice: the second time nothing may be started again.
func live(w *world, random *rand.Rand) error {
	happen(w, random)
	w.claim()
	p := w.plan()
	if len(w.Operations) > 0 && (w.Paused != "" || w.Frozen != "") && !onlyPhases(p) {
		return fmt.Errorf("something starts while it must not:\n%s", p)
	}
	if err := w.apply(p); err != nil {
		return fmt.Errorf("%w\n%s", err, p)
	}
	for range 4 { // leaving, freeing and claiming follow one another; then it must be calm
		p = w.plan()
		if err := w.apply(p); err != nil {
			return fmt.Errorf("%w\n%s", err, p)
		}
	}
	if p = w.plan(); !idlePlan(p) && !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == StepDrain }) && len(w.pods) == 0 {
		return fmt.Errorf("the plan is made again and again:\n%s", p)
	}
	return nil
}

func onlyPhases(p Plan) bool {
	return !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind != StepSetPhase && s.Kind != StepWait })
}

// happen changes the world by chance.
func happen(w *world, random *rand.Rand) {
	if random.IntN(3) == 0 {
		for i := range w.Operations {
			if op := &w.Operations[i]; op.active() && random.IntN(2) == 0 {
				w.end(op, outcomes(random))
			}
		}
		return
	}
	one := &Machine{}
	if len(w.Machines) > 0 {
		one = &w.Machines[random.IntN(len(w.Machines))]
	}
	why := []string{"", "", "why"}[random.IntN(3)]
	things := []func(){
		func() { w.Sets[2].Replicas = random.IntN(6) },
		func() { one.Quarantined = true },
		func() { one.Unreachable = random.IntN(2) == 0 },
		func() { w.Paused = why },
		func() { w.Frozen = why },
		func() { w.Invalid = why },
		func() { w.ContentCarried = random.IntN(4) != 0 },
		func() { one.Phase = "" }, // a status is lost
		func() { w.Deleting = w.Deleting || random.IntN(20) == 0 },
		func() { w.free += random.IntN(3) },
		func() {
			for i := range w.Operations {
				if op := &w.Operations[i]; op.active() && random.IntN(4) == 0 {
					op.Cancelling = true
				}
			}
		},
	}
	things[random.IntN(len(things))]()
}

func TestNumber(t *testing.T) {
	for name, want := range map[string]int{
		"shop-create-0a1b2c3d-12": 12, "shop-create-0a1b2c3d": 0, "": 0, "7": 0, "x--3": 3, "x-99999999999999999999": 0, "by-hand": 0,
	} {
		if got := Number(name); got != want {
			t.Errorf("%q: got %d, want %d", name, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.Name] || r.Says == "" {
			t.Errorf("rule %s is there twice or says nothing", r.Name)
		}
		seen[r.Name] = true
	}
	o := Observed{Cluster: "c", Frozen: "x", Overrides: []string{RuleFrozen}, ContentCarried: true}
	if p := Make(o); p.State != StatePaused || len(p.Overridden) != 0 {
		t.Errorf("a rule that cannot be overridden was:\n%s", p)
	}
}

func BenchmarkMake1000Machines(b *testing.B) {
	w := newWorld(2000, 1000)
	if _, err := w.settle(succeeds); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if p := Make(w.Observed); p.State != StateAvailable {
			b.Fatal(p)
		}
	}
}
