package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

// RestoreOptions say which lost indices come back.
type RestoreOptions struct {
	Options
	// LostAfter is how long primaries must have been on no node before what is left of their index is deleted: a node that starts again brings them
	// back without loss. Default 10 minutes.
	LostAfter time.Duration
	// Replicas of what comes back.
	Replicas int
}

// Steps of a restore.
const (
	StepDelete  Step = "delete"  // what is left of a lost index
	StepRestore Step = "restore" // from its proved snapshot
	StepCompare Step = "compare" // what came back with its proof
)

// returning is what cannot be seen again while an index comes back.
type returning struct {
	// RedSince is when primaries were first seen on no node.
	RedSince time.Time `json:"redSince"`
	// Asked says that the restore was, or is about to be, asked for.
	Asked bool `json:"asked,omitempty"`
	// Failed counts restores that went wrong.
	Failed int `json:"failed,omitempty"`
}

// Restore brings lost indices back from their proved snapshots, one after the other. An index is lost when primaries of it are on no node, or when it is
// not there. What is left of a red one is deleted only when its proof covers it and its snapshot is there. What came back has a proof of its own in the
// ledger then: the same snapshot, the new UUID.
func Restore(ctx context.Context, o RestoreOptions) error {
	var err error
	if o.Options, err = o.withDefaults(); err != nil {
		return err
	}
	if o.LostAfter < 0 || o.Replicas < 0 {
		return errors.New("the time after which primaries are lost, and the number of replicas, cannot be below 0")
	}
	held, err := lock(ctx, o.StateDir, o.Repository)
	if err != nil {
		return err
	}
	defer held.Close()
	for _, name := range o.Indices {
		r, err := newRestorer(o, name)
		if err == nil {
			err = r.run(ctx)
		}
		if err != nil {
			return fmt.Errorf("bringing %s back: %w", name, err)
		}
	}
	return nil
}

// PlanRestore looks once and tells the next step of each index, with its requests. It changes nothing.
func PlanRestore(ctx context.Context, o RestoreOptions) ([]*Decision, error) {
	var err error
	if o.Options, err = o.withDefaults(); err != nil {
		return nil, err
	}
	var all []*Decision
	for _, name := range o.Indices {
		r, err := newRestorer(o, name)
		if err != nil {
			return nil, err
		}
		d, err := r.look(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", name, err)
		}
		all = append(all, d)
	}
	return all, nil
}

type restorer struct {
	o     RestoreOptions
	name  string
	path  string
	state returning
	entry *ledger.Entry
	proof *ledger.Proof
	x     *client.Copy
	lost  []client.Lost
	told  string
}

