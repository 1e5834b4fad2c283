package move

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Phase is how far a move is.
type Phase string

// The phases, in their order.
const (
	Pin      Phase = "Pin"
	Start    Phase = "StartTarget" // the target runs and has its first sample
	Coverage Phase = "Coverage"
	Stage    Phase = "Stage"
	Seam     Phase = "Seam" // the block over S' is waited for and cut
	Install  Phase = "Install"
	Verify   Phase = "Verify"
	Done     Phase = "Done" // what follows is the cutover, which is somebody else's
)

// Kind names a step.
type Kind string

// The steps.
const (
	stepResume  Kind = "end-installation"
	stepPin     Kind = "pin"
	stepSeam    Kind = "freeze-seam"
	stepLower   Kind = "lower-seam"
	stepEnd     Kind = "freeze-end"
	stepExpire  Kind = "expire"
	stepStage   Kind = "stage"
	stepCut     Kind = "cut"
	stepInstall Kind = "install"
	stepLook    Kind = "look-for-outages"
	stepVerify  Kind = "verify"
	stepRelease Kind = "release"
)

// Step is one thing to do, and its words.
type Step struct {
	Kind   Kind       `json:"kind"`
	Phase  Phase      `json:"phase"`
	Blocks []string   `json:"blocks,omitempty"`
	Part   *seam.Part `json:"part,omitempty"`
	At     int64      `json:"at,omitempty"`
	Text   string     `json:"text"`
}

