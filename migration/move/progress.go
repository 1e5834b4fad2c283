package move

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Progress is how far a move is: one line of slipway prometheus migrate --progress json. The last line of a run that has come to
// its end has Done or Stop; one that was interrupted has neither.
type Progress struct {
	Time  time.Time `json:"time"`
	Phase Phase     `json:"phase"`
	// Steps are the next step and up to four behind it that may be done now; Waits are what is waited for. Texts are cut at 400 bytes.
	Steps []string `json:"steps"`
	Waits []string `json:"waits"`
	// Seam is S', End is up to where the target has every sample once this is done; nil until they are known.
	Seam *time.Time `json:"seam,omitempty"`
	End  *time.Time `json:"end,omitempty"`
	// Covered is when both were last seen to scrape the same. TargetStarted is when the target's process began that answered last: one
	// that began behind Covered has missed scrapes that no round fills yet; the same command run again fills them.
	Covered       *time.Time `json:"covered,omitempty"`
	TargetStarted *time.Time `json:"targetStarted,omitempty"`
	// Round is which range behind S' is brought, from 1; not there until the first is known.
	Round int `json:"round,omitempty"`
	// Gaps are when the target scraped nothing behind S', as far as that is known: first those that are filled with the source's samples,
	// by the target's own data, then those that are not yet. The latest 20 of each.
	Gaps     []Gap            `json:"gaps,omitempty"`
	Blocks   BlockCounts      `json:"blocks"`
	Transfer TransferProgress `json:"transfer"`
	// Proof is the last proof, nil before Verify.
	Proof *ProofProgress `json:"proof,omitempty"`
	Stop  *Stop          `json:"stop,omitempty"`
	Notes []string       `json:"notes"`
	Done  bool           `json:"done"`
}

// Gap is a time in which the target scraped nothing. From is nil where nobody knows yet since when.
type Gap struct {
	From   *time.Time `json:"from,omitempty"`
	To     time.Time  `json:"to"`
	Filled bool       `json:"filled"`
	// Samples are how many of the source fill it.
	Samples uint64 `json:"samples,omitempty"`
}

// BlockCounts counts blocks of the source. Those that expired or were given up are not counted.
type BlockCounts struct {
	Total int `json:"total"`
	// Staged are whole on the target's disk, installed ones among them; Verified were read back from it and held against what
	// the source read.
	Staged   int `json:"staged"`
	Verified int `json:"verified"`
	// Installed are in the target's data directory, whole or as their pieces.
	Installed int `json:"installed"`
}

// TransferProgress is what travels. Bytes are of all blocks that are counted.
type TransferProgress struct {
	BytesDone      int64 `json:"bytesDone"`
	BytesTotal     int64 `json:"bytesTotal"`
	BytesPerSecond int64 `json:"bytesPerSecond"`
	// ETASeconds is -1 while nobody can say.
	ETASeconds int64 `json:"etaSeconds"`
	// LimitedBy is what holds the transfer back, empty while nothing travels: Nothing, Ceiling, Growth, SourcePressure,
	// SourceDiskAwait, SourceDiskUtilisation, SourceQueryLatency, TargetDisk, LinkOrSource, Verify, SourceSilent.
	LimitedBy string `json:"limitedBy"`
	// Signals are what the throttle on the source has to go by: QueryLatency, IOPressure, DiskStats.
	Signals []string `json:"signals"`
	// SourceDisk is the file system on which the source's blocks are pinned; nil where that is not known.
	SourceDisk *transfer.Disk `json:"sourceDisk,omitempty"`
}

// ProofProgress is the outcome of a proof.
type ProofProgress struct {
	Verdict proof.Verdict `json:"verdict"`
	Summary string        `json:"summary"`
	Seed    uint64        `json:"seed"`
	At      time.Time     `json:"at"`
}

// Rules of stops that are errors of a step.
const (
	RuleSourceSilent = "source_is_silent"
	RuleTargetFull   = "target_has_no_room"
	RuleDamaged      = "bytes_came_out_wrong"
	RuleStepFailed   = "a_step_did_not_work"
)

