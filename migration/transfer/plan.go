package transfer

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// World is all that a plan depends on.
type World struct {
	// Source is the source's blocks, as listed.
	Source []block.Entry
	// Target is the target's blocks, as listed.
	Target []block.Entry
	// Head is the running target server's head, nil where no server runs.
	Head *Head
	// TargetHasWAL says that the target's directory belongs to a server, running or not.
	TargetHasWAL bool
	// Retention is what the running server holds to. A zero is no limit.
	Retention Retention
	// Wanted are the blocks to install; empty: all. What is newer and not wanted leaves a hole.
	Wanted []string
	// Lost are blocks of the source whose time range a person gives up: they leave no hole.
	Lost []string
	// Overrides are names of rules that a person has switched off.
	Overrides []string
}

// Head is the target's head block. Times are Unix milliseconds.
type Head struct {
	MinTime int64
	MaxTime int64
	Empty   bool // it has taken no sample yet
	Bytes   int64
}

// Retention is what a server deletes by.
type Retention struct {
	Milliseconds int64
	Bytes        int64
}

// Plan is what may be done, in order, and what may not, and why.
type Plan struct {
	Steps      []Step    `json:"steps"`
	Present    []Step    `json:"present,omitempty"` // in the target already, as such or inside a compacted block
	Refusals   []Refusal `json:"refusals,omitempty"`
	Overridden []string  `json:"overridden,omitempty"`
}

// Step is the installation of one block.
type Step struct {
	Block   string `json:"block"`
	MinTime int64  `json:"minTime"`
	MaxTime int64  `json:"maxTime"`
	Bytes   int64  `json:"bytes"`
}

// Refusal is a block that must not be installed, the rule that says so, and its numbers.
type Refusal struct {
	Block   string `json:"block"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// MakePlan orders the installation of the source's blocks: newest first, without holes.
func MakePlan(w World) *Plan {
	p := &planner{World: w, plan: &Plan{}}
	order := slices.Clone(w.Source)
	slices.SortStableFunc(order, func(a, b block.Entry) int { return newer(&a, &b) })
	for i := range order {
		p.add(&order[i])
	}
	return p.plan
}

// newer orders blocks newest first; those without a meta.json come last, by name.
func newer(a, b *block.Entry) int {
	if a.Meta == nil || b.Meta == nil {
		return cmp.Or(unknown(a)-unknown(b), cmp.Compare(a.Name, b.Name))
	}
	return cmp.Or(cmp.Compare(b.Meta.MaxTime, a.Meta.MaxTime), cmp.Compare(b.Meta.MinTime, a.Meta.MinTime), cmp.Compare(a.Name, b.Name))
}

func unknown(e *block.Entry) int {
	if e.Meta == nil {
		return 1
	}
	return 0
}

// planner is one planning.
type planner struct {
	World
	plan *Plan
	hole *Refusal // the newest block that cannot be installed: what is older would leave a hole
}

func (p *planner) add(e *block.Entry) {
	if p.settled(e) {
		return
	}
	if refusal := p.refusal(e); refusal != nil {
		p.plan.Refusals = append(p.plan.Refusals, *refusal)
		p.leave(*refusal)
		return
	}
	p.plan.Steps = append(p.plan.Steps, step(e))
}

// settled says that there is nothing to install: the samples are in another block, given up, there already, or not wanted.
func (p *planner) settled(e *block.Entry) bool {
	switch e.Verdict {
	case block.Gone, block.Deletable, block.Superseded:
		return true
	}
	switch {
	case slices.Contains(p.Lost, e.Name):
		return true
	case e.Meta != nil && p.present(e):
		p.plan.Present = append(p.plan.Present, step(e))
		return true
	case len(p.Wanted) > 0 && !slices.Contains(p.Wanted, e.Name):
		p.leave(Refusal{Block: e.Name, Rule: "it is not wanted"})
		return true
	}
	return false
}

// leave notes the newest block that is not installed.
func (p *planner) leave(r Refusal) {
	if p.hole == nil {
		p.hole = &r
	}
}

// refusal is the first rule that a block breaks and nobody has switched off.
func (p *planner) refusal(e *block.Entry) *Refusal {
	for _, rule := range rules() {
		message := rule.broken(p, e)
		if message == "" {
			continue
		}
		if !rule.Overridable || !slices.Contains(p.Overrides, rule.Name) {
			return &Refusal{Block: e.Name, Rule: rule.Name, Message: message}
		}
		if !slices.Contains(p.plan.Overridden, rule.Name) {
			p.plan.Overridden = append(p.plan.Overridden, rule.Name)
		}
	}
	return nil
}

func step(e *block.Entry) Step {
	return Step{Block: e.Name, MinTime: e.Meta.MinTime, MaxTime: e.Meta.MaxTime, Bytes: e.Bytes}
}

// present says that the target has the block, or one that was compacted from all that the block was compacted from.
func (p *planner) present(e *block.Entry) bool {
	for _, t := range p.Target {
		if t.Name == e.Name && t.Verdict == block.OK {
			return true
		}
		if t.Meta == nil || t.Verdict != block.OK || len(e.Meta.Compaction.Sources) == 0 {
			continue
		}
		covers := func(id ulid.ULID) bool { return slices.Contains(t.Meta.Compaction.Sources, id) }
		if !slices.ContainsFunc(e.Meta.Compaction.Sources, func(id ulid.ULID) bool { return !covers(id) }) {
			return true
		}
	}
	return false
}

// newest is the end of the newest block that the target has or will have.
func (p *planner) newest() int64 {
	newest := int64(math.MinInt64)
	for _, t := range p.Target {
		if t.Meta != nil {
			newest = max(newest, t.Meta.MaxTime)
		}
	}
	for _, s := range p.plan.Steps {
		newest = max(newest, s.MaxTime)
	}
	return newest
}

// size is what the target has and will have, in bytes.
func (p *planner) size() (sum int64) {
	for _, t := range p.Target {
		sum += t.Bytes
	}
	for _, s := range p.plan.Steps {
		sum += s.Bytes
	}
	if p.Head != nil {
		sum += p.Head.Bytes
	}
	return sum
}

// Fprint prints a plan for people.
func (p *Plan) Fprint(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "STEP\tBLOCK\tFROM\tTO\tBYTES")
	for i, s := range p.Steps {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\n", i+1, s.Block, instant(s.MinTime), instant(s.MaxTime), s.Bytes)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range p.Present {
		fmt.Fprintf(out, "present: %s\n", s.Block)
	}
	for _, r := range p.Refusals {
		fmt.Fprintf(out, "refused: %s: %s: %s\n", r.Block, r.Rule, r.Message)
	}
	for _, name := range p.Overridden {
		fmt.Fprintf(out, "overridden: %s\n", name)
	}
	return nil
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
