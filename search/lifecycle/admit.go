package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
)

// CreateIndexLimit is how long the oldest create-index task may wait while costly work begins. It is a start, to be measured.
const CreateIndexLimit = 5 * time.Second

// costly are actions that move bytes or change where shards lie. They wait for budgets; the others only look, or finish.
func costly(a Action) bool {
	switch a {
	case Gather, ShrinkIndex, Merge, TakeSnapshot, SetReplicas, MoveTier, MountSnapshot, FreezeIndex, CloseIndex, DeleteIndex, Swap:
		return true
	}
	return false
}

// admit lets steps begin, the oldest slots first, within the budgets. What was begun goes on.
func (w *world) admit(slots []Standing) []Step {
	working := w.working()
	busy := w.busyUntil()
	snapshots := map[string]string{}
	var steps []Step
	for i := range slots {
		s := &slots[i]
		if s.Step == nil {
			continue
		}
		held := w.holdsBack(s.Step, len(working), working[s.Index], busy)
		if held == nil && s.Step.Action == TakeSnapshot {
			held = w.oneSnapshot(s.Step, snapshots)
		}
		if held != nil {
			s.Hold, s.Step = held, nil
			for n := range s.Phases {
				if s.Phases[n].State == Now {
					s.Phases[n].State, s.Phases[n].Says = Held, held.Says
				}
			}
			continue
		}
		if costly(s.Step.Action) && !s.Step.begun {
			working[s.Index] = true
			if rate, _ := w.rate(w.c); rate > 0 && s.Step.Bytes > 0 {
				busy = later(busy, w.now).Add(time.Duration(float64(s.Step.Bytes) / rate * float64(time.Second)))
			}
		}
		steps = append(steps, *s.Step)
	}
	return steps
}

// oneSnapshot gives indices that are snapshotted at once one snapshot, where the server takes one at a time.
func (w *world) oneSnapshot(s *Step, first map[string]string) *Hold {
	if w.c.Can("concurrentSnapshots") {
		return nil
	}
	if before, there := first["name"]; there {
		_, held := hold(HoldSnapshotRuns, "snapshot %s goes first, and this server takes one at a time", before)
		return held
	}
	first["name"] = s.Snapshot
	return nil
}

func (w *world) holdsBack(s *Step, working int, its bool, busy time.Time) *Hold {
	if w.paused != "" && s.Action != CheckProof && s.Action != WatchForWriters {
		_, held := hold(HoldPaused, "%s", w.paused)
		return held
	}
	if !costly(s.Action) {
		return nil
	}
	if wait := time.Duration(w.c.Tasks.OldestCreateIndexMillis) * time.Millisecond; wait > CreateIndexLimit {
		_, held := hold(HoldCreateFirst, "oldest create-index task waits %s (limit %s)", wait.Round(time.Second), CreateIndexLimit)
		return held
	}
	if s.begun || its {
		return nil
	}
	if open, at := w.open(w.now); !open {
		_, held := holdUntil(at, HoldWindow, "the window opens %s", at.Format("2006-01-02 15:04 MST"))
		return held
	}
	if working >= w.concurrent {
		_, held := hold(HoldConcurrent, "%d indices are worked on (limit %d)", working, w.concurrent)
		return held
	}
	if s.Bytes > 0 && busy.After(w.now) {
		rate, who := w.rate(w.c)
		_, held := holdUntil(busy, HoldBytes, "what was begun fills %s/s (%s)", capacity.BytesText(rate), who)
		return held
	}
	return nil
}

// working are indices that are in the middle of something.
func (w *world) working() map[string]bool {
	of := map[string]bool{}
	for _, m := range w.members {
		switch e := m.entry; {
		case m.source != nil && (m.shrunk != nil || m.mounted != nil), m.source != nil && m.source.Filters["require._name"] != "":
			of[m.name] = true
		case e != nil && e.Try != nil && e.Try.Failures == 0 && costly(Action(e.Try.Action)):
			of[m.name] = true
		case m.live().Counts.Relocating > 0 && m.slot.End.Before(w.now) && writeBlocked(m.live()):
			of[m.name] = true
		}
	}
	return of
}

// busyUntil is when all bytes that were begun have gone through at the allowed rate, as the ledger says.
func (w *world) busyUntil() time.Time {
	type begun struct {
		at    time.Time
		bytes int64
	}
	var all []begun
	for _, m := range w.members {
		if m.entry == nil {
			continue
		}
		if t := m.entry.Try; t != nil && t.Bytes > 0 {
			all = append(all, begun{t.At, t.Bytes})
		}
		for _, d := range m.entry.Done {
			if d.Bytes > 0 && d.At.After(w.now.Add(-24*time.Hour)) {
				all = append(all, begun{d.At, d.Bytes})
			}
		}
	}
	slices.SortFunc(all, func(a, b begun) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.bytes, b.bytes)) })
	rate, _ := w.rate(w.c)
	var busy time.Time
	for _, one := range all {
		if rate > 0 {
			busy = later(busy, one.at).Add(time.Duration(float64(one.bytes) / rate * float64(time.Second)))
		}
	}
	return busy
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// backlog counts what is due and not done.
func (w *world) backlog(slots []Standing) Backlog {
	var b Backlog
	for i := range slots {
		if slots[i].overdue {
			b.Indices++
			b.Bytes += slots[i].needBytes
		}
	}
	if rate, _ := w.rate(w.c); rate > 0 {
		b.Hours = float64(b.Bytes) / rate / w.share(w.now) / 3600
	}
	return b
}

// peaks are the largest numbers of indices that come due within one hour of 30 days: by age in whole days since midnight, and ours.
func (w *world) peaks() (naive, ours int) {
	if len(w.phases) == 0 {
		return 0, 0
	}
	byDay, byHour := map[time.Time]int{}, map[time.Time]int{}
	of := &w.phases[0]
	s := w.slots.At(w.now.Add(-of.after - 24*time.Hour))
	for range 10_000 {
		at := w.due(of, w.slots.Name(s), s)
		if at.After(w.now.Add(30 * 24 * time.Hour)) {
			break
		}
		byHour[at.Truncate(time.Hour)]++
		byDay[s.Start.Add(of.after).Truncate(24*time.Hour)]++
		s = w.slots.At(s.End)
	}
	for _, n := range byDay {
		naive = max(naive, n)
	}
	for _, n := range byHour {
		ours = max(ours, n)
	}
	return naive, ours
}

func (p *policy) lets(rule Rule) bool {
	for _, name := range p.spec.Overrides {
		if name == string(rule) {
			return true
		}
	}
	return false
}

func (b Backlog) String() string {
	if b.Indices == 0 {
		return fmt.Sprintf("nothing is overdue; at most %d indices an hour come due (by age in whole days: %d)", b.PerHour, b.NaivePerHour)
	}
	return fmt.Sprintf("%s indices are overdue, %s, about %s h at the allowed rate; then at most %d an hour come due (by age in whole days: %d)", capacity.Grouped(float64(b.Indices)),
		capacity.BytesText(float64(b.Bytes)), capacity.Grouped(b.Hours), b.PerHour, b.NaivePerHour)
}
