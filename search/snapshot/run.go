package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

// engine works on one group of indices.
type engine struct {
	o       Options
	group   []string
	path    string // of the journal
	journal *Journal
	old     *Journal // one that was proved, of what is not proved any more
	world   *world
	present string             // a proved snapshot that this run has seen there
	seen    map[string][]int64 // sequence numbers, since watched
	watched map[string]time.Time
	told    string
}

// Run takes and proves snapshots of all indices, one group after the other, and ends when all are proved, at a *Stop, or at an error that waiting does
// not mend. After any end it goes on where it was.
func Run(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	held, err := lock(ctx, o.StateDir, o.Repository)
	if err != nil {
		return err
	}
	defer held.Close() // the kernel lets go of the lock with it
	for group := range slices.Chunk(o.Indices, o.GroupSize) {
		e, err := newEngine(o, group)
		if err != nil {
			return err
		}
		if err := e.run(ctx); err != nil {
			return fmt.Errorf("taking a snapshot of %s: %w", few(group), err)
		}
	}
	return nil
}

// Plan looks once and tells all steps of each group as they will be if nothing gets in the way, with their requests. It changes nothing.
func Plan(ctx context.Context, o Options) ([]*Decision, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var all []*Decision
	for group := range slices.Chunk(o.Indices, o.GroupSize) {
		e, err := newEngine(o, group)
		if err != nil {
			return nil, err
		}
		if err := e.observe(ctx); err != nil {
			return nil, err
		}
		all = append(all, e.ahead()...)
	}
	return all, nil
}

func newEngine(o Options, group []string) (*engine, error) {
	e := &engine{o: o, group: group, path: journalPath(o.StateDir, o.Repository, group), seen: map[string][]int64{}, watched: map[string]time.Time{}}
	var err error
	e.journal, err = readJournal(e.path, o.Repository, group)
	return e, err
}

