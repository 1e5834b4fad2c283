package lifecycle

import (
	"strings"
	"testing"
	"time"
)

// round takes one look, plans, checks every step against the truth, and does it.
func (m *model) round(t testing.TB, faults bool) int {
	t.Helper()
	m.in.Ledger = m.entries()
	plan, err := Make(m.in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plan.Steps {
		s := &plan.Steps[i]
		effect, note := true, true
		if faults {
			effect, note = m.rng.IntN(4) > 0, m.rng.IntN(5) > 0
		}
		m.check(t, s)
		if m.tried != nil {
			m.tried[s.Action]++
		}
		before := m.copies(s.Index)
		if err := m.do(s, effect, note); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		m.checkAfter(t, s, before)
	}
	for _, s := range plan.Slots {
		if s.Hold != nil && (s.Hold.Rule == "" || s.Hold.Says == "") {
			t.Fatalf("%s is held by nothing: %+v", s.Index, s.Hold)
		}
		if s.overdue && s.Hold == nil && s.Step == nil && !plan.Refused() {
			t.Fatalf("%s is overdue, and neither a step nor a rule says why", s.Index)
		}
	}
	return len(plan.Steps)
}

func (m *model) check(t testing.TB, s *Step) {
	t.Helper()
	if s.Says == "" {
		t.Fatalf("a step that says nothing: %+v", s)
	}
	x := m.index(s.On)
	takes := s.Action == DeleteIndex || s.Action == Swap || s.Action == DiscardCopy || s.Action == SetReplicas && x != nil && s.Number < x.Replicas
	if takes != s.Reduces() {
		t.Fatalf("%s takes data away: %t, because %q", s.Action, takes, s.Because)
	}
	if s.Action == BlockWrites {
		if q := m.ledger[s.Index].Quiet; q == nil || q.Docs != x.Docs || m.in.Now.Sub(q.Since) < 2*time.Hour {
			t.Fatalf("writes of %s are blocked under a writer: %+v", s.Index, q)
		}
	}
}

// checkAfter holds what must never happen: too few copies of the truth after a step that took some away.
func (m *model) checkAfter(t testing.TB, s *Step, before int) {
	t.Helper()
	if !s.Reduces() || m.deleted[s.Index] {
		return
	}
	after, least := m.copies(s.Index), 2
	if s.Action == DeleteIndex {
		least = 1
	}
	if after < least && after < before {
		t.Fatalf("%s of %s left %d copies of %d documents, there were %d (because %s)", s.Action, s.On, after, m.truth[s.Index], before, s.Because)
	}
}

func TestNothingIsLostInRandomWorlds(t *testing.T) {
	refused, tried := 0, map[Action]int{}
	for seed := range uint64(60) {
		m := newModel(seed, 5)
		m.tried = tried
		steps := 0
		for range 80 {
			m.in.Now = m.in.Now.Add(time.Duration(10+m.rng.IntN(60)) * time.Minute)
			if m.rng.IntN(3) == 0 {
				m.chaos()
			}
			steps += m.round(t, true)
		}
		if plan, err := Make(m.in); err == nil && plan.Refused() {
			refused++
		} else if steps < 30 {
			t.Errorf("seed %d: %d steps in all", seed, steps)
		}
	}
	for _, a := range []Action{CreateIndex, FlipAlias, BlockWrites, Gather, ShrinkIndex, DiscardCopy, Swap, Merge, TakeSnapshot, ProveSnapshot, CheckProof, SetReplicas, MoveTier, DeleteIndex} {
		if tried[a] < 3 {
			t.Errorf("%s was tried %d times", a, tried[a])
		}
	}
	if refused > 40 {
		t.Errorf("%d of 60 random policies were refused: little was tried", refused)
	}
}

func TestEverySlotComesToItsEnd(t *testing.T) {
	ended := 0
	for seed := range uint64(14) {
		m := newModel(1000+seed, 6)
		l := m.in.Lifecycle
		if len(l.Spec.Phases) == 0 {
			continue
		}
		if plan, err := Make(m.in); err != nil || plan.Refused() {
			continue
		}
		first := make([]string, 0, 6)
		for _, x := range m.in.State.Indices {
			first = append(first, x.Name)
		}
		for range 330 {
			m.in.Now = m.in.Now.Add(25 * time.Minute)
			m.round(t, false)
		}
		plan, err := Make(m.in)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range first {
			s, there := plan.Of(name)
			if !there {
				ended++
				continue
			}
			for _, p := range s.Phases {
				if p.State != Done && p.State != Skipped {
					t.Fatalf("seed %d: %s: phase %s is %s after six days: %s", seed, name, p.Phase, p.State, p.Says)
				}
			}
			ended++
		}
	}
	if ended < 12 {
		t.Errorf("%d slots came to their end: little was tried", ended)
	}
}

func FuzzInvariants(f *testing.F) {
	f.Add(uint64(1), uint8(20))
	f.Add(uint64(99), uint8(60))
	f.Fuzz(func(t *testing.T, seed uint64, rounds uint8) {
		m := newModel(seed, 3)
		for range rounds {
			m.in.Now = m.in.Now.Add(time.Duration(5+m.rng.IntN(240)) * time.Minute)
			m.chaos()
			m.round(t, true)
		}
	})
}

func TestAPlanIsTheSameTwice(t *testing.T) {
	m := newModel(3, 6)
	a, err := Make(m.in)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Make(m.in)
	if printed(t, a) != printed(t, b) {
		t.Error("two plans of one world differ")
	}
}

func printed(t testing.TB, p *Plan) string {
	t.Helper()
	var b strings.Builder
	if err := Print(&b, p, true); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