func newRestorer(o RestoreOptions, name string) (*restorer, error) {
	sum := sha256.Sum256([]byte(o.Repository + "\x00" + name))
	r := &restorer{o: o, name: name, path: filepath.Join(o.StateDir, "restore-"+hex.EncodeToString(sum[:])[:16]+".json")}
	data, err := durable.Read(r.path, 1<<20)
	if err == nil {
		err = json.Unmarshal(data, &r.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", r.path, err)
	}
	return r, nil
}

func (r *restorer) save() error {
	data, err := json.Marshal(&r.state)
	if err != nil {
		return err
	}
	if err := durable.Replace(r.path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

func (r *restorer) run(ctx context.Context) error {
	patience, started := newPatience(r.o.Patience), -1
	for {
		step, err := r.once(ctx)
		switch {
		case err != nil && !passes(err):
			return err
		case err == nil && step == StepDone:
			return r.done()
		case r.goesOn(err, &started):
			patience.renew()
		case patience.over():
			return errors.Join(stop(RuleRestored, "nothing went on for %s; GET /_cluster/allocation/explain shows why", r.o.Patience), err)
		}
		if err != nil || step == StepWait {
			if err := pause(ctx, r.o.Every); err != nil {
				return err
			}
		}
	}
}

// goesOn says that shards came, or that it is a node that is waited for.
func (r *restorer) goesOn(err error, started *int) bool {
	if r.x != nil && r.x.Started != *started {
		*started = r.x.Started
		return true
	}
	return err == nil && !r.state.Asked
}

// once looks, decides and does one step.
func (r *restorer) once(ctx context.Context) (Step, error) {
	d, err := r.look(ctx)
	if err != nil {
		return "", err
	}
	if text := string(d.Step) + d.Says; text != r.told {
		r.told = text
		r.o.Tell(d)
	}
	if d.Stop != nil {
		return "", d.Stop
	}
	return d.Step, r.act(ctx, d)
}

// done forgets what was asked for, so that an index of the same name that somebody makes later is never taken for ours.
func (r *restorer) done() error {
	if r.state == (returning{}) {
		return nil
	}
	r.state = returning{}
	return r.save()
}

// look sees the index, its proof and the snapshot, and decides.
func (r *restorer) look(ctx context.Context) (*Decision, error) {
	var err error
	if r.entry, err = r.o.Ledger.Get(r.name); err != nil {
		return nil, err
	}
	d := &Decision{Group: []string{r.name}}
	if r.proof = latest(r.entry, r.o.Repository); r.proof == nil {
		d.Stop = stop(RuleProof, "nothing was proved of %s in %s: restore it by hand, and compare what comes", r.name, r.o.Repository)
		return d, nil
	}
	copies, err := r.o.Cluster.Copies(ctx, []string{r.name})
	if err != nil {
		return nil, err
	}
	r.x, r.lost = copies[r.name], nil
	if r.x != nil && r.x.Started < r.x.Primaries {
		if r.lost, err = r.o.Cluster.LostPrimaries(ctx, r.name); err != nil {
			return nil, err
		}
	}
	if err := present(ctx, r.o.Cluster, r.proof); err != nil {
		if !errors.As(err, &d.Stop) {
			return nil, err
		}
		return d, nil
	}
	r.decide(d, time.Now())
	return d, nil
}

// decide says what comes next; the snapshot of the proof is there.
func (r *restorer) decide(d *Decision, now time.Time) {
	x, p := r.x, r.proof
	switch {
	case x == nil:
		d.Step, d.Says = StepRestore, fmt.Sprintf("it is not there: restore it from %s", p.Snapshot)
		d.Requests = []client.Request{r.o.Cluster.Restore(r.o.Repository, p.Snapshot, p.Index, "", r.o.Replicas)}
	case x.UUID != p.IndexUUID && !r.state.Asked:
		d.Stop = stop(RuleReplaced, "the index with UUID %s was proved, what is called %s now has %s: it is another index, and is left alone", p.IndexUUID, r.name, x.UUID)
	case x.UUID == p.IndexUUID && x.Started == x.Primaries:
		d.Step, d.Says = StepDone, "it is not lost: all its primaries answer"
	case x.UUID == p.IndexUUID:
		r.decideLost(d, now)
	case x.Started == x.Primaries:
		d.Step, d.Says = StepCompare, "it is back: compare it with its proof"
	case failure(r.lost) != "" && r.state.Failed+1 >= tries:
		d.Stop = stop(RuleRestored, "it cannot be restored from %s: %s", p.Snapshot, failure(r.lost))
	case failure(r.lost) != "":
		d.Step, d.Says = StepDelete, "it did not come back: "+failure(r.lost)
		d.Requests = []client.Request{r.o.Cluster.DeleteIndex(r.name)}
	default:
		d.Step, d.Says = StepWait, fmt.Sprintf("%d of %d shards are back", x.Started, x.Primaries)
	}
}

// decideLost is about the very index that was proved, red.
func (r *restorer) decideLost(d *Decision, now time.Time) {
	x, p := r.x, r.proof
	if err := p.Covers(ledger.Identity{Name: x.Name, UUID: x.UUID, Primaries: x.Primaries, Docs: -1}); err != nil {
		d.Stop = &Stop{RuleProof, err.Error()}
		return
	}
	for shard, n := range x.MaxSeqNos {
		if n >= 0 && (shard >= len(p.MaxSeqNos) || n != p.MaxSeqNos[shard]) {
			d.Stop = stop(RuleWritten, "shard %d of %s has documents that came behind its proof: they are in no snapshot, and what is left of the index is not deleted", shard, r.name)
			return
		}
	}
	since := r.state.RedSince
	if since.IsZero() {
		since = now
	}
	if len(r.lost) == 0 || now.Sub(since) < r.o.LostAfter {
		d.Step, d.Says = StepWait, fmt.Sprintf("%d of %d primaries are on no node since %s; after %s they are taken for lost", len(r.lost), x.Primaries,
			since.UTC().Format(time.RFC3339), r.o.LostAfter)
		return
	}
	d.Step, d.Says = StepDelete, fmt.Sprintf("%d of %d primaries are lost: delete what is left, %s holds all of it", len(r.lost), x.Primaries, p.Snapshot)
	d.Requests = []client.Request{r.o.Cluster.DeleteIndex(r.name)}
}

func (r *restorer) act(ctx context.Context, d *Decision) error {
	if d.Step == StepCompare {
		return r.compare(ctx)
	}
	if err := r.note(d); err != nil {
		return err
	}
	for _, q := range d.Requests {
		if err := r.o.Cluster.Send(ctx, q); err != nil && !client.IsAbsent(err) {
			return err
		}
	}
	return nil
}

// note keeps what cannot be seen again, before the step is done.
func (r *restorer) note(d *Decision) error {
	before := r.state
	switch d.Step {
	case StepWait:
		if r.state.RedSince.IsZero() && r.x.UUID == r.proof.IndexUUID && len(r.lost) > 0 {
			r.state.RedSince = time.Now().UTC()
		}
	case StepDelete:
		if r.x.UUID != r.proof.IndexUUID { // ours, half restored
			r.state.Failed++
		}
	case StepRestore:
		r.state.Asked = true
	}
	if r.state == before {
		return nil
	}
	return r.save()
}

// compare holds what came back against its proof, and writes the proof of it.
func (r *restorer) compare(ctx context.Context) error {
	b := beforeOf(r.proof)
	back := reader{o: &r.o.Options, snapshot: r.proof.Snapshot, original: b}
	read, err := back.compare(ctx, r.x)
	var no *Stop
	if errors.As(err, &no) {
		return stop(RuleRestored, "%s; it is left as it is", no.Why)
	}
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	p := *r.proof
	p.IndexUUID, p.ReadBack, p.ProvedAt, p.CheckedAt = r.x.UUID, read, now, now
	// The sample's places come from the UUID, so what came back has a checksum of its own.
	sample, err := r.o.Cluster.Sample(ctx, r.name, p.MaxSeqNos, client.Sampling{Seed: seedOf(p.IndexUUID)})
	if err != nil {
		return err
	}
	p.Checksum = sample.Sum
	r.entry.Proofs, r.entry.UpdatedAt = append(slices.Clone(r.entry.Proofs), p), now
	if err := r.o.Ledger.Put(r.entry); err != nil {
		return err
	}
	r.state = returning{}
	return r.save()
}
