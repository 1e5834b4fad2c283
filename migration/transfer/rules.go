package transfer

import (
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// The rules of installation. Their names are what a person sees, and names to override one.
const (
	RuleBlockIsWhole      = "source_block_is_whole"
	RuleEndsBeforeHead    = "block_ends_before_target_head"
	RuleHeadIsKnown       = "target_head_is_known"
	RuleWithoutHoles      = "newest_first_without_holes"
	RuleNoParentWithChild = "no_parent_with_child"
	RuleNoOverlap         = "no_overlap_with_target_block"
	RuleRetentionHolds    = "retention_holds_block"
)

// Rule is a named condition of an installation.
type Rule struct {
	Name string
	// Says is the rule in words.
	Says string
	// Overridable says that a person may switch it off.
	Overridable bool

	broken func(p *planner, e *block.Entry) string
}

// Rules lists the rules in the order in which they are asked.
func Rules() []Rule { return rules() }

func rules() []Rule {
	return []Rule{
		{RuleBlockIsWhole, "a damaged block, or one of an unknown version, is not installed: the server would not start again", false, (*planner).notWhole},
		{RuleNoParentWithChild, "a block and one that was compacted from it are never together: the server deletes every parent", false, (*planner).related},
		{RuleHeadIsKnown, "where the end of a block matters, the head of the target must be known and have samples", true, (*planner).headUnknown},
		{RuleEndsBeforeHead, "a block ends before the target's head begins: else the target drops its own samples at its next restart", false, (*planner).insideHead},
		{RuleNoOverlap, "a block overlaps no block of the target: the server would merge them and keep a random one of two samples", true, (*planner).overlaps},
		{RuleRetentionHolds, "the target's retention does not delete the block within a minute", true, (*planner).retentionDeletes},
		{RuleWithoutHoles, "a block is installed when all that are newer are: a hole answers queries with nothing and no error", true, (*planner).leavesHole},
	}
}

func (p *planner) notWhole(e *block.Entry) string {
	if e.Verdict == block.OK && e.Meta != nil {
		return ""
	}
	text := fmt.Sprintf("its verdict is %s", e.Verdict)
	if e.Damage != nil {
		text += fmt.Sprintf(": %v", e.Damage)
	}
	return text + "; mend it, or give its time range up by name"
}

func (p *planner) related(e *block.Entry) string {
	for _, t := range p.Target {
		if t.Meta == nil {
			continue
		}
		if slices.ContainsFunc(t.Meta.Compaction.Parents, func(d block.Desc) bool { return d.ULID == e.Meta.ULID }) {
			return fmt.Sprintf("block %s of the target names it as a parent", t.Name)
		}
	}
	there := func(id ulid.ULID) bool {
		return slices.ContainsFunc(p.Target, func(t block.Entry) bool { return t.Meta != nil && t.Meta.ULID == id }) ||
			slices.ContainsFunc(p.plan.Steps, func(s Step) bool { return s.Block == id.String() })
	}
	for _, parent := range e.Meta.Compaction.Parents {
		if there(parent.ULID) {
			return fmt.Sprintf("it names block %s of the target as a parent, which the server would delete", parent.ULID)
		}
	}
	return ""
}

func (p *planner) headUnknown(*block.Entry) string {
	switch {
	case p.Head == nil && p.TargetHasWAL:
		return "the target has a write-ahead log, and no server says where its head begins; start it, and name its address"
	case p.Head != nil && p.Head.Empty:
		return "the target's head has no sample yet; wait for its first scrape"
	}
	return ""
}

func (p *planner) insideHead(e *block.Entry) string {
	if p.Head == nil || p.Head.Empty || e.Meta.MaxTime <= p.Head.MinTime {
		return ""
	}
	return fmt.Sprintf("it ends at %d (%s), the target's head begins at %d (%s), %d ms earlier", e.Meta.MaxTime, instant(e.Meta.MaxTime), p.Head.MinTime,
		instant(p.Head.MinTime), e.Meta.MaxTime-p.Head.MinTime)
}

func (p *planner) overlaps(e *block.Entry) string {
	for _, t := range p.Target {
		if t.Meta != nil && e.Meta.MinTime < t.Meta.MaxTime && t.Meta.MinTime < e.Meta.MaxTime {
			return fmt.Sprintf("it is from %d to %d, block %s of the target from %d to %d", e.Meta.MinTime, e.Meta.MaxTime, t.Name, t.Meta.MinTime, t.Meta.MaxTime)
		}
	}
	return ""
}

// retentionDeletes follows BeyondTimeRetention and BeyondSizeRetention of the library (tsdb/db.go).
func (p *planner) retentionDeletes(e *block.Entry) string {
	if age := p.newest() - e.Meta.MaxTime; p.Retention.Milliseconds > 0 && p.newest() > e.Meta.MaxTime && age >= p.Retention.Milliseconds {
		return fmt.Sprintf("it ends %d ms before the newest block, and the target keeps %d ms", age, p.Retention.Milliseconds)
	}
	if sum := p.size() + e.Bytes; p.Retention.Bytes > 0 && sum > p.Retention.Bytes {
		return fmt.Sprintf("with it the target has %d bytes, and it keeps %d", sum, p.Retention.Bytes)
	}
	return ""
}

func (p *planner) leavesHole(*block.Entry) string {
	if p.hole == nil {
		return ""
	}
	return fmt.Sprintf("the newer block %s is not installed (%s)", p.hole.Block, p.hole.Rule)
}
