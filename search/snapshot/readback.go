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

// tries of restoring: what was cut off once may come through the second time, what is corrupt never does.
const tries = 2

// allocationFailed is the server's word for a shard that could not be restored.
const allocationFailed = "ALLOCATION_FAILED"

// reader restores one index of a snapshot under another name, compares it, and takes it away. It goes on from whatever is there.
type reader struct {
	o        *Options
	snapshot string
	original Before
}

// read gives what was compared. A *Stop says that the copy is not equal, or cannot be restored.
func (r *reader) read(ctx context.Context) (*ledger.ReadBack, error) {
	name := readBackName(r.o.Repository, r.snapshot, r.original.Name)
	patience, started := newPatience(r.o.Patience), -1
	for begun, last := 0, ""; ; {
		x, failed, err := r.look(ctx, name)
		if err != nil {
			return nil, err
		}
		switch {
		case x == nil && begun == tries:
			return nil, stop(RuleReadBack, "%s of %s cannot be restored: %s", r.original.Name, r.snapshot, last)
		case x == nil:
			begun++
			err = r.o.Cluster.Send(ctx, r.o.Cluster.Restore(r.o.Repository, r.snapshot, r.original.Name, name, 0))
		case failed != "":
			last = failed
			err = r.remove(ctx, name)
		case x.Started == x.Primaries:
			return r.compareAndRemove(ctx, x)
		case x.Started > started:
			started = x.Started
			patience.renew()
		case patience.over():
			return nil, stop(RuleReadBack, "%s of %s: %d of %d shards were restored, and nothing went on for %s; GET /_cluster/allocation/explain shows why",
				r.original.Name, r.snapshot, x.Started, x.Primaries, r.o.Patience)
		}
		if err = errors.Join(err, pause(ctx, min(r.o.Every, time.Second))); err != nil {
			return nil, err
		}
	}
}

// compareAndRemove leaves the copy where comparing may go through the next time.
func (r *reader) compareAndRemove(ctx context.Context, x *client.Copy) (*ledger.ReadBack, error) {
	back, err := r.compare(ctx, x)
	if passes(err) {
		return nil, err
	}
	return back, errors.Join(err, r.remove(ctx, x.Name))
}

// look gives the copy, nil for none, and why it failed.
func (r *reader) look(ctx context.Context, name string) (*client.Copy, string, error) {
	copies, err := r.o.Cluster.Copies(ctx, []string{name})
	if err != nil {
		return nil, "", err
	}
	x := copies[name]
	if x == nil || x.Started == x.Primaries {
		return x, "", nil
	}
	lost, err := r.o.Cluster.LostPrimaries(ctx, name)
	if err != nil {
		return nil, "", err
	}
	return x, failure(lost), nil
}

// failure is why shards that were to be restored are not; empty while they may come.
func failure(lost []client.Lost) string {
	for _, l := range lost {
		if l.Reason == allocationFailed {
			return fmt.Sprintf("shard %d: %s", l.Shard, firstCause(l.Detail))
		}
	}
	return ""
}

// firstCause is the end of a chain of causes: what stands before it says only where it was met.
func firstCause(detail string) string {
	const most = 400
	if i := strings.LastIndex(detail, "nested: "); i >= 0 {
		detail = detail[i+len("nested: "):]
	}
	if len(detail) > most {
		detail = strings.ToValidUTF8(detail[:most], "") + "…"
	}
	return detail
}

// compare holds a restored copy against the original as it was under its write block.
func (r *reader) compare(ctx context.Context, x *client.Copy) (*ledger.ReadBack, error) {
	b := &r.original
	if x.Primaries != b.Primaries || b.differs(x) {
		return nil, stop(RuleReadBack, "%s came back from %s with %d documents in %d shards, it had %d in %d: documents by shard %v and %v, sequence numbers %v and %v",
			b.Name, r.snapshot, x.Total(), x.Primaries, b.total(), b.Primaries, x.Docs, b.Docs, x.MaxSeqNos, b.MaxSeqNos)
	}
	sample, err := r.o.Cluster.Sample(ctx, x.Name, b.MaxSeqNos, client.Sampling{Seed: seedOf(b.UUID)})
	if err != nil {
		return nil, err
	}
	if sample.Sum != b.Checksum {
		return nil, stop(RuleReadBack, "%d sampled documents of %s came back from %s with the checksum %s, they had %s", sample.Docs, b.Name, r.snapshot, sample.Sum, b.Checksum)
	}
	return &ledger.ReadBack{At: time.Now().UTC(), Shards: x.Primaries, Docs: x.Total(), Checksum: sample.Sum}, nil
}

