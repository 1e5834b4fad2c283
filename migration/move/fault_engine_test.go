//go:build engine

package move

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/proof"
)

// fault is something that goes wrong in the middle of a copy, and how the move ends.
type fault struct {
	how faultOptions
	old func(s *site) *old // the old server, where it is not the one of all others
	// answers and questions are what happens on the link, to what the agent sends and to what it is sent.
	answers, questions func(f *faulty) []harm
	// killed is how often migrate is killed, and run again.
	killed int
	// stops is the rule of the first run's stop, says are words of it; empty: it proves.
	stops string
	says  []string
	// mend is done before the next run.
	mend func(f *faulty)
	// staged happens once, when the whole past is staged and the seam is waited for; installed when all is and nothing is compared yet.
	staged, installed func(f *faulty)
	// excused are failures of users that nobody could keep from them.
	excused func(error) bool
	then    func(f *faulty) // looks at what the row is about, at the end
	notes   string          // is noted at the end
}

func faults() map[string]fault {
	return map[string]fault{
		"the agent is killed and started again: proved": {answers: func(f *faulty) []harm {
			return []harm{func([]byte) bool { f.agent.kill(); f.startAgent(); return true }}
		}},
		"migrate is killed and run again: proved": {killed: 2, answers: func(f *faulty) []harm {
			kill := func([]byte) bool { f.killMove(); return true }
			return []harm{kill, kill}
		}},
		"the link is cut for a while, and stalls: proved": {answers: func(f *faulty) []harm { return []harm{f.link.cut, stalled, f.link.cut} }},
		"a byte is flipped in flight under TLS: proved": {
			answers:   func(*faulty) []harm { return []harm{flipped, flipped} },
			questions: func(*faulty) []harm { return []harm{flipped, flipped} },
		},
		"a byte is flipped in flight without TLS: proved": {how: faultOptions{socket: true}, answers: func(*faulty) []harm { return []harm{flippedData, flippedData} }},
		"a byte is flipped in a segment on the source's disk: it stops, and goes on when it is mended": {
			answers: func(f *faulty) []harm { return []harm{once(func() { f.hurtPinned("chunks/000001", flipOne) })} },
			stops:   RuleSourceDamaged, says: []string{"chunks/000001 is damaged on the source disk"}, mend: (*faulty).mendPinned,
		},
		"an index is truncated on the source's disk: it stops, and goes on when it is mended": {
			answers: func(f *faulty) []harm { return []harm{once(func() { f.hurtPinned("index", truncateOne) })} },
			stops:   RuleSourceDamaged, says: []string{"index is damaged on the source disk"}, mend: (*faulty).mendPinned,
		},
		"a byte is flipped on the target's disk before it is verified: proved": {
			answers: func(f *faulty) []harm { return []harm{func([]byte) bool { return f.hurtArrived() }} },
			then:    (*faulty).fetchedAgain,
		},
		"a byte is flipped on the target's disk after it was verified: fetched again before it goes in, proved": {
			staged: func(f *faulty) { f.hurtIn(f.staging(), "chunks/000001") }, notes: "spoiled on the target's disk after it was verified",
		},
		"an index is flipped on the target's disk after it was verified: fetched again before it goes in, proved": {
			staged: func(f *faulty) { f.hurtIn(f.staging(), "index") }, notes: "spoiled on the target's disk after it was verified",
		},
		"a byte is flipped on the target's disk after it was installed: it stops, and goes on when the block is moved away": {
			how:       faultOptions{askOld: true},
			installed: func(f *faulty) { f.hurtIn(f.target.Dir, "chunks/000001") },
			stops:     RuleTargetDamaged, says: []string{"chunks/000001", "move its folder out of the data directory"}, mend: (*faulty).moveAway,
		},
		"the old server is killed and started again: proved": {
			old:     func(s *site) *old { return s.old("30d") },
			answers: func(f *faulty) []harm { return []harm{once(func() { f.old.Kill(); f.old.Restart() })} },
			excused: func(err error) bool { return errors.Is(err, errUnanswered) }, // the past is on that server alone
		},
		"retention deletes the oldest block while it is copied: proved": {
			old:     func(s *site) *old { return s.old(expiring()) },
			answers: func(f *faulty) []harm { return []harm{func([]byte) bool { return f.expired() }} },
			how:     faultOptions{expires: true},
		},
	}
}

// TestMoveThroughFaults moves from one 2.42 under one 3.16 for each fault, with the programs that people start. Users ask the new server
// once a second from before the move to its end.
func TestMoveThroughFaults(t *testing.T) {
	s := newSite(t)
	shared := s.old("30d")
	before := shared.owned(t)
	var rows sync.WaitGroup
	for name, row := range faults() {
		rows.Go(func() {
			t.Run(name, func(t *testing.T) {
				o := shared
				if row.old != nil {
					o = row.old(s)
				}
				s.faulty(t, o, row.how).through(row)
			})
		})
	}
	rows.Wait()
	if diff := cmp.Diff(before, shared.owned(t)); diff != "" {
		t.Errorf("the old server is not as it was (-want +got):\n%s", diff)
	}
}

// through runs a move through a fault.
func (f *faulty) through(row fault) {
	f.t.Helper()
	if row.answers != nil {
		f.link.answers = row.answers(f)
	}
	if row.questions != nil {
		f.link.questions = row.questions(f)
	}
	if row.staged != nil {
		f.onStaged = func() { row.staged(f) }
	}
	if row.installed != nil {
		f.onProof = func() { row.installed(f) }
	}
	f.users.excuse(row.excused)
	last, killed := f.move()
	for ; killed && row.killed > 0; row.killed-- {
		last, killed = f.move()
	}
	if row.stops != "" {
		f.stopped(last, row)
		row.mend(f)
		last, killed = f.move()
	}
	if killed || !last.Done || last.Proof == nil || last.Proof.Verdict != proof.Proved || row.killed > 0 {
		f.t.Fatalf("it ended with %+v\n%s", last, tailOf(f.said.String()))
	}
	if done, left := f.link.harmed(); left > 0 {
		f.t.Errorf("%d harms came, %d did not", done, left)
	}
	if !strings.Contains(strings.Join(last.Notes, "\n"), row.notes) {
		f.t.Errorf("nobody was told %q: %q", row.notes, last.Notes)
	}
	if row.then != nil {
		row.then(f)
	}
	f.check()
}

func tailOf(text string) string { return text[max(0, len(text)-3000):] }

// stopped wants the stop of a row.
func (f *faulty) stopped(last Progress, row fault) {
	f.t.Helper()
	if last.Stop == nil || last.Stop.Rule != row.stops {
		f.t.Fatalf("want the stop %s, it ended with %+v, %+v\n%s", row.stops, last.Stop, last, tailOf(f.said.String()))
	}
	for _, want := range row.says {
		if !strings.Contains(last.Stop.Text, want) {
			f.t.Errorf("the stop does not say %q: %s", want, last.Stop.Text)
		}
	}
	f.t.Logf("stops: %s", last.Stop)
}
