package seam

import (
	"cmp"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// MakePlan says what is missing on the target, in which order it goes in, and what is waited for.
func MakePlan(w World) *Plan {
	p := &planner{World: w, plan: &Plan{}}
	upTo := func(m *block.Meta) bool { return w.Seam == 0 || m.MinTime < w.Seam }
	before := p.layer(p.had(upTo, w.Seam, Whole, Before, Late), upTo, p.before)
	slices.SortStableFunc(before, order)
	var after []Part
	for n := range w.Rounds {
		after = append(after, p.round(n)...)
	}
	late := slices.IndexFunc(before, func(x Part) bool { return x.Side == Late })
	if late < 0 {
		late = len(before)
	}
	p.plan.Parts = slices.Concat(before[:late], after, before[late:])
	p.stage()
	p.holes()
	p.wait(before[:late], after)
	return p.plan
}

// round are the parts of a round that the target does not have. They are frozen when the first of them is cut.
func (p *planner) round(n int) (parts []Part) {
	r := p.Rounds[n]
	had := p.hadOnly(n, After)
	if len(r.Parts) == 0 {
		around := func(m *block.Meta) bool { return m.MaxTime > r.From && m.MinTime < r.End }
		parts = p.layer(p.apart(had, around, r.End), around, func(e *block.Entry, fresh []ulid.ULID, _ bool) Part {
			return Part{Source: e.Name, Side: After, Round: n, From: max(e.Meta.MinTime, r.From), To: min(e.Meta.MaxTime, r.End), Bytes: e.Bytes, Made: fresh}
		})
		slices.SortStableFunc(parts, order)
		return parts
	}
	for _, x := range r.Parts {
		if slices.ContainsFunc(x.Made, func(id ulid.ULID) bool { return !had[id] }) {
			parts = append(parts, x)
		}
	}
	return parts
}

// order is newest first; late parts come last, because they need the others to be there.
func order(a, b Part) int {
	late := func(x Part) int {
		if x.Side == Late {
			return 1
		}
		return 0
	}
	return cmp.Or(late(a)-late(b), cmp.Compare(b.To, a.To), cmp.Compare(b.From, a.From), cmp.Compare(a.Source, b.Source))
}

type planner struct {
	World
	plan *Plan
}

// made are the blocks that a block was made of, itself if it says nothing.
func made(m *block.Meta) []ulid.ULID {
	if len(m.Compaction.Sources) == 0 {
		return []ulid.ULID{m.ULID}
	}
	return m.Compaction.Sources
}

// had is what the target has before S': by its own list, and by the pieces in it.
func (p *planner) had(concerns func(*block.Meta) bool, until int64, sides ...Side) map[ulid.ULID]bool {
	had := p.apart(p.hadOnly(0, sides...), concerns, until)
	for id := range p.there() {
		had[id] = true
	}
	return had
}

// apart adds what nobody wants of a layer that ends at a time: what is given up, and blocks that lie wholly outside.
func (p *planner) apart(had map[ulid.ULID]bool, concerns func(*block.Meta) bool, until int64) map[ulid.ULID]bool {
	for _, e := range p.Source {
		if e.Meta != nil && (slices.Contains(p.Lost, e.Name) || !concerns(e.Meta)) {
			for _, id := range made(e.Meta) {
				had[id] = true
			}
		}
	}
	for _, x := range p.Beyond {
		if until > 0 && x.From >= until {
			had[x.ID] = true
		}
	}
	return had
}

// there is what the target's blocks were made of.
func (p *planner) there() map[ulid.ULID]bool {
	there := map[ulid.ULID]bool{}
	for _, t := range p.Target {
		if t.Meta == nil || t.Verdict != block.OK {
			continue
		}
		there[t.Meta.ULID] = true
		for _, id := range t.Meta.Compaction.Sources {
			there[id] = true
		}
	}
	return there
}

// hadOnly is what parts of some sides and of a round brought. A piece counts while the target has it, or a block made of it.
func (p *planner) hadOnly(round int, sides ...Side) map[ulid.ULID]bool {
	had, there := map[ulid.ULID]bool{}, p.there()
	for _, d := range p.Done {
		id, err := ulid.ParseStrict(d.Block)
		if !slices.Contains(sides, d.Side) || d.Round != round || d.Block != "" && (err != nil || !there[id]) {
			continue
		}
		for _, id := range d.Made {
			had[id] = true
		}
	}
	return had
}

// layer chooses blocks so that each block that any of them was made of is taken once. What is held is kept, unless a
// block that is not held has it and more.
func (p *planner) layer(had map[ulid.ULID]bool, concerns func(*block.Meta) bool, part func(e *block.Entry, fresh []ulid.ULID, partial bool) Part) []Part {
	held, others := p.candidates(concerns)
	var parts []Part
	take := func(e *block.Entry) bool {
		all := made(e.Meta)
		fresh := slices.DeleteFunc(slices.Clone(all), func(id ulid.ULID) bool { return had[id] })
		if len(fresh) == 0 {
			return false
		}
		parts = append(parts, part(e, fresh, len(fresh) < len(all)))
		for _, id := range fresh {
			had[id] = true
		}
		return true
	}
	for _, e := range others {
		if !inSmaller(e, held, others, had) {
			take(e)
		}
	}
	for _, e := range held {
		if !take(e) && replaced(parts, made(e.Meta)) {
			p.plan.Replaced = append(p.plan.Replaced, e.Name)
		}
	}
	return p.sound(parts)
}

// inSmaller says that all that a block brings is in smaller ones, of which something is on the target's disk already: then
// those travel, and not everything again. Of two blocks one holds the other, or they have nothing in common.
func inSmaller(e *block.Entry, held, others []*block.Entry, had map[ulid.ULID]bool) bool {
	inHeld, smaller := map[ulid.ULID]bool{}, map[ulid.ULID]bool{}
	n := len(made(e.Meta))
	for _, x := range held {
		if len(made(x.Meta)) <= n {
			note(inHeld, x)
		}
	}
	for _, x := range others {
		if len(made(x.Meta)) < n {
			note(smaller, x)
		}
	}
	begun := false
	for _, id := range made(e.Meta) {
		here := had[id] || inHeld[id]
		if !here && !smaller[id] {
			return false
		}
		begun = begun || here
	}
	return begun
}

// note takes what a block was made of.
func note(into map[ulid.ULID]bool, e *block.Entry) {
	for _, id := range made(e.Meta) {
		into[id] = true
	}
}

// replaced says that a chosen part brings what a block was made of.
func replaced(parts []Part, ids []ulid.ULID) bool {
	return slices.ContainsFunc(parts, func(x Part) bool {
		return slices.ContainsFunc(ids, func(id ulid.ULID) bool { return slices.Contains(x.Made, id) })
	})
}

// candidates are the blocks that concern a layer, those made of most blocks first.
func (p *planner) candidates(concerns func(*block.Meta) bool) (held, others []*block.Entry) {
	for i := range p.Source {
		e := &p.Source[i]
		isHeld := slices.Contains(p.Held, e.Name)
		switch {
		case slices.Contains(p.Lost, e.Name) || e.Verdict == block.Gone || e.Verdict == block.Deletable:
		case e.Verdict == block.Superseded && !isHeld:
		case e.Meta == nil:
			if !slices.Contains(p.plan.Damaged, e.Name) {
				p.plan.Damaged = append(p.plan.Damaged, e.Name)
			}
		case !concerns(e.Meta):
		case isHeld:
			held = append(held, e)
		default:
			others = append(others, e)
		}
	}
	most := func(a, b *block.Entry) int {
		return cmp.Or(cmp.Compare(len(made(b.Meta)), len(made(a.Meta))), cmp.Compare(a.Name, b.Name))
	}
	slices.SortStableFunc(held, most)
	slices.SortStableFunc(others, most)
	return held, others
}

// sound notes parts whose block cannot be read.
func (p *planner) sound(parts []Part) []Part {
	for _, x := range parts {
		e := p.Source[slices.IndexFunc(p.Source, func(e block.Entry) bool { return e.Name == x.Source })]
		bad := e.Verdict == block.Damaged || e.Verdict == block.Unsupported
		if bad && !slices.Contains(p.Held, e.Name) && !slices.Contains(p.plan.Damaged, e.Name) {
			p.plan.Damaged = append(p.plan.Damaged, e.Name)
		}
	}
	return parts
}

func (p *planner) before(e *block.Entry, fresh []ulid.ULID, partial bool) Part {
	x := Part{Source: e.Name, Side: Whole, From: e.Meta.MinTime, To: e.Meta.MaxTime, Bytes: e.Bytes, Made: fresh}
	if p.Seam > 0 && x.To > p.Seam {
		x.Side, x.To = Before, p.Seam
	}
	if partial {
		x.Side = Late
	}
	return x
}

// stage lists what has to be on the target's disk: a block that is needed for two parts once.
func (p *planner) stage() {
	for _, x := range p.plan.Parts {
		if !slices.Contains(p.Held, x.Source) && !slices.Contains(p.plan.Stage, x.Source) {
			p.plan.Stage = append(p.plan.Stage, x.Source)
		}
	}
}

// holes are ranges between blocks of the source, up to S'.
func (p *planner) holes() {
	var metas []*block.Meta
	for i := range p.Source {
		if m := p.Source[i].Meta; m != nil {
			metas = append(metas, m)
		}
	}
	slices.SortFunc(metas, func(a, b *block.Meta) int { return cmp.Compare(a.MinTime, b.MinTime) })
	for i, at := 1, int64(0); i < len(metas); i++ {
		at = max(metas[i-1].MaxTime, at)
		if metas[i].MinTime > at && (p.Seam == 0 || at < p.Seam) {
			p.plan.Holes = append(p.plan.Holes, Range{at, metas[i].MinTime})
		}
	}
}
