package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Proof is that a snapshot holds one index whole. Only what was seen on the server is written here; a PARTIAL snapshot has no proof.
type Proof struct {
	Repository string `json:"repository"`
	Snapshot   string `json:"snapshot"`
	// SnapshotUUID tells a snapshot from a later one of the same name; empty where the server has none to tell.
	SnapshotUUID string `json:"snapshotUUID,omitempty"`
	// Index is the name within the snapshot, IndexUUID the index that was write-blocked before, during and after it was taken.
	Index     string `json:"index"`
	IndexUUID string `json:"indexUUID"`
	// Shards are primaries, all of them done; Docs those of the primaries, without deleted ones.
	Shards int   `json:"shards"`
	Docs   int64 `json:"docs"`
	// Bytes is what the index takes in the repository; 0 when not told.
	Bytes int64 `json:"bytes,omitempty"`
	// MaxSeqNos are the highest sequence numbers of the shards in their order; none on servers that do not tell them.
	MaxSeqNos []int64 `json:"maxSeqNos,omitempty"`
	// ReadBack is what was restored or mounted and compared; none where the policy asked for none.
	ReadBack *ReadBack `json:"readBack,omitempty"`
	TakenAt  time.Time `json:"takenAt"`
	// ProvedAt is when all of it was checked first, CheckedAt when the snapshot was last seen whole.
	ProvedAt  time.Time `json:"provedAt"`
	CheckedAt time.Time `json:"checkedAt"`
	// Void says why it counts no longer; empty while it does.
	Void string `json:"void,omitempty"`
}

// ReadBack is a part of a snapshot that was read again.
type ReadBack struct {
	At time.Time `json:"at"`
	// Shards is how many were read, Docs how many documents they had. Checksum is equal on both sides.
	Shards   int    `json:"shards"`
	Docs     int64  `json:"docs"`
	Checksum string `json:"checksum,omitempty"`
}

// Identity is an index as it is seen now.
type Identity struct {
	Name, UUID string
	Primaries  int
	// Docs of the primaries; -1 when not told, as for closed ones.
	Docs int64
}

// Covers says why a proof does not speak for an index; nil when it does.
func (p *Proof) Covers(x Identity) error {
	switch {
	case p.Void != "":
		return fmt.Errorf("the proof of %s was voided: %s", p.Snapshot, p.Void)
	case x.UUID == "" || p.IndexUUID != x.UUID:
		return fmt.Errorf("snapshot %s holds the index with UUID %s, %s has %s now", p.Snapshot, p.IndexUUID, x.Name, x.UUID)
	case p.Shards != x.Primaries:
		return fmt.Errorf("snapshot %s holds %d shards of %s, it has %d", p.Snapshot, p.Shards, x.Name, x.Primaries)
	case x.Docs >= 0 && p.Docs != x.Docs:
		return fmt.Errorf("snapshot %s holds %d documents of %s, it has %d now", p.Snapshot, p.Docs, x.Name, x.Docs)
	}
	return nil
}

// ErrNoProof is that nothing was proved of an index.
var ErrNoProof = errors.New("no snapshot of it was proved")

// Standing is the latest proof that covers an index. The error wraps ErrNoProof where there is none at all, else it says why the latest does not cover it.
func (e *Entry) Standing(x Identity) (*Proof, error) {
	if e == nil || len(e.Proofs) == 0 {
		return nil, fmt.Errorf("%s: %w", x.Name, ErrNoProof)
	}
	var latest error
	for i := range slices.Backward(e.Proofs) {
		err := e.Proofs[i].Covers(x)
		if err == nil {
			return &e.Proofs[i], nil
		}
		if latest == nil {
			latest = err
		}
	}
	return nil, latest
}

func (p *Proof) check() error {
	switch {
	case p.Repository == "" || p.Snapshot == "" || p.Index == "" || p.IndexUUID == "":
		return fmt.Errorf("a proof without repository, snapshot, index or UUID: %q, %q, %q, %q", p.Repository, p.Snapshot, p.Index, p.IndexUUID)
	case p.Shards < 1 || p.Docs < 0 || p.Bytes < 0:
		return fmt.Errorf("the proof of %s in %s: %d shards, %d documents, %d bytes", p.Index, p.Snapshot, p.Shards, p.Docs, p.Bytes)
	case p.ProvedAt.IsZero() || p.CheckedAt.Before(p.ProvedAt):
		return fmt.Errorf("the proof of %s in %s: proved %s, checked %s", p.Index, p.Snapshot, p.ProvedAt.Format(time.RFC3339), p.CheckedAt.Format(time.RFC3339))
	}
	return nil
}
