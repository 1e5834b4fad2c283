//go:build engine

package move

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func faults() map[string]fault {
	return map[string]fault{
		"the link is cut twice, stalls, flips bytes under TLS, and the agent is killed: proved": {
			answers: func(f *faulty) []harm {
				return []harm{f.link.cut, stalled, flipped, func([]byte) bool { f.agent.kill(); f.startAgent(); return true }, f.link.cut}
			},
			questions: func(*faulty) []harm { return []harm{flipped, flipped} },
		},
		"bytes are flipped in flight without TLS, and migrate is killed twice: proved": {
			how: faultOptions{socket: true}, killed: 2,
			answers: func(f *faulty) []harm {
				kill := func([]byte) bool { f.killMove(); return true }
				return []harm{flippedData, kill, flippedData, kill}
			},
		},
		"on the source's disk a byte of a segment is flipped and an index truncated: it stops and names both, and goes on when they are mended": {
			answers: func(f *faulty) []harm {
				return []harm{once(func() { f.hurtPinned(1, "chunks/000001", flipOne); f.hurtPinned(2, "index", truncateOne) })}
			},
			stops: RuleSourceDamaged, says: []string{"chunks/000001 is damaged on the source disk", "index is damaged on the source disk"}, mend: (*faulty).mendPinned,
		},
		"on the target's disk a byte is flipped before a block is verified, one behind that, and one of an index: all are fetched again, proved": {
			answers: func(f *faulty) []harm { return []harm{func([]byte) bool { return f.hurtArrived() }} },
			staged:  func(f *faulty) { f.hurtIn(f.staging(), 1, "chunks/000001"); f.hurtIn(f.staging(), 2, "index") },
			notes:   "was spoiled on the target's disk after it was verified there",
		},
		"on the target's disk a byte is flipped in a block that is installed: it stops, and goes on when the block is moved away": {
			how:       faultOptions{askOld: true},
			installed: func(f *faulty) { f.hurtIn(f.target.Dir, 1, "chunks/000001") },
			stops:     RuleTargetDamaged, says: []string{"chunks/000001", "move its folder out of the data directory"}, mend: (*faulty).moveAway,
		},
		"the old server is killed and comes back with a retention that deletes the oldest block while it is copied: proved": {
			how: faultOptions{expires: true}, old: func(s *site) *old { return s.old("30d") },
			answers: func(f *faulty) []harm { return []harm{once(f.expire)} },
			excused: func(err error) bool { return errors.Is(err, errUnanswered) }, // the past is on that server alone
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
