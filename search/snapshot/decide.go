package snapshot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/state"
)

// Step is what comes next for a group of indices.
type Step string

// Steps, in their order.
const (
	StepBegin    Step = "begin"    // note what the indices are
	StepWait     Step = "wait"     // look again later
	StepBlock    Step = "block"    // keep writes out
	StepSettle   Step = "settle"   // note documents and sequence numbers under the block
	StepTake     Step = "take"     // ask for the snapshot
	StepDiscard  Step = "discard"  // delete a snapshot of ours that is not whole
	StepReadBack Step = "readBack" // restore one index under another name and compare
	StepProve    Step = "prove"    // write the proofs
	StepDrop     Step = "drop"     // replicas 0
	StepDone     Step = "done"
)

// Decision is the next step with the requests that it will send, or why there is none.
type Decision struct {
	Step  Step     `json:"step"`
	Group []string `json:"group"`
	// Index is the one that is read back.
	Index    string           `json:"index,omitempty"`
	Says     string           `json:"says"`
	Requests []client.Request `json:"requests,omitempty"`
	Stop     *Stop            `json:"stop,omitempty"`
}

// world is what was seen of a group.
type world struct {
	now     time.Time
	copies  map[string]*client.Copy
	journal *Journal // nil before the first step
	// watched is since when the sequence numbers of an index are as they are.
	watched  map[string]time.Time
	snapshot *client.Snapshot
	contents map[string]client.Stored
	running  []string
}

// decide says what comes next for a group; pure.
func (o *Options) decide(group []string, w *world) *Decision {
	d := &Decision{Group: group}
	if d.Stop = w.intact(group); d.Stop != nil {
		return d
	}
	switch j := w.journal; {
	case j == nil:
		d.Step, d.Says = StepBegin, fmt.Sprintf("note what %s are", plural(len(group), "index", "indices"))
	case j.Proved:
		o.decideReplicas(d, w)
	case !j.Settled:
		o.decideBlock(d, w)
	case w.snapshot == nil || !j.Asked:
		o.decideTake(d, w)
	default:
		o.decideProof(d, w)
	}
	return d
}

// intact holds the indices against what they were: there, the same, and whole.
func (w *world) intact(group []string) *Stop {
	for i, name := range group {
		x := w.copies[name]
		if x == nil {
			return stop(RuleGone, "%s is not there (any more)", name)
		}
		if x.Started < x.Primaries {
			return stop(RuleRed, "%d of %d primaries of %s answer: open it, or wait until it is green", x.Started, x.Primaries, name)
		}
		if w.journal == nil || w.journal.Proved {
			continue
		}
		b := w.journal.Indices[i]
		if b.UUID != x.UUID {
			return stop(RuleReplaced, "%s had the UUID %s when its snapshot was begun, and is another index with %s now: nothing is proved of it; "+
				"begin anew with another folder for the state", name, b.UUID, x.UUID)
		}
		if !w.journal.Settled {
			continue
		}
		if !x.Blocked {
			return stop(RuleBlock, "somebody has lifted the write block of %s while its snapshot was taken", name)
		}
		if w.journal.Asked && b.differs(x) {
			return stop(RuleWritten, "%s has %d documents, it had %d under its write block", name, x.Total(), b.total())
		}
	}
	return nil
}

func (o *Options) decideBlock(d *Decision, w *world) {
	var open []string
	for _, name := range d.Group {
		x := w.copies[name]
		if x.Blocked {
			continue
		}
		since, ok := w.watched[name]
		if quiet := w.now.Sub(since); !ok || quiet < o.Quiet {
			d.Step, d.Says = StepWait, fmt.Sprintf("no document came to %s for %s, want %s", name, max(0, quiet).Round(time.Second), o.Quiet)
			return
		}
		open = append(open, name)
	}
	if len(open) > 0 {
		d.Step, d.Says, d.Requests = StepBlock, "nothing writes any more: keep it so", []client.Request{o.Cluster.BlockWrites(open)}
		return
	}
	d.Step, d.Says = StepSettle, "write documents into files, and note how many they are"
	d.Requests = []client.Request{o.Cluster.Flush(d.Group), o.Cluster.Refresh(d.Group)}
}

func (o *Options) decideTake(d *Decision, w *world) {
	j := w.journal
	for _, b := range j.Indices { // without a call that waits for writes under way, some may land behind the block
		if b.differs(w.copies[b.Name]) {
			d.Step, d.Says = StepSettle, fmt.Sprintf("documents came to %s while it was blocked: note anew how many they are", b.Name)
			d.Requests = []client.Request{o.Cluster.Flush(d.Group), o.Cluster.Refresh(d.Group)}
			return
		}
	}
	name := j.Name()
	if w.snapshot != nil { // of our name, and we did not ask for it: it is nobody's proof
		d.Step, d.Says = StepTake, fmt.Sprintf("%s is there already and not of this run: take another name", name)
		return
	}
	if len(w.running) > 0 && !o.Cluster.Can(state.ConcurrentSnapshots) {
		d.Step, d.Says = StepWait, fmt.Sprintf("%s is written by %s, and this server takes one snapshot at a time", o.Repository, strings.Join(w.running, ", "))
		return
	}
	d.Step, d.Says = StepTake, fmt.Sprintf("take %s with %s", name, plural(len(d.Group), "index", "indices"))
	d.Requests = []client.Request{o.Cluster.VerifyRepository(o.Repository), o.Cluster.TakeSnapshot(o.Repository, name, d.Group, j.uuids())}
}