func few(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

func (e *engine) run(ctx context.Context) error {
	patience := newPatience(e.o.Patience)
	for {
		step, err := e.once(ctx)
		switch {
		case err != nil && !passes(err):
			return err
		case err != nil && patience.over():
			return fmt.Errorf("after %s: %w", e.o.Patience, err)
		case err == nil && step == StepDone:
			return nil
		case err == nil:
			patience.renew()
		}
		if err != nil || step == StepWait {
			if err := pause(ctx, e.o.Every); err != nil {
				return err
			}
		}
	}
}

// passes says that looking again later may help. What was sent is looked for first, so nothing is done twice.
func passes(err error) bool {
	var s *Stop
	return err != nil && !errors.As(err, &s) && (errors.Is(err, client.ErrNotAcknowledged) || client.ClassOf(err) != client.Human)
}

// patience runs out when nothing went well for a time.
type patience struct {
	most time.Duration
	last time.Time
}

func newPatience(most time.Duration) *patience { return &patience{most, time.Now()} }
func (p *patience) renew()                     { p.last = time.Now() }
func (p *patience) over() bool                 { return time.Since(p.last) > p.most }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// once looks, decides and does one step.
func (e *engine) once(ctx context.Context) (Step, error) {
	if err := e.observe(ctx); err != nil {
		return "", err
	}
	d := e.o.decide(e.group, e.world)
	if text := string(d.Step) + d.Says; text != e.told {
		e.told = text
		e.o.Tell(d)
	}
	if d.Stop != nil {
		return "", d.Stop
	}
	return d.Step, e.act(ctx, d)
}

// observe looks at as much of the world as the next decision needs.
func (e *engine) observe(ctx context.Context) error {
	w := &world{now: time.Now(), journal: e.journal, watched: e.watched}
	e.world = w
	var err error
	if w.copies, err = e.o.Cluster.Copies(ctx, e.group); err != nil {
		return err
	}
	e.watch(w)
	if err := e.renew(ctx); err != nil {
		return err
	}
	if e.journal == nil || !e.journal.Settled || e.journal.Proved {
		return nil
	}
	if w.snapshot, err = e.o.Cluster.Snapshot(ctx, e.o.Repository, e.journal.Name()); err != nil {
		return err
	}
	switch {
	case w.snapshot != nil && w.snapshot.State == client.SnapshotRunning:
		return nil
	case w.snapshot != nil && w.snapshot.State == client.SnapshotSuccess:
		w.contents, err = e.o.Cluster.Contents(ctx, e.o.Repository, w.snapshot.Name)
		return err
	}
	w.running, err = e.o.Cluster.Running(ctx, e.o.Repository)
	return err
}

// watch notes since when sequence numbers are as they are. Those of a primary survive its restart, counters of writes do not.
func (e *engine) watch(w *world) {
	for name, x := range w.copies {
		if !slices.Equal(e.seen[name], x.MaxSeqNos) || e.watched[name].IsZero() {
			e.seen[name], e.watched[name] = x.MaxSeqNos, w.now
		}
	}
}

// renew begins anew where what was proved is not any more, or is of another index.
func (e *engine) renew(ctx context.Context) error {
	if e.journal == nil || !e.journal.Proved {
		return nil
	}
	stands, err := e.stands(ctx)
	if err == nil && !stands {
		e.old, e.journal, e.world.journal = e.journal, nil, nil
	}
	return err
}

// stands says whether the ledger has a standing proof of every index, and its snapshot is there. That none is found says no more than that another is
// to be taken: a repository that was emptied, or is not where it was, looks the same.
func (e *engine) stands(ctx context.Context) (bool, error) {
	for _, name := range e.group {
		p, err := e.standing(name)
		if err != nil {
			return false, nil
		}
		if p.Snapshot == e.present {
			continue
		}
		var no *Stop
		if err := present(ctx, e.o.Cluster, p); errors.As(err, &no) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		e.present = p.Snapshot
	}
	return true, nil
}

func (e *engine) standing(name string) (*ledger.Proof, error) {
	x := e.world.copies[name]
	if x == nil {
		return nil, stop(RuleGone, "%s is not there (any more)", name)
	}
	entry, err := e.o.Ledger.Get(name)
	if err != nil {
		return nil, err
	}
	p, err := entry.Standing(ledger.Identity{Name: x.Name, UUID: x.UUID, Primaries: x.Primaries, Docs: x.Total()})
	if err == nil && p.Repository != e.o.Repository {
		err = fmt.Errorf("the proof of %s is in repository %s", name, p.Repository)
	}
	return p, err
}

func (e *engine) act(ctx context.Context, d *Decision) error {
	switch d.Step {
	case StepBegin:
		return e.begin()
	case StepSettle:
		return e.settle(ctx, d)
	case StepTake:
		return e.take(ctx, d)
	case StepDiscard:
		return e.discard(ctx, d)
	case StepReadBack:
		return e.readBackOne(ctx, d)
	case StepProve:
		return e.prove()
	case StepDrop:
		return e.drop(ctx, d)
	case StepBlock:
		return e.send(ctx, d.Requests)
	}
	return nil
}

func (e *engine) send(ctx context.Context, requests []client.Request) error {
	for _, r := range requests {
		if err := e.o.Cluster.Send(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// newJournal notes what the indices are.
func (e *engine) newJournal(w *world) *Journal {
	j := &Journal{Repository: e.o.Repository, Attempt: 1}
	if e.old != nil { // its snapshot has the name already
		j.Attempt = e.old.Attempt + 1
	}
	for _, name := range e.group {
		x := w.copies[name]
		j.Indices = append(j.Indices, Before{Name: name, UUID: x.UUID, Primaries: x.Primaries})
	}
	return j
}

func (e *engine) begin() error {
	e.journal = e.newJournal(e.world)
	return e.journal.write(e.path)
}

// settle notes what the indices hold under the block, behind a flush.
func (e *engine) settle(ctx context.Context, d *Decision) error {
	if err := e.send(ctx, d.Requests); err != nil {
		return err
	}
	copies, err := e.o.Cluster.Copies(ctx, e.group)
	if err != nil {
		return err
	}
	next := *e.journal
	next.Indices = slices.Clone(next.Indices)
	for i := range next.Indices {
		b := &next.Indices[i]
		x := copies[b.Name]
		if x == nil || x.UUID != b.UUID || !x.Blocked || x.Started < x.Primaries {
			return nil // the next look says what is wrong
		}
		b.Docs, b.MaxSeqNos = x.Docs, x.MaxSeqNos
		sample, err := e.o.Cluster.Sample(ctx, b.Name, b.MaxSeqNos, client.Sampling{Seed: seedOf(b.UUID)})
		if err != nil {
			return err
		}
		b.Checksum = sample.Sum
	}
	next.Settled = true
	e.journal = &next
	return e.journal.write(e.path)
}

// take notes that the snapshot is asked for, and asks. When the answer does not come, or says no, the repository tells whether it was begun.
func (e *engine) take(ctx context.Context, d *Decision) error {
	if e.world.snapshot != nil {
		e.journal.Attempt++
		e.journal.Asked = false
		return e.journal.write(e.path)
	}
	if !e.journal.Asked {
		e.journal.Asked = true
		if err := e.journal.write(e.path); err != nil {
			return err
		}
	}
	err := e.send(ctx, d.Requests)
	if err == nil || passes(err) {
		return err
	}
	if s, lookErr := e.o.Cluster.Snapshot(ctx, e.o.Repository, e.journal.Name()); lookErr == nil && s != nil {
		return nil
	}
	return err
}

func (e *engine) discard(ctx context.Context, d *Decision) error {
	if err := e.send(ctx, d.Requests); err != nil {
		return err
	}
	e.journal.Attempt++
	e.journal.Asked = false
	return e.journal.write(e.path)
}

func (e *engine) readBackOne(ctx context.Context, d *Decision) error {
	i := slices.IndexFunc(e.journal.Indices, func(b Before) bool { return b.Name == d.Index })
	r := reader{o: &e.o, snapshot: e.world.snapshot.Name, original: e.journal.Indices[i]}
	back, err := r.read(ctx)
	if err != nil {
		return err
	}
	if e.journal.ReadBacks == nil {
		e.journal.ReadBacks = map[string]*ledger.ReadBack{}
	}
	e.journal.ReadBacks[d.Index] = back
	return e.journal.write(e.path)
}

// prove writes the proofs. What this very decision stands on was looked at just before: indices, block, snapshot.
func (e *engine) prove() error {
	now := time.Now().UTC()
	s := e.world.snapshot
	var entries []*ledger.Entry
	for _, b := range e.journal.Indices {
		entry, err := e.o.Ledger.Get(b.Name)
		if err != nil {
			return err
		}
		if entry == nil {
			entry = &ledger.Entry{Schema: ledger.Schema, Lifecycle: e.o.Lifecycle, Index: b.Name}
		}
		p := ledger.Proof{Repository: e.o.Repository, Snapshot: s.Name, SnapshotUUID: s.UUID, Index: b.Name, IndexUUID: b.UUID, Shards: b.Primaries, Docs: b.total(),
			Bytes: e.world.contents[b.Name].Bytes, MaxSeqNos: b.MaxSeqNos, Checksum: b.Checksum, ReadBack: e.journal.ReadBacks[b.Name], TakenAt: s.Started, ProvedAt: now, CheckedAt: now}
		entry.Proofs = slices.DeleteFunc(slices.Clone(entry.Proofs), func(o ledger.Proof) bool {
			return o.Snapshot == p.Snapshot && o.SnapshotUUID == p.SnapshotUUID && o.IndexUUID == p.IndexUUID
		})
		entry.Proofs, entry.UpdatedAt = append(entry.Proofs, p), now
		entries = append(entries, entry)
	}
	if err := e.o.Ledger.Put(entries...); err != nil {
		return err
	}
	e.journal.Proved, e.journal.Took = true, s.UUID
	return e.journal.write(e.path)
}

// drop looks once more at each snapshot that is to stand in for replicas, and then sets them to 0.
func (e *engine) drop(ctx context.Context, d *Decision) error {
	for _, name := range e.group {
		p, err := e.standing(name)
		if err != nil {
			return &Stop{RuleProof, err.Error()}
		}
		if !e.world.copies[name].Blocked {
			return stop(RuleBlock, "the write block of %s was lifted: a document that comes now would be in no snapshot", name)
		}
		if err := present(ctx, e.o.Cluster, p); err != nil {
			return err
		}
	}
	return e.send(ctx, d.Requests)
}

// present says whether the snapshot of a proof is there and whole. An error that is no *Stop says nothing about it.
func present(ctx context.Context, c Looker, p *ledger.Proof) error {
	s, err := c.Snapshot(ctx, p.Repository, p.Snapshot)
	if err != nil {
		return err
	}
	if s == nil {
		return stop(RuleSnapshotGone, "%s is not in %s (any more), or %[2]s is not where it was", p.Snapshot, p.Repository)
	}
	if p.SnapshotUUID != "" && s.UUID != p.SnapshotUUID {
		return stop(RuleSnapshotOther, "%s in %s is another snapshot of the same name: UUID %s, proved was %s", p.Snapshot, p.Repository, s.UUID, p.SnapshotUUID)
	}
	if s.State != client.SnapshotSuccess || !slices.Contains(s.Indices, p.Index) {
		return stop(RuleState, "%s in %s is %s and holds %s", p.Snapshot, p.Repository, s.State, few(s.Indices))
	}
	contents, err := c.Contents(ctx, p.Repository, p.Snapshot)
	if err != nil {
		return err
	}
	if in := contents[p.Index]; in.Shards != p.Shards || in.Done != p.Shards {
		return stop(RuleContents, "%s holds %d shards of %s, %d of them done; proved were %d", p.Snapshot, in.Shards, p.Index, in.Done, p.Shards)
	}
	return nil
}
