package seam

import (
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// Side says how a part is taken from its block.
type Side string

// The sides. All times are Unix milliseconds, ranges are half open.
const (
	// Whole is a block that ends at or before S': it is installed as it is.
	Whole Side = "whole"
	// Before is piece A: all samples before S' of a block that goes on behind it.
	Before Side = "before"
	// After is piece B, one for each round: per series, the samples behind S' that the target lacks, which are those before its
	// first own one and those in its gaps.
	After Side = "after"
	// Late is what the target lacks before S' of a block that was made of ones it has, and of others: out-of-order samples
	// that came late, or a block that was compacted with older ones before it was seen.
	Late Side = "late"
)

// Part is what is installed of one block of the source.
type Part struct {
	Source string `json:"source"` // name of the block on the source
	Side   Side   `json:"side"`
	Round  int    `json:"round,omitempty"` // of a part behind S': its place in World.Rounds
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Bytes  int64  `json:"bytes"` // of the source's block
	// Made are the blocks whose samples the part brings.
	Made []ulid.ULID `json:"made"`
}

// Done is a part that the target has.
type Done struct {
	Part
	// Block is the installed block's name; empty: the target lacked nothing of the part.
	Block string `json:"block,omitempty"`
	// Filled are the gaps of the target in which the piece has samples.
	Filled []block.Gap `json:"filled,omitempty"`
}

// Round is a range behind S' in which the source's samples fill what the target lacks. The first begins at S'. Each other one begins
// before the end of the one before, so that a gap over that end has both its borders in one of them.
type Round struct {
	From int64 `json:"from"`
	End  int64 `json:"end"`
	// Parts are those of the round as they were when the first of them was cut; empty before. What the source compacts later
	// brings no others.
	Parts []Part `json:"parts,omitempty"`
}

// Later is a block that lay behind S' when it was seen: a block that was made of it needs not be taken for the sake of what
// is before it.
type Later struct {
	ID   ulid.ULID `json:"id"`
	From int64     `json:"from"`
}

// Head is a server's head. Range is the length of its blocks (--storage.tsdb.min-block-duration), 0 if that is not known.
type Head struct {
	Min   int64
	Max   int64
	Empty bool
	Range int64
}

// World is all that a plan depends on.
type World struct {
	// Source are the source's blocks: those that are listed, and those that are held for us since.
	Source []block.Entry
	// Held are names of blocks that are on the target's disk already.
	Held []string
	// Target are the target's blocks.
	Target []block.Entry
	// Done are the parts that were cut and installed, or found empty.
	Done []Done
	// Rounds are those behind S', in their order; none while nobody knows where the first ends.
	Rounds []Round
	// Beyond are blocks behind S' that were seen.
	Beyond []Later
	// Seam is S'. 0: not known yet.
	Seam int64
	// SourceHead is nil where no server writes the source.
	SourceHead *Head
	TargetHead *Head
	// OutOfOrder is how late a sample may come on the source (out_of_order_time_window).
	OutOfOrder int64
	// Lost are blocks whose samples a person gives up.
	Lost []string
}

// Range is a part of time.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// String is both ends, or the end alone where nobody knows the beginning.
func (r Range) String() string {
	if r.From == 0 {
		return "until " + instant(r.To)
	}
	return "from " + instant(r.From) + " to " + instant(r.To)
}

// WaitKind names what is waited for.
type WaitKind string

// The kinds of waits.
const (
	WaitTargetSample WaitKind = "target_has_no_sample"     // its first scrape gives S'
	WaitSourceCut    WaitKind = "source_head_not_cut"      // samples that are needed are in the source's head
	WaitSettled      WaitKind = "target_head_may_go_lower" // the head still takes older samples of new series
	WaitTargetCut    WaitKind = "target_head_not_cut"      // a part would end inside of the target's head
	WaitLate         WaitKind = "late_samples_may_come"    // the source's out-of-order window is open
	WaitEnd          WaitKind = "coverage_not_equal"       // nobody said yet that both servers scrape the same
)

// Wait is something that has to happen first.
type Wait struct {
	Kind WaitKind `json:"kind"`
	Range
	// At is about when it happens; 0: that cannot be said.
	At int64 `json:"at,omitempty"`
}

// Plan is what is to be done now, and what is waited for.
type Plan struct {
	// Stage are the blocks of the source that have to be on the target's disk, newest first.
	Stage []string `json:"stage,omitempty"`
	// Parts are all that are missing on the target, in the order of their installation: newest first up to S', then those
	// behind it, round by round, then late ones.
	Parts []Part `json:"parts,omitempty"`
	// Ready says that the first part may be cut and installed now. Parts of one round are all cut before one of them is
	// installed: what is installed would count as the target's own.
	Ready bool `json:"ready"`
	// Waits are in the order in which they end.
	Waits []Wait `json:"waits,omitempty"`
	// Damaged are blocks that are needed and cannot be read.
	Damaged []string `json:"damaged,omitempty"`
	// Holes are ranges before S' of which the source has no block: nobody has samples there.
	Holes []Range `json:"holes,omitempty"`
	// Replaced are held blocks that are needed no more: a newer block holds their samples and others.
	Replaced []string `json:"replaced,omitempty"`
}

// Complete says that the target has everything.
func (p *Plan) Complete() bool {
	return len(p.Parts) == 0 && len(p.Waits) == 0 && len(p.Damaged) == 0
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }

// End is where the last round ends, 0 before the first one.
func (w *World) End() int64 {
	if len(w.Rounds) == 0 {
		return 0
	}
	return w.Rounds[len(w.Rounds)-1].End
}
