package replica

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
)

// slack is how much more the other replica must have before it is chosen: what a minute brings, in short ranges a part of them. Each change
// from one to the other costs up to a scrape.
func slack(milliseconds int64) time.Duration {
	return min(time.Minute, time.Duration(milliseconds)*time.Millisecond/120)
}

// Cell is a range of time that one replica answers for, in Unix milliseconds, To not included.
type Cell struct {
	From   int64 `json:"from"`
	To     int64 `json:"to"`
	Member int   `json:"member"`
	// Why says in words why this one.
	Why    string  `json:"why"`
	Pieces []Piece `json:"pieces"`
}

// Piece is a block that was chosen.
type Piece struct {
	block.Entry
	// Pinned says that the replica was asked to hold it, Held that it was seen whole on the target's disk.
	Pinned bool `json:"pinned,omitempty"`
	Held   bool `json:"held,omitempty"`
}

// World is all that a choice depends on.
type World struct {
	// Names are what people call the two.
	Names [2]string
	// Blocks are what each of them has to give.
	Blocks [2][]block.Entry
	// Until is the time before which all samples of those that are reckoned with are in blocks.
	Until int64
	// Seam is S', 0 while it is not known: what is behind it stays with the replica that has it. Nothing is chosen behind End, if it is known.
	Seam, End int64
	// Cells were chosen earlier, in the order of time.
	Cells []Cell
	// Damaged are blocks that turned out not to be whole, Lost those that a person gives up.
	Damaged, Lost []string
}

// Choice is who answers for what.
type Choice struct {
	Cells []Cell
	// Until is the time before which everything is chosen.
	Until int64
	// Open are blocks that nobody can stand in for and that cannot be read: they are offered as they are, so that the move says so.
	Open []block.Entry
}

// RuleReachesBack is the name of the rule that a choice breaks when blocks of both replicas hold what is chosen already and what is not.
const RuleReachesBack = "replica_block_reaches_back"

// ReachesBackError says that no replica has a range apart from what was chosen earlier.
type ReachesBackError struct {
	Block    string
	From, To int64
}

func (e *ReachesBackError) Error() string {
	return fmt.Sprintf("%s: [%s, %s) is only in blocks that hold earlier samples, too, which may come from the other replica (block %s): both compacted while nobody moved anything; take back what was brought with --undo and begin again",
		RuleReachesBack, stamp(e.From), stamp(e.To), e.Block)
}

// group are blocks of both that belong to one range.
type group struct {
	from, to int64
	good     [2][]block.Entry
	bad      [2][]block.Entry // damaged, or given up
	reaching string           // a block that begins before what is chosen
}

// Choose chooses for every range that is not chosen yet and of which no sample is in a head any more.
func Choose(w World) (*Choice, error) {
	c := &Choice{Cells: slices.Clone(w.Cells), Until: w.Until}
	for _, e := range slices.Concat(w.Blocks[0], w.Blocks[1]) {
		if e.Meta == nil && e.Verdict == block.Damaged { // nobody knows which range it has
			c.Open = append(c.Open, w.kept(e)...)
		}
	}
	chosen, prefer := int64(math.MinInt64), 0
	if n := len(w.Cells); n > 0 {
		chosen, prefer = w.Cells[n-1].To, w.Cells[n-1].Member
	}
	for _, g := range w.groups(chosen) {
		if w.End > 0 && g.from >= w.End {
			break
		}
		if g.to > w.Until {
			c.Until = min(w.Until, g.from)
			break
		}
		cell := w.choose(g, prefer)
		switch {
		case cell != nil:
			c.Cells, prefer = append(c.Cells, *cell), cell.Member
		case g.reaching != "":
			return nil, &ReachesBackError{g.reaching, g.from, g.to}
		default:
			c.Open = append(c.Open, w.kept(slices.Concat(g.bad[0], g.bad[1])...)...)
		}
	}
	c.Until = max(c.Until, chosen)
	return c, nil
}

// kept leaves out what a person gives up.
func (w *World) kept(list ...block.Entry) []block.Entry {
	return slices.DeleteFunc(list, func(e block.Entry) bool { return slices.Contains(w.Lost, e.Name) })
}