// StopOf names an error: a *Stop as it is, others by what they are.
func StopOf(err error) *Stop {
	var (
		stop   *Stop
		lost   *transfer.LostError
		space  *transfer.NoSpaceError
		damage *transfer.DamageError
	)
	switch {
	case errors.As(err, &stop):
		return stop
	case errors.As(err, &lost):
		return &Stop{RuleSourceSilent, err.Error()}
	case errors.As(err, &space):
		return &Stop{RuleTargetFull, err.Error()}
	case errors.As(err, &damage):
		return &Stop{RuleDamaged, err.Error()}
	}
	return &Stop{RuleStepFailed, err.Error()}
}

// newProgress tells a world and what was decided about it; p is a pull that is under way, nil for none.
func newProgress(w *World, d *Decision, p *transfer.Progress) Progress {
	s := &w.State
	r := Progress{Time: time.Now().UTC(), Phase: d.Phase, Steps: []string{}, Waits: append([]string{}, d.Waits...), Stop: d.Stop, Done: d.Phase == Done,
		Notes: append(slices.Clone(s.Notes), d.Notes...), Seam: instant(s.Seam), End: instant(s.End()), Covered: instant(s.Covered), TargetStarted: instant(s.TargetStarted), Round: len(s.Rounds)}
	r.gaps(w, d)
	for _, x := range d.Steps[:min(len(d.Steps), maxSteps)] {
		r.Steps = append(r.Steps, short(x.Text))
	}
	for i, text := range r.Waits {
		r.Waits[i] = short(text)
	}
	if s.Proof != nil {
		r.Proof = &ProofProgress{s.Proof.Verdict, s.Proof.Summary, s.Proof.Seed, s.Proof.At}
	}
	if r.Notes == nil {
		r.Notes = []string{}
	}
	r.count(w, d, p)
	return r
}

// Lines stay short: a log of hours holds thousands of them, and names of hundreds of blocks say nothing there.
const (
	maxSteps = 5
	maxText  = 400
)

func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