// remove deletes a copy that this package made, and nothing else.
func (r *reader) remove(ctx context.Context, name string) error {
	if !strings.HasPrefix(name, readBackPrefix) {
		return fmt.Errorf("%s is no index that a read-back made", name)
	}
	err := r.o.Cluster.Send(ctx, r.o.Cluster.DeleteIndex(name))
	if client.IsAbsent(err) {
		return nil
	}
	return err
}

// Verify looks at the snapshots of proofs again, and reads up to o.ReadBack of them back (-1: all). A proof that does not hold is voided in the ledger,
// and its *Stop is among the errors; where something else goes wrong, or the snapshot is not
// found, which is how a repository that cannot be reached may look, the ledger stays as it is.
func Verify(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	held, err := lock(ctx, o.StateDir, o.Repository)
	if err != nil {
		return err
	}
	defer held.Close()
	var errs []error
	read := 0
	for _, name := range o.Indices {
		entry, err := o.Ledger.Get(name)
		if err != nil {
			return err
		}
		p := latest(entry, o.Repository)
		if p == nil {
			errs = append(errs, stop(RuleProof, "%s has no proof in %s: take a snapshot first", name, o.Repository))
			continue
		}
		with := p.Checksum != "" && (o.ReadBack < 0 || read < o.ReadBack)
		if with {
			read++
		}
		errs = append(errs, verify(ctx, &o, entry, p, with))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// latest is the last proof in a repository that was not voided; nil for none.
func latest(entry *ledger.Entry, repository string) *ledger.Proof {
	if entry == nil {
		return nil
	}
	for i := range slices.Backward(entry.Proofs) {
		if p := &entry.Proofs[i]; p.Void == "" && p.Repository == repository {
			return p
		}
	}
	return nil
}

func verify(ctx context.Context, o *Options, entry *ledger.Entry, p *ledger.Proof, withReadBack bool) error {
	o.Tell(&Decision{Step: StepProve, Group: []string{entry.Index}, Says: fmt.Sprintf("look at %s of %s again", p.Snapshot, entry.Index)})
	err := present(ctx, o.Cluster, p)
	if err == nil && withReadBack {
		r := reader{o: o, snapshot: p.Snapshot, original: beforeOf(p)}
		name := readBackName(o.Repository, p.Snapshot, p.Index)
		o.Tell(&Decision{Step: StepReadBack, Group: []string{entry.Index}, Index: p.Index, Says: fmt.Sprintf("restore %s under another name and compare", p.Index),
			Requests: []client.Request{o.Cluster.Restore(o.Repository, p.Snapshot, p.Index, name, 0), o.Cluster.DeleteIndex(name)}})
		p.ReadBack, err = orKeep(p.ReadBack)(r.read(ctx))
	}
	var no *Stop
	now := time.Now().UTC()
	switch {
	case err == nil:
		p.CheckedAt = now
	case errors.As(err, &no) && proves(no):
		p.Void = no.Error()
	default:
		return fmt.Errorf("verifying %s in %s: %w; its proof is left as it was", entry.Index, p.Snapshot, err)
	}
	entry.UpdatedAt = now
	if err != nil {
		err = fmt.Errorf("the proof of %s is void: %w", entry.Index, err)
	}
	return errors.Join(err, o.Ledger.Put(entry))
}

// orKeep keeps the read-back that a proof has where a new one did not come to an end.
func orKeep(old *ledger.ReadBack) func(*ledger.ReadBack, error) (*ledger.ReadBack, error) {
	return func(back *ledger.ReadBack, err error) (*ledger.ReadBack, error) {
		if err != nil {
			return old, err
		}
		return back, nil
	}
}

// proves says that a stop is about the snapshot, and not about a cluster that has no room to restore into or a repository that was cut off. What
// cannot be restored is taken for damaged where the server says so.
func proves(s *Stop) bool {
	if s.Rule == RuleSnapshotGone { // so does every snapshot of a bucket that cannot be reached look (seen on OpenSearch 3.3)
		return false
	}
	if s.Rule != RuleReadBack || !strings.Contains(s.Why, "cannot be restored") && !strings.Contains(s.Why, "nothing went on") {
		return true
	}
	why := strings.ToLower(s.Why)
	return slices.ContainsFunc([]string{"corrupt", "checksum", "nosuchfile", "no such file", "nosuchkey", "eof"}, func(sign string) bool { return strings.Contains(why, sign) })
}

// beforeOf is the original as its proof tells; documents by shard are not in it.
func beforeOf(p *ledger.Proof) Before {
	return Before{Name: p.Index, UUID: p.IndexUUID, Primaries: p.Shards, MaxSeqNos: p.MaxSeqNos, Checksum: p.Checksum, Docs: []int64{p.Docs}}
}
