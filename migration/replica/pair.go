package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// Member is one of two replicas.
type Member struct {
	// Name is its data directory or the address of its agent.
	Name   string
	Source transfer.Source
	Server move.Server
}

// Options say of which two a Pair is made.
type Options struct {
	Members [2]Member
	// StateDir is the folder of the move; what was chosen is written there, too. Target is the data directory that blocks go to.
	StateDir, Target string
	// Lost are blocks that a person gives up: the other replica stands in, whatever it has.
	Lost []string
	// Patience is how long a replica may be silent before the other one is chosen without it; default 10 minutes.
	Patience time.Duration
	// LookOnly writes nothing down.
	LookOnly bool
	// Tell is told what was chosen, and what changed; nil: nobody.
	Tell func(text string)
}

// Pair is two replicas as one transfer.Source and one move.Server.
type Pair struct {
	o     Options
	names [2]string

	mu     sync.Mutex
	state  *state
	open   []block.Entry // unreadable, and nobody stands in
	until  int64         // everything before is chosen
	heads  [2]*transfer.Observation
	silent [2]time.Time // since when a server does not answer
	mute   [2]time.Time // since when a source does not
	gone   [2]bool      // given up in this run
	told   map[string]bool
}

var (
	_ transfer.Source = (*Pair)(nil)
	_ move.Server     = (*Pair)(nil)
)

// New makes a Pair. It reads what was chosen earlier and asks nobody.
func New(o Options) (*Pair, error) {
	if o.Patience <= 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	p := &Pair{o: o, names: [2]string{o.Members[0].Name, o.Members[1].Name}, until: math.MinInt64, told: map[string]bool{}}
	if p.names[0] == p.names[1] {
		return nil, fmt.Errorf("both replicas are %s: a pair is two servers", p.names[0])
	}
	var err error
	if p.state, err = readState(o.StateDir, p.names); err != nil {
		return nil, err
	}
	return p, nil
}

// Name is what a move calls both.
func (p *Pair) Name() string { return p.names[0] + " and " + p.names[1] }

// Choice is what is chosen now.
func (p *Pair) Choice() *Choice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &Choice{Cells: slices.Clone(p.state.Cells), Until: p.until, Open: slices.Clone(p.open)}
}

// Observe asks both servers. The head of the pair begins where nothing is chosen yet: what is before is in blocks that are listed. One
// that is silent for too long is not reckoned with.
func (p *Pair) Observe(ctx context.Context) (*transfer.Observation, error) {
	var seen [2]*transfer.Observation
	var errs [2]error
	var wait sync.WaitGroup
	for m := range 2 {
		wait.Go(func() { seen[m], errs[m] = p.o.Members[m].Server.Observe(ctx) })
	}
	wait.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range 2 {
		if errs[m] == nil {
			p.silent[m] = time.Time{}
		} else if p.silent[m].IsZero() {
			p.silent[m] = time.Now()
		}
		p.heads[m] = seen[m]
		if errs[m] != nil && !p.without(m) {
			return nil, fmt.Errorf("asking the replica %s (it is waited for until %s): %w", p.names[m], p.silent[m].Add(p.o.Patience).UTC().Format("15:04:05"), errs[m])
		}
	}
	if seen[0] == nil && seen[1] == nil {
		return nil, errors.Join(errs[:]...)
	}
	return p.merge(seen), nil
}

// without says that a server is not reckoned with. The lock is held.
func (p *Pair) without(m int) bool {
	return p.gone[m] || !p.silent[m].IsZero() && time.Since(p.silent[m]) >= p.o.Patience
}

// merge is what both are as one: of limits the wider one, because what one deletes the other may hold.
func (p *Pair) merge(seen [2]*transfer.Observation) *transfer.Observation {
	var one *transfer.Observation
	for _, o := range seen {
		switch {
		case o == nil:
		case one == nil:
			c := *o
			one = &c
		default:
			one.Retention.Milliseconds = wider(one.Retention.Milliseconds, o.Retention.Milliseconds)
			one.Retention.Bytes = wider(one.Retention.Bytes, o.Retention.Bytes)
			one.Head.MaxTime = max(one.Head.MaxTime, o.Head.MaxTime)
			one.Head.Empty = one.Head.Empty && o.Head.Empty
		}
	}
	one.Head.MinTime = p.until
	return one
}