func instant(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

// maxGaps bounds a line.
const maxGaps = 20

// gaps tells filled ones by the pieces, and others by what was noticed.
func (r *Progress) gaps(w *World, d *Decision) {
	filled, there := w.State.filledBy(w.there()), w.there()
	for _, g := range filled[max(0, len(filled)-maxGaps):] {
		r.Gaps = append(r.Gaps, Gap{From: instant(g.From), To: *instant(g.To), Filled: true, Samples: g.Samples})
	}
	var open []Outage
	for _, o := range w.State.Outages {
		if d.Phase != Verify && d.Phase != Done && !w.State.roundDone(o.Round, there) {
			open = append(open, o)
		}
	}
	open = append(open, w.outages()...)
	for _, o := range open[max(0, len(open)-maxGaps):] {
		r.Gaps = append(r.Gaps, Gap{From: instant(o.From), To: *instant(o.To)})
	}
}

// Filled are the gaps of the target that the pieces fill, in their order.
func (s *State) Filled() []block.Gap { return s.filledBy(nil) }

// filledBy are the gaps that installed pieces fill; nil counts all pieces.
func (s *State) filledBy(there map[ulid.ULID]bool) []block.Gap {
	var all block.GapList
	for _, c := range s.Cuts {
		if id, err := ulid.ParseStrict(c.Block); there != nil && (err != nil || !there[id]) {
			continue
		}
		for _, g := range c.Filled {
			all.Add(g)
		}
	}
	return all
}

// roundDone says that the target has all pieces of a round.
func (s *State) roundDone(n int, there map[ulid.ULID]bool) bool {
	if n >= len(s.Rounds) || len(s.Rounds[n].Parts) == 0 {
		return false
	}
	for _, x := range s.Rounds[n].Parts {
		c := s.cut(x)
		if c == nil {
			return false
		}
		if id, err := ulid.ParseStrict(c.Block); c.Block != "" && (err != nil || !there[id]) {
			return false
		}
	}
	return true
}

// count counts blocks and bytes. Blocks that travel now are told by the pull.
func (r *Progress) count(w *World, d *Decision, p *transfer.Progress) {
	var travel []string
	if p != nil && len(d.Steps) > 0 {
		travel = d.Steps[0].Blocks
	}
	there := w.there()
	for i := range w.State.Frozen {
		e := &w.State.Frozen[i]
		if !w.counts(e) {
			continue
		}
		r.Blocks.Total++
		r.Transfer.BytesTotal += e.Bytes
		installed := d.Phase == Verify || d.Phase == Done || w.State.installed(e, there)
		if installed {
			r.Blocks.Installed++
		}
		if !slices.Contains(travel, e.Name) && (installed || slices.Contains(w.Staged, e.Name)) {
			r.Blocks.Staged++
			r.Transfer.BytesDone += e.Bytes
		}
	}
	r.Transfer.Signals, r.Transfer.ETASeconds, r.Transfer.SourceDisk = []string{}, -1, w.SourceDisk
	if r.Transfer.BytesDone >= r.Transfer.BytesTotal {
		r.Transfer.ETASeconds = 0
	}
	if p != nil {
		r.Blocks.Staged += p.BlocksDone
		r.Transfer.take(p)
	}
	r.Blocks.Verified = r.Blocks.Staged
}

// counts says that a block is to go over.
func (w *World) counts(e *block.Entry) bool {
	left := slices.Contains(w.Lost, e.Name) || slices.Contains(w.State.Expired, e.Name)
	return !left && (w.State.End() == 0 || e.Meta.MinTime < w.State.End())
}

// take adds a pull that is under way.
func (t *TransferProgress) take(p *transfer.Progress) {
	t.BytesDone += p.BytesDone
	t.BytesPerSecond, t.ETASeconds, t.LimitedBy = p.BytesPerSecond, p.ETASeconds, limitWord(p.LimitedBy)
	if p.SourceDisk != nil {
		t.SourceDisk = p.SourceDisk
	}
	s := p.Signals
	if s == nil {
		return
	}
	for _, x := range []struct {
		name string
		has  bool
	}{{"QueryLatency", s.QueryMillis != nil || s.IdleQueryMillis != nil || s.QueryFailed}, {"IOPressure", s.PressurePercent != nil}, {"DiskStats", s.AwaitMillis != nil}} {
		if x.has {
			t.Signals = append(t.Signals, x.name)
		}
	}
}

func limitWord(c transfer.LimitCause) string {
	switch c {
	case transfer.LimitedByCeiling:
		return "Ceiling"
	case transfer.LimitedByGrowth:
		return "Growth"
	case transfer.LimitedByPressure:
		return "SourcePressure"
	case transfer.LimitedByAwait:
		return "SourceDiskAwait"
	case transfer.LimitedByUtilisation:
		return "SourceDiskUtilisation"
	case transfer.LimitedByQueryLatency:
		return "SourceQueryLatency"
	case transfer.LimitedByTarget:
		return "TargetDisk"
	case transfer.LimitedByLink:
		return "LinkOrSource"
	case transfer.LimitedByVerify:
		return "Verify"
	case transfer.LimitedByRetry:
		return "SourceSilent"
	}
	return "Nothing"
}

// there are the blocks that the target has, by what they were made of.
func (w *World) there() map[ulid.ULID]bool {
	there := map[ulid.ULID]bool{}
	for _, t := range w.Target {
		if t.Meta == nil {
			continue
		}
		there[t.Meta.ULID] = true
		for _, id := range t.Meta.Compaction.Sources {
			there[id] = true
		}
	}
	return there
}

// installed says that the target has a block of the source, or all pieces that were cut from it.
func (s *State) installed(e *block.Entry, there map[ulid.ULID]bool) bool {
	if there[e.Meta.ULID] {
		return true
	}
	cuts, missing := 0, false
	for _, c := range s.Cuts {
		if c.Source != e.Name {
			continue
		}
		cuts++
		id, err := ulid.ParseStrict(c.Block)
		missing = missing || c.Block != "" && (err != nil || !there[id])
	}
	if cuts > 0 {
		return !missing
	}
	for _, id := range e.Meta.Compaction.Sources {
		if !there[id] {
			return false
		}
	}
	return len(e.Meta.Compaction.Sources) > 0
}

// report tells how far the move is; p is a pull that is under way, nil for none.
func (m *mover) report(p *transfer.Progress) {
	if m.o.Report != nil && m.world != nil {
		m.o.Report(newProgress(m.world, m.decision, p))
	}
}

// reportEnd tells why a run ended that cannot go on.
func (m *mover) reportEnd(err error) {
	if m.o.Report == nil {
		return
	}
	w, d := &World{State: m.state, Lost: m.o.Lost}, &Decision{Phase: m.state.Phase}
	if m.world != nil {
		w.Staged, w.Target = m.world.Staged, m.world.Target
	}
	d.Stop = StopOf(err)
	m.o.Report(newProgress(w, d, nil))
}
