package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
)

// Cluster is what this package asks of a cluster; *client.Session is one.
type Cluster interface {
	Looker
	Requests
	// Send sends one request, once.
	Send(ctx context.Context, r client.Request) error
	Can(what state.Capability) bool
}

// Looker reads.
type Looker interface {
	Copies(ctx context.Context, names []string) (map[string]*client.Copy, error)
	LostPrimaries(ctx context.Context, index string) ([]client.Lost, error)
	Snapshot(ctx context.Context, repository, name string) (*client.Snapshot, error)
	Contents(ctx context.Context, repository, name string) (map[string]client.Stored, error)
	Running(ctx context.Context, repository string) ([]string, error)
	Sample(ctx context.Context, index string, maxSeqNos []int64, o client.Sampling) (client.Sample, error)
}

// Requests makes requests and sends none.
type Requests interface {
	BlockWrites(names []string) client.Request
	Flush(names []string) client.Request
	Refresh(names []string) client.Request
	Replicas(names []string, n int) client.Request
	DeleteIndex(name string) client.Request
	VerifyRepository(repository string) client.Request
	TakeSnapshot(repository, name string, indices []string, uuids map[string]string) client.Request
	DeleteSnapshot(repository, name string) client.Request
	Restore(repository, name, index, as string, replicas int) client.Request
}

// Ledger keeps what was proved.
type Ledger interface {
	// Get is the entry of an index; nil when there is none.
	Get(index string) (*ledger.Entry, error)
	// Put writes entries, all or none; when it returns, they are on disk.
	Put(entries ...*ledger.Entry) error
}

// Options say what is to be done.
type Options struct {
	Cluster Cluster
	Ledger  Ledger
	// StateDir holds the journal and the locks; one folder is for one cluster.
	StateDir   string
	Repository string
	// Lifecycle is whose entries in the ledger are written.
	Lifecycle string
	// Indices go into as few snapshots as GroupSize allows; default 20 in one.
	Indices   []string
	GroupSize int
	// Quiet is how long no document may have come before writes are blocked; default 10 minutes.
	Quiet time.Duration
	// ReadBack is how many indices of each snapshot are restored under another name and compared: -1 all, 0 none.
	ReadBack int
	// DropReplicas sets replicas to 0 where a proof stands.
	DropReplicas bool
	// Attempts is how many snapshots are begun where one ends PARTIAL or FAILED; default 2.
	Attempts int
	// Patience is how long a read-back or a restore may stand still; default 1 hour.
	Patience time.Duration
	// Every is how long is waited between looks; default 5 seconds.
	Every time.Duration
	// Tell is told each step, with its requests, before it is done; nil: nobody.
	Tell func(d *Decision)
}

// Rules that a Stop names.
const (
	RuleNames         = "names_are_no_patterns"
	RuleGone          = "index_is_there"
	RuleRed           = "all_primaries_answer"
	RuleReplaced      = "index_is_the_same"
	RuleBlock         = "write_block_stands"
	RuleWritten       = "no_document_came_under_the_block"
	RuleState         = "snapshot_is_whole"
	RuleContents      = "snapshot_holds_all_shards"
	RuleMetadata      = "snapshot_is_of_this_index"
	RuleReadBack      = "read_back_is_equal"
	RuleProof         = "proof_stands"
	RuleNotLost       = "index_is_lost"
	RuleRestored      = "restored_index_is_equal"
	RuleSnapshotGone  = "snapshot_is_there"
	RuleSnapshotOther = "snapshot_is_the_same"
)

// Stop is where it cannot go on: the rule that does not hold, for what, and what to do.
type Stop struct {
	Rule string `json:"rule"`
	Why  string `json:"why"`
}

func (s *Stop) Error() string { return s.Rule + ": " + s.Why }

func stop(rule, format string, args ...any) *Stop { return &Stop{rule, fmt.Sprintf(format, args...)} }

func (o Options) withDefaults() (Options, error) {
	if o.Cluster == nil || o.Ledger == nil || o.StateDir == "" || o.Repository == "" || o.Lifecycle == "" {
		return o, errors.New("want a cluster, a ledger, a folder for the state, a repository and the name of a lifecycle")
	}
	o.Indices = slices.Clone(o.Indices)
	slices.Sort(o.Indices)
	o.Indices = slices.Compact(o.Indices)
	if len(o.Indices) == 0 {
		return o, errors.New("want at least one index")
	}
	if o.GroupSize <= 0 {
		o.GroupSize = 20
	}
	for group := range slices.Chunk(o.Indices, o.GroupSize) {
		if err := client.CheckNames(group); err != nil {
			return o, &Stop{RuleNames, err.Error()}
		}
	}
	if o.Quiet < 0 || o.ReadBack < -1 {
		return o, errors.New("the time without documents cannot be below 0, and the number of indices to read back not below -1")
	}
	return o.filled(), nil
}

// filled has a default for whatever may be left out.
func (o Options) filled() Options {
	if o.Attempts <= 0 {
		o.Attempts = 2
	}
	if o.Patience <= 0 {
		o.Patience = time.Hour
	}
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Tell == nil {
		o.Tell = func(*Decision) {}
	}
	return o
}
