package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
)

// Change is what an edited policy does otherwise to the indices of today: so many go from one standing in a phase to another.
type Change struct {
	Phase string `json:"phase"`
	// From and To are states; empty where the phase is not in that policy.
	From    PhaseState `json:"from,omitempty"`
	To      PhaseState `json:"to,omitempty"`
	Indices int        `json:"indices"`
	// First is the oldest of them.
	First string `json:"first"`
}

// Diff compares two plans of one moment: that of the policy as it was and that of the edited one.
func Diff(before, after *Plan) []Change {
	was := map[string]map[string]PhaseState{}
	for i := range before.Slots {
		was[before.Slots[i].Index] = states(&before.Slots[i])
	}
	found := map[string]*Change{}
	var all []*Change
	note := func(phase string, from, to PhaseState, index string) {
		from, to = coarse(from), coarse(to)
		if from == to {
			return
		}
		key := phase + "/" + string(from) + "/" + string(to)
		if found[key] == nil {
			found[key] = &Change{Phase: phase, From: from, To: to, First: index}
			all = append(all, found[key])
		}
		found[key].Indices++
	}
	for i := range after.Slots {
		s := &after.Slots[i]
		old, now := was[s.Index], states(s)
		for _, p := range s.Phases {
			note(p.Phase, old[p.Phase], p.State, s.Index)
		}
		for name, state := range old {
			if _, there := now[name]; !there {
				note(name, state, "", s.Index)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Change) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	changes := make([]Change, 0, len(all))
	for _, c := range all {
		changes = append(changes, *c)
	}
	return changes
}

// coarse takes all states of what is due and not done for one.
func coarse(s PhaseState) PhaseState {
	if s == Now || s == Held {
		return Waiting
	}
	return s
}

func states(s *Standing) map[string]PhaseState {
	of := map[string]PhaseState{}
	for _, p := range s.Phases {
		of[p.Phase] = p.State
	}
	return of
}

// String is the change for people.
func (c Change) String() string {
	word := map[PhaseState]string{Done: "done", Skipped: "left out", Waiting: "due", Later: "not due yet", "": "not in the policy"}
	return fmt.Sprintf("%s: %s indices, from %s on, were %s and are %s", c.Phase, capacity.Grouped(float64(c.Indices)), oneLine(c.First), word[c.From], word[c.To])
}

// PrintDiff writes what an edit changes.
func PrintDiff(before, after *Plan, changes []Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "the edit changes, beside what it does from now on\n")
	for _, c := range changes {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	if len(changes) == 0 {
		fmt.Fprintln(&b, "  nothing for the indices of today")
	}
	fmt.Fprintf(&b, "  overdue: %s indices with %s before, %s with %s after\n", capacity.Grouped(float64(before.Backlog.Indices)), capacity.BytesText(float64(before.Backlog.Bytes)),
		capacity.Grouped(float64(after.Backlog.Indices)), capacity.BytesText(float64(after.Backlog.Bytes)))
	return b.String()
}
