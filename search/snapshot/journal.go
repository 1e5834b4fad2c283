package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/search/client"
	"github.com/slipway-dev/slipway/search/ledger"
)

const (
	journalVersion = 1
	// maxJournal is far above what a group of indices writes.
	maxJournal = 64 << 20
)

// Journal is what cannot be seen again by looking: what an index was before its snapshot was begun, and what was asked for.
type Journal struct {
	Version    int       `json:"version"`
	Repository string    `json:"repository"`
	Indices    []Before  `json:"indices"`
	Changed    time.Time `json:"changed"`
	// Settled says that all of Before was read under the write block, behind a flush.
	Settled bool `json:"settled,omitempty"`
	// Attempt counts snapshots that were asked for, from 1; Asked says that the present one was, or is about to be.
	Attempt int  `json:"attempt"`
	Asked   bool `json:"asked,omitempty"`
	// Took is the UUID of the snapshot that ended well.
	Took string `json:"took,omitempty"`
	// ReadBacks are by index.
	ReadBacks map[string]*ledger.ReadBack `json:"readBacks,omitempty"`
	// Proved says that the ledger has the proofs.
	Proved bool `json:"proved,omitempty"`
}

// Before is an index as it was before its snapshot.
type Before struct {
	Name      string  `json:"name"`
	UUID      string  `json:"uuid"`
	Primaries int     `json:"primaries"`
	Docs      []int64 `json:"docs,omitempty"`
	MaxSeqNos []int64 `json:"maxSeqNos,omitempty"`
	// Checksum is of sampled documents.
	Checksum string `json:"checksum,omitempty"`
}

func (b *Before) total() (n int64) {
	for _, d := range b.Docs {
		n += d
	}
	return n
}

// differs from a copy in its sequence numbers or its documents; those are compared by shard where both are known by shard.
func (b *Before) differs(x *client.Copy) bool {
	if len(b.Docs) != len(x.Docs) && b.total() != x.Total() || len(b.Docs) == len(x.Docs) && !slices.Equal(b.Docs, x.Docs) {
		return true
	}
	return !slices.Equal(b.MaxSeqNos, x.MaxSeqNos)
}

// Name of the snapshot: of the UUIDs and the attempt, so another index of the same name never gets it.
func (j *Journal) Name() string {
	sum := sha256.New()
	for _, b := range j.Indices {
		fmt.Fprintf(sum, "%q %q\n", b.Name, b.UUID)
	}
	return fmt.Sprintf("slipway-%s-%d", hex.EncodeToString(sum.Sum(nil))[:16], j.Attempt)
}

func (j *Journal) names() []string {
	var names []string
	for _, b := range j.Indices {
		names = append(names, b.Name)
	}
	return names
}

func (j *Journal) uuids() map[string]string {
	uuids := map[string]string{}
	for _, b := range j.Indices {
		uuids[b.Name] = b.UUID
	}
	return uuids
}

// journalPath of a group: another set of indices has another journal.
func journalPath(dir, repository string, group []string) string {
	sum := sha256.Sum256([]byte(repository + "\x00" + strings.Join(group, "\x00")))
	return filepath.Join(dir, "journal-"+hex.EncodeToString(sum[:])[:16]+".json")
}

// readJournal is nil where there is none.
func readJournal(path, repository string, group []string) (*Journal, error) {
	data, err := durable.Read(path, maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var j Journal
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("reading the journal %s: %w", path, err)
	}
	if j.Version != journalVersion || j.Repository != repository || !slices.Equal(j.names(), group) || j.Attempt < 1 {
		return nil, fmt.Errorf("the journal %s is not of version %d, or of other indices: move it away to begin anew", path, journalVersion)
	}
	return &j, nil
}

func (j *Journal) write(path string) error {
	j.Version, j.Changed = journalVersion, time.Now().UTC()
	data, err := json.MarshalIndent(j, "", " ")
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := durable.Replace(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// lock keeps others with the same state from working on the same repository; it waits for them.
func lock(ctx context.Context, dir, repository string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for the state: %w", err)
	}
	sum := sha256.Sum256([]byte(repository))
	f, err := durable.Lock(ctx, filepath.Join(dir, "repository-"+hex.EncodeToString(sum[:])[:16]+".lock"))
	if err != nil {
		return nil, fmt.Errorf("waiting for the repository %s: %w", repository, err)
	}
	return f, nil
}