// groups sorts what is not chosen yet into ranges.
func (w *World) groups(chosen int64) []group {
	type owned struct {
		block.Entry
		member int
	}
	var all []owned
	for m, list := range w.Blocks {
		for _, e := range list {
			if counts(&e) && e.Meta.MaxTime > chosen {
				all = append(all, owned{e, m})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b owned) int {
		return cmp.Or(cmp.Compare(max(a.Meta.MinTime, chosen), max(b.Meta.MinTime, chosen)), cmp.Compare(a.member, b.member))
	})
	var groups []group
	for _, e := range all {
		from := max(e.Meta.MinTime, chosen)
		if n := len(groups); n == 0 || from >= groups[n-1].to {
			groups = append(groups, group{from: from, to: e.Meta.MaxTime})
		}
		g := &groups[len(groups)-1]
		g.to = max(g.to, e.Meta.MaxTime)
		switch {
		case w.unfit(&e.Entry):
			g.bad[e.member] = append(g.bad[e.member], e.Entry)
		case e.Meta.MinTime < chosen && w.mixed(&e.Entry, e.member):
			g.reaching = e.Name
		default:
			g.good[e.member] = append(g.good[e.member], e.Entry)
		}
	}
	return groups
}

// mixed says that a block holds a range that was chosen from the other replica. One whose earlier samples are its own replica's is taken: the
// seam knows by what it was made of which of them are on the target.
func (w *World) mixed(e *block.Entry, member int) bool {
	return slices.ContainsFunc(w.Cells, func(c Cell) bool { return c.Member != member && c.From < e.Meta.MaxTime && c.To > e.Meta.MinTime })
}

// counts says that an entry stands for a range of time: its samples are not in another block.
func counts(e *block.Entry) bool {
	return e.Meta != nil && e.Verdict != block.Gone && e.Verdict != block.Deletable && e.Verdict != block.Superseded
}

func (w *World) unfit(e *block.Entry) bool {
	return e.Verdict != block.OK || slices.Contains(w.Damaged, e.Name) || slices.Contains(w.Lost, e.Name)
}

// cell takes a range from one replica.
func (g *group) cell(member int, why string) *Cell {
	x := &Cell{From: g.from, To: g.to, Member: member, Why: why}
	for _, e := range g.good[member] {
		x.Pieces = append(x.Pieces, Piece{Entry: e})
	}
	return x
}

// choose chooses one of two; nil: neither has the range.
func (w *World) choose(g group, prefer int) *Cell {
	for m := range 2 { // what is damaged is replaced only by what is whole; given up is given up
		if damaged := w.damaged(g.bad[m]); damaged != "" {
			if !w.whole(g, 1-m) {
				return nil
			}
			return g.cell(1-m, fmt.Sprintf("block %s of %s is damaged", damaged, w.Names[m]))
		}
	}
	switch {
	case len(g.good[0])+len(g.good[1]) == 0:
		return nil
	case len(g.good[0]) == 0:
		return g.cell(1, w.Names[0]+" has nothing there")
	case len(g.good[1]) == 0:
		return g.cell(0, w.Names[1]+" has nothing there")
	case w.Seam > 0 && g.from >= w.Seam:
		return g.cell(prefer, "it lies behind the seam, which is of one replica")
	}
	return w.better(g, prefer)
}

// whole says that a replica has all of a range of which the other one has something damaged.
func (w *World) whole(g group, member int) bool {
	theirs := samples(g.good[1-member]) + samples(g.bad[1-member])
	return w.damaged(g.bad[member]) == "" && len(g.good[member]) > 0 && less(samples(g.good[member]), theirs, g.to-g.from) <= slack(g.to-g.from)
}

// better chooses by the numbers of samples.
func (w *World) better(g group, prefer int) *Cell {
	other := 1 - prefer
	mine, theirs := samples(g.good[prefer]), samples(g.good[other])
	if lacks := less(mine, theirs, g.to-g.from); lacks > slack(g.to-g.from) {
		return g.cell(other, fmt.Sprintf("%s has %s there, which is as if it missed %s", w.Names[prefer], fewer(mine, theirs), lacks.Round(time.Second)))
	}
	if theirs < mine {
		return g.cell(prefer, fmt.Sprintf("%s has %s there", w.Names[other], fewer(theirs, mine)))
	}
	return g.cell(prefer, "both have it")
}

// damaged names the first block that is damaged and not given up.
func (w *World) damaged(list []block.Entry) string {
	for _, e := range list {
		if !slices.Contains(w.Lost, e.Name) {
			return e.Name
		}
	}
	return ""
}

func samples(list []block.Entry) (n uint64) {
	for _, e := range list {
		n += e.Meta.Stats.NumSamples
	}
	return n
}

// less is for how long a replica with so many samples would have missed everything that the other one has more.
func less(mine, theirs uint64, milliseconds int64) time.Duration {
	if theirs <= mine {
		return 0
	}
	return time.Duration(float64(theirs-mine) / float64(theirs) * float64(milliseconds) * float64(time.Millisecond))
}

func fewer(mine, theirs uint64) string {
	return fmt.Sprintf("%d of %d samples", mine, theirs)
}

// Substitute puts blocks of the other replica in the place of those that are damaged or given up and not on the target's disk yet. Dropped
// are the blocks that are wanted no more; stuck says for each that nobody stands in for why that is so.
func Substitute(w World) (cells []Cell, dropped []string, stuck []string) {
	for i, c := range w.Cells {
		if !slices.ContainsFunc(c.Pieces, w.replaceable) {
			cells = append(cells, c)
			continue
		}
		before := int64(math.MinInt64)
		if i > 0 {
			before = w.Cells[i-1].To
		}
		parts, gone, why := w.substitute(c, before)
		cells, dropped, stuck = append(cells, parts...), append(dropped, gone...), append(stuck, why...)
	}
	return cells, dropped, stuck
}

func (w *World) replaceable(p Piece) bool { return !p.Held && w.unfit(&p.Entry) }

// substitute mends one cell: piece by piece, or as a whole where nothing of it is on the target's disk.
func (w *World) substitute(c Cell, before int64) (cells []Cell, dropped, stuck []string) {
	other := 1 - c.Member
	from := before
	for _, p := range c.Pieces {
		if !w.replaceable(p) {
			cells = append(cells, Cell{From: max(from, p.Meta.MinTime), To: p.Meta.MaxTime, Member: c.Member, Why: c.Why, Pieces: []Piece{p}})
			from = p.Meta.MaxTime
			continue
		}
		x, why := w.fill(other, from, p.Meta.MaxTime, []block.Entry{p.Entry})
		if x == nil && slices.Contains(w.Lost, p.Name) {
			dropped = append(dropped, p.Name) // nobody has it, and a person knows
		} else if x == nil {
			stuck = append(stuck, why)
			cells = append(cells, Cell{From: max(from, p.Meta.MinTime), To: p.Meta.MaxTime, Member: c.Member, Why: c.Why, Pieces: []Piece{p}})
		} else {
			cells, dropped = append(cells, *x), append(dropped, p.Name)
		}
		from = p.Meta.MaxTime
	}
	if len(stuck) == 0 || slices.ContainsFunc(c.Pieces, func(p Piece) bool { return p.Held }) {
		return cells, dropped, stuck
	}
	var all []block.Entry
	for _, p := range c.Pieces {
		all = append(all, p.Entry)
	}
	if x, _ := w.fill(other, before, c.To, all); x != nil {
		return []Cell{*x}, names(all), nil
	}
	return cells, dropped, stuck
}

// fill takes a range from one replica in the place of some blocks of the other one, if it holds it whole and apart.
func (w *World) fill(member int, from, to int64, instead []block.Entry) (*Cell, string) {
	x := &Cell{From: max(from, instead[0].Meta.MinTime), To: to, Member: member, Why: fmt.Sprintf("block %s of %s cannot be had", strings.Join(names(instead), ", "), w.Names[1-member])}
	given := !slices.ContainsFunc(instead, func(e block.Entry) bool { return w.unfit(&e) && !slices.Contains(w.Lost, e.Name) })
	what := fmt.Sprintf("[%s, %s)", stamp(x.From), stamp(to))
	var found []block.Entry
	for _, e := range w.Blocks[member] {
		if !counts(&e) || e.Meta.MaxTime <= max(from, x.From) || e.Meta.MinTime >= to {
			continue
		}
		switch {
		case w.unfit(&e):
			return nil, fmt.Sprintf("%s: block %s of %s is damaged, too", what, e.Name, w.Names[member])
		case e.Meta.MinTime < from || e.Meta.MaxTime > to:
			return nil, fmt.Sprintf("%s: block %s of %s goes beyond it", what, e.Name, w.Names[member])
		}
		found = append(found, e)
		x.From = min(x.From, e.Meta.MinTime)
		x.Pieces = append(x.Pieces, Piece{Entry: e})
	}
	lacks := less(samples(found), samples(instead), to-x.From)
	switch {
	case len(found) == 0:
		return nil, fmt.Sprintf("%s: %s has nothing there", what, w.Names[member])
	case lacks > slack(to-x.From) && !given:
		return nil, fmt.Sprintf("%s: %s has %s there, which is as if it missed %s", what, w.Names[member], fewer(samples(found), samples(instead)), lacks.Round(time.Second))
	}
	slices.SortFunc(x.Pieces, func(a, b Piece) int { return cmp.Compare(a.Meta.MinTime, b.Meta.MinTime) })
	return x, ""
}

func names(list []block.Entry) (all []string) {
	for _, e := range list {
		all = append(all, e.Name)
	}
	return all
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }

// String is what people read: who answers for what, and why. Neighbours of one replica for one reason are one line.
func (c *Choice) String(names [2]string) string {
	var b strings.Builder
	for i := 0; i < len(c.Cells); {
		k, blocks := i, 0
		for k < len(c.Cells) && c.Cells[k].Member == c.Cells[i].Member && c.Cells[k].Why == c.Cells[i].Why {
			blocks += len(c.Cells[k].Pieces)
			k++
		}
		fmt.Fprintf(&b, "%s to %s from %s (blocks: %d): %s\n", stamp(c.Cells[i].From), stamp(c.Cells[k-1].To), names[c.Cells[i].Member], blocks, c.Cells[i].Why)
		i = k
	}
	return b.String()
}
