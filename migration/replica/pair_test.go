package replica

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// fake is a replica that records what is pinned. With err it does not answer.
type fake struct {
	transfer.Source
	list   []block.Entry
	pinned []string
	rotten []string // what its disk does not give whole
	head   int64
	err    error
}

func (f *fake) Blocks(context.Context) (*block.Listing, error) {
	return &block.Listing{Blocks: slices.Clone(f.list)}, f.err
}

func (f *fake) Pinned(context.Context) (*block.Listing, error) { return &block.Listing{}, f.err }

func (f *fake) Pin(_ context.Context, names []string) error {
	f.pinned = append(f.pinned, names...)
	return f.err
}

func (f *fake) Unpin(context.Context) error {
	f.pinned = nil
	return f.err
}

func (f *fake) Scrub(_ context.Context, name string, _ int64) (*block.Report, error) {
	r := &block.Report{Verdict: block.OK}
	if slices.Contains(f.rotten, name) {
		r.Verdict = block.Damaged
	}
	return r, f.err
}

func (f *fake) Observe(context.Context) (*transfer.Observation, error) {
	return &transfer.Observation{Head: transfer.Head{MinTime: f.head * hour}}, f.err
}

func (f *fake) BlockRange(context.Context) (int64, error) { return 2 * hour, f.err }

var errAway = &transfer.UnansweredError{Err: errors.New("connection refused")}

// two is a pair of fakes: the second block of the first is half, the rest is equal.
func two(t *testing.T) (*Pair, *fake, *fake) {
	t.Helper()
	a := &fake{list: []block.Entry{entry("a1", 0, 2, 480), entry("a2", 2, 4, 240)}, head: 4}
	b := &fake{list: []block.Entry{entry("b1", 0, 2, 480), entry("b2", 2, 4, 480)}, head: 4}
	return pairOf(t, t.TempDir(), t.TempDir(), a, b), a, b
}

func pairOf(t *testing.T, state, target string, a, b *fake) *Pair {
	t.Helper()
	p, err := New(Options{Members: [2]Member{{"A", a, a}, {"B", b, b}}, StateDir: state, Target: target, Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prepare(t *testing.T, p *Pair, want string) {
	t.Helper()
	if err := p.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, shape(p.Choice().Cells)); d != "" {
		t.Error(d)
	}
}

// install puts what stands for a block into the target.
func install(t *testing.T, p *Pair, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(p.o.Target, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.o.Target, name, "meta.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPairPinsEachBlockWhereItIs(t *testing.T) {
	p, a, b := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	if err := p.Pin(t.Context(), []string{"a1", "b2"}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]string{{"a1"}, {"b2"}}, [][]string{a.pinned, b.pinned}); d != "" {
		t.Error(d)
	}
	if _, err := p.Files(t.Context(), "b1"); !isGone(err) {
		t.Errorf("a block that was not chosen: %v", err)
	}
}

func TestPairRemembersItsChoice(t *testing.T) {
	p, a, b := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	a.list = []block.Entry{entry("a9", 0, 4, 2000)} // compacted, and now it has most
	if err := p.Pin(t.Context(), []string{"a1", "b2"}); err != nil {
		t.Fatal(err)
	}
	prepare(t, pairOf(t, p.o.StateDir, p.o.Target, a, b), "0-2 a1, 2-4 b2")
	if _, err := New(Options{Members: [2]Member{{"B", b, b}, {"A", a, a}}, StateDir: p.o.StateDir}); err == nil {
		t.Error("the two in another order are taken for the same")
	}
}

func TestPairWaitsForBothHeads(t *testing.T) {
	p, _, b := two(t)
	b.head = 2
	prepare(t, p, "0-2 a1")
	if o, err := p.Observe(t.Context()); err != nil || o.Head.MinTime != 2*hour {
		t.Errorf("%+v, %v", o, err)
	}
	b.head = 4
	prepare(t, p, "0-2 a1, 2-4 b2")
}

func TestPairGoesOnWithoutAReplicaThatIsGone(t *testing.T) {
	p, a, b := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	a.err = errAway
	if _, err := p.Blocks(t.Context()); !transfer.Unanswered(err) {
		t.Errorf("a block of it is needed, and nobody says that it is away: %v", err)
	}
	lost := &transfer.LostError{Silent: time.Hour, Err: errAway}
	again, err := p.standIn(t.Context(), lost)
	if err != nil || !again {
		t.Fatal(again, err)
	}
	if d := cmp.Diff([]any{"0-2 b1, 2-4 b2", []string{"a1"}}, []any{shape(p.Choice().Cells), p.lost(nil)}); d != "" {
		t.Error(d)
	}
	b.list, b.head = append(b.list, entry("b3", 4, 6, 10)), 6
	prepare(t, p, "0-2 b1, 2-4 b2, 4-6 b3")
}

func TestPairStopsWhereTheOtherLacksTheRange(t *testing.T) {
	p, _, b := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	b.err = errAway
	again, err := p.standIn(t.Context(), &transfer.LostError{Silent: time.Hour, Err: errAway})
	if again || err == nil {
		t.Errorf("half of a range stands in for it: %v", shape(p.Choice().Cells))
	}
}

func TestPairDoesNotMissWhatItHas(t *testing.T) {
	p, a, _ := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	install(t, p, "a1")
	if _, err := p.Blocks(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.err = errAway
	if list, err := p.Blocks(t.Context()); err != nil || len(list.Blocks) != 2 {
		t.Error(list, err)
	}
}

func TestPairReplacesARottenBlock(t *testing.T) {
	p, a, _ := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	install(t, p, "b2")
	a.rotten = []string{"a1"}
	again, err := p.standIn(t.Context(), &transfer.DamageError{Side: transfer.SourceDisk, Block: "a1"})
	if err != nil || !again {
		t.Fatal(again, err)
	}
	prepare(t, p, "0-2 b1, 2-4 b2")
	if parts := p.Parts(3 * hour); len(parts) != 1 || parts[0] != (Part{1, 0, 3 * hour}) {
		t.Errorf("%+v", parts)
	}
}

func TestPairUnpinsWhoAnswers(t *testing.T) {
	p, a, b := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	if err := p.Pin(t.Context(), []string{"a1", "b2"}); err != nil {
		t.Fatal(err)
	}
	a.err = errAway
	if err := p.Unpin(t.Context()); !transfer.Unanswered(err) {
		t.Errorf("it is not waited for: %v", err)
	}
	p.o.Patience = 0
	if err := p.Unpin(t.Context()); err != nil || len(b.pinned) > 0 {
		t.Error(err, b.pinned)
	}
}

func TestPairLeavesOtherErrorsAlone(t *testing.T) {
	p, _, _ := two(t)
	prepare(t, p, "0-2 a1, 2-4 b2")
	if again, err := p.standIn(t.Context(), errors.New("the disk is full")); again || err != nil {
		t.Error(again, err)
	}
}