func (o *Options) decideProof(d *Decision, w *world) {
	j, s := w.journal, w.snapshot
	switch s.State {
	case client.SnapshotRunning:
		d.Step, d.Says = StepWait, s.Name+" is being taken"
		return
	case client.SnapshotSuccess:
	default:
		why := fmt.Sprintf("%s is %s, %d of %d shards: %s", s.Name, s.State, s.Successful, s.Shards, strings.Join(s.Failures, "; "))
		if j.Attempt >= o.Attempts {
			d.Stop = stop(RuleState, "%s; after %s nothing is proved, and nothing else was changed than write blocks", why, plural(j.Attempt, "attempt", "attempts"))
			return
		}
		d.Step, d.Says = StepDiscard, why+": it is no proof; delete it and take another"
		if len(w.running) > 0 {
			d.Step, d.Says = StepWait, fmt.Sprintf("%s is no proof; it is deleted when %s is done", s.Name, strings.Join(w.running, ", "))
			return
		}
		d.Requests = []client.Request{o.Cluster.DeleteSnapshot(o.Repository, s.Name)}
		return
	}
	if d.Stop = whole(j, s, w.contents); d.Stop != nil {
		return
	}
	if index := o.unread(j); index != "" {
		d.Step, d.Index, d.Says = StepReadBack, index, fmt.Sprintf("restore %s under another name and compare", index)
		name := readBackName(o.Repository, s.Name, index)
		d.Requests = []client.Request{o.Cluster.Restore(o.Repository, s.Name, index, name, 0), o.Cluster.DeleteIndex(name)}
		return
	}
	d.Step, d.Says = StepProve, fmt.Sprintf("%s is whole: write it down for %s", s.Name, plural(len(d.Group), "index", "indices"))
}

// whole says why a snapshot that succeeded does not hold the indices whole; pure.
func whole(j *Journal, s *client.Snapshot, contents map[string]client.Stored) *Stop {
	total := 0
	for _, b := range j.Indices {
		in := contents[b.Name]
		if !slices.Contains(s.Indices, b.Name) {
			return stop(RuleContents, "%s is not in %s", b.Name, s.Name)
		}
		if in.Shards != b.Primaries || in.Done != b.Primaries {
			return stop(RuleContents, "%s holds %d shards of %s, %d of them done; it has %d", s.Name, in.Shards, b.Name, in.Done, b.Primaries)
		}
		if of, ok := s.UUIDs[b.Name]; s.UUIDs != nil && (!ok || of != b.UUID) {
			return stop(RuleMetadata, "%s was taken of the %s with UUID %q, this one has %s", s.Name, b.Name, of, b.UUID)
		}
		total += b.Primaries
	}
	if len(s.Failures) > 0 || s.Shards != total || s.Successful != total {
		return stop(RuleContents, "%s says that %d of %d shards were taken, want %d; %s", s.Name, s.Successful, s.Shards, total, strings.Join(s.Failures, "; "))
	}
	return nil
}

// unread is the next index that is to be read back; the order depends on the UUIDs alone.
func (o *Options) unread(j *Journal) string {
	order := slices.Clone(j.Indices)
	slices.SortFunc(order, func(a, b Before) int { return strings.Compare(hashText(a.UUID), hashText(b.UUID)) })
	for i, b := range order {
		if (o.ReadBack < 0 || i < o.ReadBack) && j.ReadBacks[b.Name] == nil {
			return b.Name
		}
	}
	return ""
}

func hashText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("%x", sum[:8])
}

// seedOf is what documents of an index are sampled by, now and whenever a copy of it is compared.
func seedOf(uuid string) uint64 {
	sum := sha256.Sum256([]byte(uuid))
	return binary.BigEndian.Uint64(sum[:8])
}

// readBackPrefix is of all indices that this package may delete.
const readBackPrefix = "slipway-readback-"

func readBackName(repository, snapshot, index string) string {
	return readBackPrefix + hashText(repository+"\x00"+snapshot+"\x00"+index)
}

func (o *Options) decideReplicas(d *Decision, w *world) {
	var with []string
	for _, name := range d.Group {
		if o.DropReplicas && w.copies[name].Replicas > 0 {
			with = append(with, name)
		}
	}
	d.Step, d.Says = StepDone, "proved"
	if len(with) > 0 {
		d.Step, d.Says = StepDrop, "the snapshot is the second copy"
		d.Requests = []client.Request{o.Cluster.Replicas(with, 0)}
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