// wider is the larger of two limits; 0 is none.
func wider(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// BlockRange is the length of the blocks of both, in milliseconds.
func (p *Pair) BlockRange(ctx context.Context) (int64, error) {
	var lengths []int64
	for m := range 2 {
		p.mu.Lock()
		out := p.without(m)
		p.mu.Unlock()
		if out {
			continue
		}
		n, err := p.o.Members[m].Server.BlockRange(ctx)
		if err != nil {
			return 0, err
		}
		lengths = append(lengths, n)
	}
	if len(lengths) == 0 {
		return 0, errors.New("neither replica answers")
	}
	return lengths[0], nil
}

// Blocks chooses what can be chosen now and lists all that was. A replica whose blocks are still needed and that does not answer is an
// error; one that brought all that it is to bring is not missed.
func (p *Pair) Blocks(ctx context.Context) (*block.Listing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.choose(w); err != nil {
		return nil, err
	}
	list := &block.Listing{}
	for _, c := range p.state.Cells {
		for _, piece := range c.Pieces {
			list.Blocks = append(list.Blocks, current(piece.Entry, w.Blocks[c.Member]))
		}
	}
	list.Blocks = append(list.Blocks, p.open...)
	return list, nil
}

// current is a block as its replica sees it now, as far as that is worse: what was merged into another one meanwhile is still pinned.
func current(e block.Entry, listed []block.Entry) block.Entry {
	for _, x := range listed {
		if x.Name == e.Name && (x.Verdict == block.Damaged || x.Verdict == block.Unsupported) {
			e.Verdict, e.Damage = x.Verdict, x.Damage
		}
	}
	return e
}

// look lists both, and the target's disk. The lock is held.
func (p *Pair) look(ctx context.Context) (*World, error) {
	held, _, err := transfer.StagedBlocks(p.o.Target)
	if err != nil {
		return nil, err
	}
	p.markHeld(held)
	w := &World{Names: p.names, Cells: p.state.Cells, Damaged: p.state.Damaged, Lost: p.o.Lost, Until: p.horizon()}
	if known, err := move.ReadState(p.o.StateDir); err == nil {
		w.Seam, w.End = known.Seam, known.End()
	} else if !errors.Is(err, move.ErrNoState) {
		return nil, err
	}
	for m := range 2 {
		if err := p.list(ctx, w, m); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// list lists one of them. One that is silent and whose blocks are all there is waited for, and then nothing is chosen from it any more.
func (p *Pair) list(ctx context.Context, w *World, m int) error {
	if p.gone[m] {
		return nil
	}
	list, err := transfer.List(ctx, p.o.Members[m].Source)
	switch {
	case err == nil:
		p.mute[m], w.Blocks[m] = time.Time{}, list.Blocks
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case !transfer.Unanswered(err) || len(p.state.Cells) == 0 || p.needed(m):
		return fmt.Errorf("listing the replica %s: %w", p.names[m], err)
	case p.mute[m].IsZero():
		p.mute[m] = time.Now()
	}
	if time.Since(p.mute[m]) < p.o.Patience { // nothing is chosen without it yet
		w.Until = math.MinInt64
	}
	return nil
}

// horizon is the time before which no sample is in a head.
func (p *Pair) horizon() int64 {
	until := int64(math.MaxInt64)
	for m := range 2 {
		switch h := p.heads[m]; {
		case p.gone[m], h == nil && p.without(m):
		case h == nil:
			return math.MinInt64
		case !h.Head.Empty:
			until = min(until, h.Head.MinTime)
		}
	}
	return until
}

// needed says that a replica has blocks that are not on the target's disk.
func (p *Pair) needed(m int) bool {
	return slices.ContainsFunc(p.state.Cells, func(c Cell) bool {
		return c.Member == m && slices.ContainsFunc(c.Pieces, func(x Piece) bool { return !x.Held })
	})
}

// markHeld notes what is whole on the target's disk: staged, or installed. Later the target may merge it.
func (p *Pair) markHeld(staged []string) {
	p.eachPiece(func(_ int, x *Piece) {
		if x.Held {
			return
		}
		_, err := os.Lstat(filepath.Join(p.o.Target, x.Name, "meta.json"))
		x.Held = err == nil || slices.Contains(staged, x.Name)
	})
}

func (p *Pair) eachPiece(do func(member int, x *Piece)) {
	for i := range p.state.Cells {
		c := &p.state.Cells[i]
		for k := range c.Pieces {
			do(c.Member, &c.Pieces[k])
		}
	}
}

// choose extends what is chosen, and mends what its replica merged before it was pinned. The lock is held.
func (p *Pair) choose(w *World) error {
	if merged := p.merged(w); len(merged) > 0 {
		if err := w.again(merged); err != nil {
			return err
		}
	}
	c, err := Choose(*w)
	if err != nil {
		return err
	}
	p.state.Cells, p.until, p.open = c.Cells, c.Until, c.Open
	p.tell(c)
	return p.save()
}

// again chooses once more where a replica merged chosen blocks before anybody held them: everything from there on, or, where somebody holds
// a later one, what the other replica has in their place.
func (w *World) again(merged []string) error {
	here := func(x Piece) bool { return slices.Contains(merged, x.Name) }
	taken := func(x Piece) bool { return x.Pinned || x.Held }
	i := slices.IndexFunc(w.Cells, func(c Cell) bool { return slices.ContainsFunc(c.Pieces, here) })
	if !slices.ContainsFunc(w.Cells[i:], func(c Cell) bool { return slices.ContainsFunc(c.Pieces, taken) }) {
		w.Cells = w.Cells[:i:i]
		return nil
	}
	other := *w
	other.Damaged = append(slices.Clone(w.Damaged), merged...)
	cells, _, stuck := Substitute(other)
	if len(stuck) > 0 {
		return &ReachesBackError{merged[0], w.Cells[i].From, w.Cells[i].To}
	}
	w.Cells = cells
	return nil
}

// tell tells the lines that were not told before. The lock is held.
func (p *Pair) tell(c *Choice) {
	for line := range strings.Lines(c.String(p.names)) {
		if !p.told[line] {
			p.told[line] = true
			p.o.Tell(strings.TrimSuffix(line, "\n"))
		}
	}
}

// merged are chosen blocks that nobody pinned and that their replica has no more.
func (p *Pair) merged(w *World) (names []string) {
	p.eachPiece(func(m int, x *Piece) {
		there := slices.ContainsFunc(w.Blocks[m], func(e block.Entry) bool { return e.Name == x.Name })
		if !x.Pinned && !x.Held && !there && w.Blocks[m] != nil {
			names = append(names, x.Name)
		}
	})
	return names
}

func (p *Pair) save() error {
	if p.o.LookOnly {
		return nil
	}
	return p.state.write(p.o.StateDir)
}

// member is the replica that a chosen block comes from.
func (p *Pair) member(name string) (transfer.Source, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := -1
	p.eachPiece(func(m int, x *Piece) {
		if x.Name == name {
			found = m
		}
	})
	if found < 0 {
		return nil, 0, &transfer.RefusedError{Code: transfer.NotFound, Message: fmt.Sprintf("block %.40q is of neither replica's choice", name)}
	}
	return p.o.Members[found].Source, found, nil
}

func isGone(err error) bool {
	said := (*transfer.RefusedError)(nil)
	return errors.As(err, &said) && (said.Code == transfer.NotFound || said.Code == transfer.NotPinned) || errors.Is(err, fs.ErrNotExist)
}
