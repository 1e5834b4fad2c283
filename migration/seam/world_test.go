package seam

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// piece is a block of the simulation with the samples that are in it: times of one series.
type piece struct {
	entry   block.Entry
	samples []int64
}

// sim is a source and a target that live on, and a mover that does what plans say. A tick is one unit of time.
type sim struct {
	r              *rand.Rand
	now            int64
	ids            int
	source, target []piece
	sourceHead     []int64 // times of samples
	headMin        int64
	length         int64 // of the source's blocks
	targetLength   int64
	targetMin      int64          // of its head
	own            map[int64]bool // ticks of the target's own samples
	ownFirst       int64
	downUntil      int64
	known          map[string]piece
	held           []string
	done           []Done
	rounds         []Round
	more           int // rounds that are to come yet
	seam           int64
	window         int64 // out of order
	lateFrom       []int64
}

func newWorld(r *rand.Rand) *sim {
	s := &sim{r: r, known: map[string]piece{}, own: map[int64]bool{}, more: r.IntN(3), length: 16 + r.Int64N(20), targetLength: 16 + r.Int64N(20)}
	s.now = s.length * (20 + r.Int64N(5))
	s.headMin = s.now - r.Int64N(s.length) - 1
	for at := s.headMin; at < s.now; at++ {
		s.sourceHead = append(s.sourceHead, at)
	}
	// History: blocks of odd lengths, with holes.
	for to := s.headMin; to > s.headMin-6*s.length; {
		from := to - 1 - r.Int64N(2*s.length)
		s.source = append(s.source, s.make(from, to))
		to = from
		if r.IntN(4) == 0 {
			to -= r.Int64N(s.length)
		}
	}
	if r.IntN(2) == 0 {
		s.window = r.Int64N(2 * s.length)
	}
	return s
}

func (s *sim) id() ulid.ULID { s.ids++; return id(s.ids) }

// make is a block with a sample at every tick.
func (s *sim) make(from, to int64) piece {
	var samples []int64
	for at := from; at < to; at++ {
		samples = append(samples, at)
	}
	return s.of(from, to, samples, nil)
}

func (s *sim) of(from, to int64, samples []int64, parents []piece) piece {
	m := &block.Meta{ULID: s.id(), MinTime: from, MaxTime: to, Version: 1}
	m.Compaction.Sources = []ulid.ULID{m.ULID}
	if parents != nil {
		m.Compaction.Sources = nil
	}
	for _, p := range parents {
		m.Compaction.Sources = append(m.Compaction.Sources, p.entry.Meta.Compaction.Sources...)
		m.Compaction.Parents = append(m.Compaction.Parents, block.Desc{ULID: p.entry.Meta.ULID})
	}
	return piece{block.Entry{Name: m.ULID.String(), Meta: m, Bytes: 1, Verdict: block.OK}, samples}
}

// tick is one unit of time on both servers.
func (s *sim) tick() {
	s.sourceHead = append(s.sourceHead, s.now)
	if s.targetMin > 0 && s.now >= s.ownFirst && s.now >= s.downUntil {
		s.own[s.now] = true
		if s.r.IntN(s.int(s.length)) == 0 { // it is killed, or its node is
			s.downUntil = s.now + 1 + s.r.Int64N(s.length)
		}
	}
	s.now++
	if s.now-s.headMin > s.length*3/2 {
		to := ceil(s.headMin+1, s.length)
		s.source = append(s.source, s.make(s.headMin, to))
		s.headMin = to
		s.flushLate()
	}
	if s.window > 0 && s.seam == 0 && s.r.IntN(s.int(s.length)) == 0 {
		// told apart by a stamp of its own
		s.lateFrom = append(s.lateFrom, s.now-1-s.r.Int64N(s.window+1))
	}
	if s.r.IntN(s.int(s.length)/2) == 0 {
		s.source = s.compact(s.source)
	}
	if s.targetMin > 0 && s.now-s.targetMin > s.targetLength*3/2 {
		to := ceil(s.targetMin+1, s.targetLength)
		s.target = append(s.target, s.of(s.targetMin, to, nil, nil))
		s.targetMin = to
	}
	if len(s.target) > 1 && s.r.IntN(s.int(s.length)) == 0 {
		s.target = s.compact(s.target)
	}
	if len(s.source) > 2 && len(s.known) > 0 && s.r.IntN(s.int(4*s.length)) == 0 {
		s.source = s.byTime(s.source)[1:] // retention
	}
}