// Decision is what is done next: the first step, a wait, a stop, or nothing any more.
type Decision struct {
	Phase Phase `json:"phase"`
	// Steps are the next one and, as far as can be seen now, those behind it. Later ones wait.
	Steps []Step   `json:"steps,omitempty"`
	Later []Step   `json:"later,omitempty"`
	Waits []string `json:"waits,omitempty"`
	Stop  *Stop    `json:"stop,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// Stop is why the move cannot go on, by the name of the rule.
type Stop struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

func (s *Stop) Error() string { return s.Rule + ": " + s.Text }

// Names of stops that are no rules of transfer.
const (
	RuleSourceDamaged = "source_block_is_damaged"
	RuleTargetDamaged = "target_block_is_damaged"
	RuleSourceGone    = "source_block_is_gone"
	RuleNotProved     = "not_proved"
	RuleTargetFresh   = "target_has_nothing_of_an_earlier_move"
)

// Decide says what comes next. It is pure.
func Decide(w *World) *Decision {
	d := &Decision{Phase: Pin, Waits: w.Silent}
	switch {
	case w.Installing != "" && w.TargetServer == nil:
		d.Phase = Install
		return d
	case w.Installing != "":
		return d.then(Install, Step{Kind: stepResume, Blocks: []string{w.Installing}, Text: "end the installation of block " + w.Installing + ", which was interrupted"})
	case w.targetDamage(d):
		return d
	case len(w.State.Merged) > 0:
		d.Stop = &Stop{RuleTargetFresh, fmt.Sprintf("the undo of an earlier move left %s, which the target had merged with its own samples: begin with an empty target and another folder for the state", blocks(w.State.Merged))}
		return d
	}
	if w.NoSource {
		d.Phase = w.State.Phase
		return d
	}
	if fresh := w.unpinned(); len(fresh) > 0 && !w.State.Released {
		return d.then(Pin, Step{Kind: stepPin, Blocks: fresh, Text: fmt.Sprintf("pin %s on the source", blocks(fresh))})
	}
	d.Phase = Start
	if w.SourceServer == nil || w.TargetServer == nil {
		return d
	}
	if w.seam(d) {
		return d
	}
	return w.parts(d)
}

// seam freezes S' and the end; false: both are known.
func (w *World) seam(d *Decision) bool {
	head := w.TargetServer.Head
	switch {
	case head.Empty:
		return false
	case w.State.Seam == 0:
		first := w.first()
		d.then(Start, Step{Kind: stepSeam, At: first, Text: fmt.Sprintf("freeze S' at %s, where the target's own history begins", stamp(first))})
	case w.untouched() && w.first() < w.State.Seam: // nobody looked while the head went lower and was cut
		first := w.first()
		d.then(Seam, Step{Kind: stepLower, At: first, Text: fmt.Sprintf("lower S' from %s to %s: the target has older samples of its own", stamp(w.State.Seam), stamp(first))})
	case head.MinTime < w.State.Seam:
		d.then(Seam, Step{Kind: stepLower, At: head.MinTime, Blocks: w.inside(),
			Text: fmt.Sprintf("lower S' from %s to %s: the target's head took an older sample of a new series", stamp(w.State.Seam), stamp(head.MinTime))})
	case w.State.End() == 0 && w.Uncovered != "":
		d.Phase = Coverage
		d.Waits = append(d.Waits, w.Uncovered)
	case w.State.End() == 0:
		end := head.MaxTime + w.SeamSpan.Milliseconds()
		d.then(Coverage, Step{Kind: stepEnd, At: end, Text: fmt.Sprintf("hold both servers against each other up to %s: since %s both scrape the same", stamp(end), stamp(head.MaxTime))})
	default:
		return w.round(d)
	}
	return true
}

// round opens a further round when the target missed something and scrapes the same again; false: there is no need, or it is waited for, and
// what else is to be done goes on.
func (w *World) round(d *Decision) bool {
	missed, head := w.missed(), w.TargetServer.Head
	switch {
	case missed == 0:
		return false
	case w.Uncovered != "":
		d.Waits = append(d.Waits, fmt.Sprintf("the target missed scrapes until %s, and does not scrape the same yet: %s", stamp(missed), w.Uncovered))
		return false
	case head.MaxTime <= missed:
		d.Waits = append(d.Waits, fmt.Sprintf("the target missed scrapes until %s, and has no newer sample yet", stamp(missed)))
		return false
	}
	end := head.MaxTime + w.SeamSpan.Milliseconds()
	var what []string
	for _, o := range w.outages() {
		what = append(what, fmt.Sprintf("%s (%s)", o.Range, o.Why))
	}
	d.then(Coverage, Step{Kind: stepEnd, At: end, Text: fmt.Sprintf("fill what the target missed, %s, in a further round up to %s: since %s both scrape the same", strings.Join(what, ", "), stamp(end), stamp(head.MaxTime))})
	return true
}

// untouched says that the target has nothing of the move yet.
func (w *World) untouched() bool {
	known := w.State.known()
	return len(w.State.Cuts) == 0 && !w.State.Released && !slices.ContainsFunc(w.Target, func(t block.Entry) bool { return slices.Contains(known, t.Name) })
}

func (d *Decision) then(phase Phase, s Step) *Decision {
	s.Phase = phase
	d.Phase = phase
	d.Steps = append(d.Steps, s)
	return d
}

// targetDamage stops for a block that keeps the target from starting again.
func (w *World) targetDamage(d *Decision) bool {
	for _, t := range w.Target {
		if t.Verdict == block.Damaged || t.Verdict == block.Unsupported {
			d.Stop = &Stop{RuleTargetDamaged, fmt.Sprintf("block %s on the target is %s: %v; move its folder out of the data directory before the server restarts, and run again", t.Name, t.Verdict, t.Damage)}
			return true
		}
	}
	return false
}

// held are the blocks whose samples somebody holds, or that lie behind the end. What took the place of a block that a further round
// needs is not held.
func (w *World) held() map[ulid.ULID]bool {
	known, end := map[ulid.ULID]bool{}, w.State.End()
	for _, x := range w.State.Beyond {
		known[x.ID] = end > 0 && x.From >= end
	}
	n := len(w.State.Rounds) - 1
	for i := range w.State.Frozen {
		e := &w.State.Frozen[i]
		if n > 0 && e.Meta.MaxTime > w.State.Rounds[n].From && w.replaced(e) {
			continue
		}
		for _, id := range e.Meta.Compaction.Sources {
			known[id] = true
		}
	}
	return known
}

// unpinned are blocks of the source with samples that nobody holds yet. Those that lie behind the seam are not needed.
func (w *World) unpinned() (names []string) {
	known, end := w.held(), w.State.End()
	for _, e := range w.Source {
		lost := slices.Contains(w.Lost, e.Name) || slices.Contains(w.State.Expired, e.Name)
		if e.Verdict != block.OK || w.State.frozen(e.Name) != nil || lost || end > 0 && e.Meta.MinTime >= end {
			continue
		}
		fresh := func(id ulid.ULID) bool { return !known[id] }
		if len(e.Meta.Compaction.Sources) == 0 || slices.ContainsFunc(e.Meta.Compaction.Sources, fresh) {
			names = append(names, e.Name)
		}
	}
	return names
}

// inside are blocks of ours on the target that end inside its head: they go away before its next restart.
func (w *World) inside() (names []string) {
	known := w.ours()
	for _, t := range w.Target {
		if t.Meta != nil && t.Meta.MaxTime > w.TargetServer.Head.MinTime && slices.Contains(known, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

// parts decides by the plan around the seam.
func (w *World) parts(d *Decision) *Decision {
	plan := seam.MakePlan(w.seamWorld())
	for _, wait := range plan.Waits {
		d.Waits = append(d.Waits, wait.String())
	}
	for _, h := range plan.Holes {
		d.Notes = append(d.Notes, fmt.Sprintf("the source has no block from %s to %s", stamp(h.From), stamp(h.To)))
	}
	if len(plan.Damaged) > 0 {
		d.Phase, d.Stop = Stage, w.damagedStop(plan.Damaged[0])
		return d
	}
	if stop, expired := w.judge(plan); len(expired) > 0 {
		return d.then(Stage, Step{Kind: stepExpire, Blocks: expired, Text: fmt.Sprintf("leave %s: the source's own retention deletes them, and so would the target's", blocks(expired))})
	} else if stop != nil {
		d.Phase, d.Stop = Stage, stop
		return d
	}
	w.steps(d, plan)
	switch {
	case len(d.Steps) > 0 || !plan.Complete():
	case w.missed() > 0:
		d.Phase = Coverage
	default:
		w.end(d)
	}
	return d
}

func (w *World) damagedStop(name string) *Stop {
	for _, e := range w.source() {
		if e.Name == name {
			return &Stop{RuleSourceDamaged, fmt.Sprintf("block %s of the source is %s: %v; mend it, or give its samples up with --lost %s", name, e.Verdict, e.Damage, name)}
		}
	}
	return &Stop{RuleSourceDamaged, "block " + name + " of the source cannot be read"}
}

// steps are those of the plan, in their order. They are for later while the first of them may not be done now.
func (w *World) steps(d *Decision, plan *seam.Plan) {
	d.Phase = Seam
	var steps []Step
	round := -1
	for i := range plan.Parts {
		x := &plan.Parts[i]
		switch {
		case x.Side == seam.After && x.Round != round: // all of a round are cut before one is installed
			round = x.Round
			for k := range plan.Parts[i:] {
				if plan.Parts[i+k].Round == round {
					steps = w.cutStep(steps, &plan.Parts[i+k], seam.After)
				}
			}
		case x.Side == seam.Before || x.Side == seam.Late:
			steps = w.cutStep(steps, x, x.Side)
		}
		steps = append(steps, Step{Kind: stepInstall, Phase: Install, Part: x, Text: w.installText(x)})
	}
	if plan.Ready { // what has to be staged yet is for other parts
		d.Phase, d.Steps = steps[0].Phase, steps
		return
	}
	if len(plan.Stage) > 0 {
		d.then(Stage, Step{Kind: stepStage, Blocks: plan.Stage, Text: fmt.Sprintf("bring %s to the target's disk and verify them there", blocks(plan.Stage))})
	}
	d.Later = steps
}

// cutStep adds the cut of a part of a side that has no piece yet.
func (w *World) cutStep(steps []Step, x *seam.Part, side seam.Side) []Step {
	if x.Side != side || w.State.cut(*x) != nil {
		return steps
	}
	return append(steps, Step{Kind: stepCut, Phase: Seam, Part: x, Text: cutText(x, w.State.Seam)})
}

func cutText(x *seam.Part, at int64) string {
	switch x.Side {
	case seam.Before:
		return fmt.Sprintf("cut piece A of block %s: all its samples before %s", x.Source, stamp(at))
	case seam.After:
		if x.Round > 0 {
			return fmt.Sprintf("cut a piece of block %s: per series, its samples from %s to %s that lie in gaps of the target", x.Source, stamp(x.From), stamp(x.To))
		}
		return fmt.Sprintf("cut piece B of block %s: per series, its samples from %s to %s that lie before the target's first, or in its gaps", x.Source, stamp(x.From), stamp(x.To))
	}
	return fmt.Sprintf("cut what came late from block %s: its samples before %s that the target does not have", x.Source, stamp(at))
}

func (w *World) installText(x *seam.Part) string {
	name := "block " + x.Source
	if x.Side != seam.Whole {
		name = fmt.Sprintf("the piece of block %s", x.Source)
		if c := w.State.cut(*x); c != nil {
			name = fmt.Sprintf("piece %s of block %s", c.Block, x.Source)
		}
	}
	return fmt.Sprintf("install %s [%s, %s)", name, stamp(x.From), stamp(x.To))
}

// proved says that both servers were compared and found equal.
func (s *State) proved() bool { return s.Proof != nil && s.Proof.Verdict == proof.Proved }

// end waits until the target has put its blocks in order, and proves.
func (w *World) end(d *Decision) {
	d.Phase = Verify
	switch {
	case w.WantsLook && !w.Looked:
		d.then(Verify, Step{Kind: stepLook, Text: fmt.Sprintf("look whether the target missed scrapes since %s", stamp(w.State.Covered))})
		return
	case w.Unseen != "":
		d.Waits = append(d.Waits, w.Unseen)
		return
	}
	if !w.State.proved() && w.WantsProof {
		if w.Bridged != "" {
			d.Waits = append(d.Waits, w.Bridged)
			return
		}
		if text := w.unsettled(); text != "" {
			d.Waits = append(d.Waits, text)
			return
		}
		d.then(Verify, Step{Kind: stepVerify, Text: "compare both servers, sample by sample"})
		return
	}
	if !w.State.Released {
		d.then(Verify, Step{Kind: stepRelease, Text: "let go of the blocks on the source, and empty the staging folder"})
		return
	}
	d.Phase = Done
	if w.Looked {
		d.Notes = append(d.Notes, fmt.Sprintf("the target missed nothing since %s", stamp(w.State.Covered)))
	}
}

// unsettled says that blocks of the target overlap: it merges those of the seam at its next compaction.
func (w *World) unsettled() string {
	var last *block.Entry
	for i := range w.Target {
		t := &w.Target[i]
		if t.Verdict == block.Superseded || t.Verdict == block.Deletable {
			return fmt.Sprintf("the target deletes block %s, which it has merged into another one", t.Name)
		}
		if last != nil && t.Meta.MinTime < last.Meta.MaxTime {
			return fmt.Sprintf("the target merges block %s with block %s, which overlap (unless --no-storage.tsdb.allow-overlapping-compaction is set)", t.Name, last.Name)
		}
		if last == nil || t.Meta.MaxTime > last.Meta.MaxTime {
			last = t
		}
	}
	return ""
}

// String is what a person reads: of a dry run, too.
func (d *Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "phase %s\n", d.Phase)
	for i, s := range d.Steps {
		fmt.Fprintf(&b, "%2d. %s\n", i+1, s.Text)
	}
	for _, s := range d.Later {
		fmt.Fprintf(&b, " -  %s, later\n", s.Text)
	}
	for _, w := range d.Waits {
		fmt.Fprintf(&b, "waits: %s\n", w)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if d.Stop != nil {
		fmt.Fprintf(&b, "stops: %s\n", d.Stop)
	}
	return b.String()
}

func blocks(names []string) string {
	if len(names) == 1 {
		return "block " + names[0]
	}
	return fmt.Sprintf("%d blocks (%s)", len(names), strings.Join(names, ", "))
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// judge asks the rules of an installation for all parts that are missing: what is refused for a reason that no waiting
// mends is said before anything travels.
func (w *World) judge(plan *seam.Plan) (*Stop, []string) {
	var expired []string
	before, behind := w.entries(plan)
	world := transfer.World{Target: w.Target, Head: &w.TargetServer.Head, TargetHasWAL: true, Retention: w.TargetServer.Retention, Overrides: w.Overrides}
	// The blocks of the source overlap each other only where samples came late; the target merges them as the source does.
	world.Overrides = append(slices.Clone(world.Overrides), transfer.RuleNoOverlap)
	var first *Stop
	for i, list := range [][]block.Entry{before, behind} {
		world.Source = list
		if i == 1 {
			world.Overrides = append(world.Overrides, transfer.RuleWithoutHoles)
		}
		for _, r := range transfer.MakePlan(world).Refusals {
			switch {
			case r.Rule == transfer.RuleRetentionHolds && w.expires(r.Block):
				expired = append(expired, r.Block)
			case r.Rule != transfer.RuleHeadIsKnown && r.Rule != transfer.RuleEndsBeforeHead && r.Rule != transfer.RuleWithoutHoles && first == nil:
				first = &Stop{r.Rule, fmt.Sprintf("block %s: %s", r.Block, r.Message)}
			}
		}
	}
	return first, expired
}

// entries are the parts as blocks of the source, up to S' and behind it.
func (w *World) entries(plan *seam.Plan) (before, behind []block.Entry) {
	source := w.source()
	for _, x := range plan.Parts {
		i := slices.IndexFunc(source, func(e block.Entry) bool { return e.Name == x.Source })
		if i < 0 || source[i].Meta == nil {
			continue
		}
		e := source[i]
		meta := *e.Meta
		meta.MinTime, meta.MaxTime = x.From, x.To
		if x.Side != seam.Whole {
			meta.Compaction.Parents, meta.Compaction.Sources = nil, nil
		}
		e.Meta, e.Verdict = &meta, block.OK
		if x.Side == seam.After || x.Side == seam.Late {
			behind = append(behind, e)
		} else {
			before = append(before, e)
		}
	}
	return before, behind
}

// expires says that the source's own retention deletes a block now.
func (w *World) expires(name string) bool {
	keeps, newest := w.SourceServer.Retention.Milliseconds, int64(0)
	for _, e := range w.source() {
		if e.Meta != nil {
			newest = max(newest, e.Meta.MaxTime)
		}
	}
	e := w.State.frozen(name)
	return keeps > 0 && e != nil && newest-e.Meta.MaxTime >= keeps
}