func (s *sim) int(n int64) int { return int(max(n, 2)) }

// flushLate writes what came late, as a block of its own that overlaps others. Late samples have odd stamps of their own.
func (s *sim) flushLate() {
	if len(s.lateFrom) == 0 {
		return
	}
	from, to := slices.Min(s.lateFrom), slices.Max(s.lateFrom)+1
	var stamps []int64
	slices.Sort(s.lateFrom)
	for _, at := range slices.Compact(s.lateFrom) {
		stamps = append(stamps, at+lateStamp*int64(s.ids+1))
	}
	s.source = append(s.source, s.of(from, to, stamps, nil))
	s.lateFrom = nil
}

// lateStamp keeps late samples apart from others: the time is what remains.
const lateStamp = int64(1) << 32

func timeOf(stamp int64) int64 { return stamp % lateStamp }

func (s *sim) byTime(list []piece) []piece {
	slices.SortStableFunc(list, func(a, b piece) int { return int(a.entry.Meta.MinTime - b.entry.Meta.MinTime) })
	return list
}

// compact merges some neighbours, and with them whatever overlaps.
func (s *sim) compact(list []piece) []piece {
	if len(list) < 2 {
		return list
	}
	list = s.byTime(list)
	at := s.r.IntN(len(list) - 1)
	n := 2 + s.r.IntN(2)
	parents := list[at:min(at+n, len(list))]
	from, to := parents[0].entry.Meta.MinTime, int64(0)
	var samples []int64
	for _, p := range parents {
		samples = append(samples, p.samples...)
		to = max(to, p.entry.Meta.MaxTime)
	}
	merged := s.of(from, to, samples, slices.Clone(parents))
	return append(slices.Concat(list[:at], list[min(at+n, len(list)):]), merged)
}

// observe is what the mover sees.
func (s *sim) observe() World {
	w := World{Held: s.held, Done: s.done, Rounds: s.rounds, Seam: s.seam, OutOfOrder: s.window}
	w.SourceHead = &Head{Min: s.headMin, Max: s.now - 1, Range: s.length}
	for _, p := range s.source {
		s.known[p.entry.Name] = p // and pinned
	}
	for _, name := range slices.Sorted(maps.Keys(s.known)) {
		w.Source = append(w.Source, s.known[name].entry)
	}
	for _, p := range s.target {
		w.Target = append(w.Target, p.entry)
	}
	w.TargetHead = &Head{Empty: s.targetMin == 0, Min: s.targetMin, Max: s.now - 1, Range: s.targetLength}
	return w
}

// move lets both live until the mover has nothing to do, and counts.
func (s *sim) move(t *testing.T, name string) {
	t.Helper()
	start := s.now + s.r.Int64N(3*s.length)
	for limit := s.now + 100*(s.length+s.targetLength); ; {
		for range 1 + s.r.Int64N(6) {
			s.tick()
		}
		switch {
		case s.targetMin == 0 && s.now >= start:
			s.targetMin, s.ownFirst = s.now-1, s.now-1+s.r.Int64N(4)
		case s.targetMin > 0 && s.seam == 0:
			s.seam = s.targetMin
		case s.seam > 0 && s.rounds == nil && s.r.IntN(5) == 0:
			s.rounds = []Round{{From: s.seam, End: s.now + s.r.Int64N(2*s.length)}}
		}
		p := MakePlan(s.observe())
		if s.rounds != nil && s.more > 0 && (p.Complete() || s.r.IntN(8) == 0) {
			s.open()
			continue
		}
		if p.Complete() {
			break
		}
		if s.now > limit {
			t.Fatalf("%s: it never ends: %+v", name, p)
		}
		if len(p.Damaged) > 0 {
			t.Fatalf("%s: damaged: %v", name, p.Damaged)
		}
		if len(p.Stage) > 0 {
			s.held = append(s.held, p.Stage[:1+s.r.IntN(len(p.Stage))]...)
			continue
		}
		if p.Ready {
			s.act(t, name, p)
		}
	}
	s.count(t, name)
}

// open begins a round, or moves the end of one of which nothing is cut.
func (s *sim) open() {
	last := &s.rounds[len(s.rounds)-1]
	end := s.now + s.r.Int64N(2*s.length)
	if end <= last.End {
		return
	}
	s.more--
	if len(last.Parts) == 0 {
		last.End = end
		return
	}
	s.rounds = append(s.rounds, Round{From: max(s.seam, last.End-s.r.Int64N(4)), End: end})
}

// act installs the first part, or all of a round.
func (s *sim) act(t *testing.T, name string, p *Plan) {
	t.Helper()
	round := p.Parts[0].Round
	if p.Parts[0].Side == After && len(s.rounds[round].Parts) == 0 {
		for _, x := range p.Parts {
			if x.Side == After && x.Round == round {
				s.rounds[round].Parts = append(s.rounds[round].Parts, x)
			}
		}
	}
	for i, x := range p.Parts {
		if i > 0 && (x.Side != After || p.Parts[0].Side != After || x.Round != round) {
			return
		}
		if x.To > s.targetMin {
			t.Fatalf("%s: part %+v ends inside the target's head, which begins at %d", name, x, s.targetMin)
		}
		from := s.known[x.Source]
		if x.Side == Whole {
			s.install(t, name, from)
			continue
		}
		var samples []int64
		for _, at := range from.samples {
			if s.takes(x, at) {
				samples = append(samples, at)
			}
		}
		d := Done{Part: x}
		if len(samples) > 0 {
			made := s.of(x.From, x.To, samples, nil)
			d.Block = made.entry.Name
			s.install(t, name, made)
		}
		s.done = append(s.done, d)
	}
}

func (s *sim) takes(x Part, stamp int64) bool {
	at := timeOf(stamp)
	switch x.Side {
	case Before:
		return at < s.seam
	case After:
		return at >= x.From && at < x.To && !s.own[at] && !slices.ContainsFunc(s.target, func(p piece) bool { return slices.Contains(p.samples, stamp) })
	case Late:
		return at < s.seam && !slices.ContainsFunc(s.target, func(p piece) bool { return slices.Contains(p.samples, stamp) })
	}
	return true
}

func (s *sim) install(t *testing.T, name string, p piece) {
	t.Helper()
	for _, x := range s.target {
		for _, d := range p.entry.Meta.Compaction.Parents {
			if d.ULID == x.entry.Meta.ULID {
				t.Fatalf("%s: %s is installed beside its parent %s", name, p.entry.Name, x.entry.Name)
			}
		}
		for _, d := range x.entry.Meta.Compaction.Parents {
			if d.ULID == p.entry.Meta.ULID {
				t.Fatalf("%s: %s is installed beside its child %s", name, p.entry.Name, x.entry.Name)
			}
		}
	}
	s.target = append(s.target, p)
}

// count holds the target against all that the mover ever saw on the source.
func (s *sim) count(t *testing.T, name string) {
	t.Helper()
	want, got := map[int64]int{}, map[int64]int{}
	end := s.rounds[len(s.rounds)-1].End
	for _, p := range s.known {
		for _, stamp := range p.samples {
			if at := timeOf(stamp); at < s.seam || at < end && !s.own[at] {
				want[stamp] = 1
			}
		}
	}
	for _, p := range s.target {
		for _, stamp := range p.samples {
			got[stamp]++
		}
	}
	for _, stamp := range sortedKeys(want) {
		if got[stamp] != 1 {
			t.Fatalf("%s: sample %d (seam %d, rounds %+v, first own %d) is there %d times", name, stamp, s.seam, s.rounds, s.ownFirst, got[stamp])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d samples, want %d", name, len(got), len(want))
	}
}
