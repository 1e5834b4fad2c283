package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Schema is the form of an entry; it grows when a reader of an older one would misunderstand it.
const Schema = 1

// Entry is one slot of a lifecycle.
type Entry struct {
	Schema int `json:"schema"`
	// Lifecycle is namespace/name of the policy that the slot is under; the name alone where there is no namespace.
	Lifecycle string `json:"lifecycle"`
	// Index is the name of the slot's index as the policy's format makes it; with Lifecycle it is the key.
	Index string `json:"index"`
	// Done are the phases that were finished, in the order in which they were.
	Done []Done `json:"done,omitempty"`
	// Proofs are of snapshots, the latest last. One that was voided stays, with the reason.
	Proofs []Proof `json:"proofs,omitempty"`
	// Try is the step that was begun or went wrong last; none when the last one was finished.
	Try *Try `json:"try,omitempty"`
	// Quiet is since when no document arrived; none before the index was looked at once.
	Quiet *Quiet `json:"quiet,omitempty"`
	// Overrides are rules that a person let pass for this slot.
	Overrides []Override `json:"overrides,omitempty"`
	// UpdatedAt is when the entry was written, by the clock of who wrote it.
	UpdatedAt time.Time `json:"updatedAt"`
}

// Quiet is that the documents of an index did not change.
type Quiet struct {
	UUID string `json:"uuid"`
	Docs int64  `json:"docs"`
	// Since is the first look that saw these.
	Since time.Time `json:"since"`
}

// Done is a phase that was finished.
type Done struct {
	// Phase is its name in the policy, Kind what it does: shrink, forceMerge, snapshot, replicas, move, mount, freeze, close, delete.
	Phase string `json:"phase"`
	Kind  string `json:"kind"`
	// Hash is of the kind and its parameters: an edited phase has another one.
	Hash string    `json:"hash"`
	At   time.Time `json:"at"`
	// Index and UUID are of the index that the phase left behind; empty after a delete.
	Index string `json:"index,omitempty"`
	UUID  string `json:"uuid,omitempty"`
	// Bytes is what it brought over the network; 0 for none.
	Bytes int64 `json:"bytes,omitempty"`
	// Says is one line for people, such as 60 → 10 primaries, with its replica.
	Says string `json:"says,omitempty"`
}

// Try is a step that was begun and of which nobody wrote that it was finished.
type Try struct {
	Phase string `json:"phase"`
	// Action is the action of the plan: takeSnapshot, gather, shrink.
	Action string `json:"action"`
	// Node is where it was tried; the next try prefers another one.
	Node string    `json:"node,omitempty"`
	At   time.Time `json:"at"`
	// Bytes is what it brings over the network; 0 for none.
	Bytes int64 `json:"bytes,omitempty"`
	// Failures counts tries that went wrong in a row; 0 while the first one is under way.
	Failures int `json:"failures,omitempty"`
	// Why is what went wrong last; empty while nothing did.
	Why string `json:"why,omitempty"`
	// NeedsHuman stops the slot until a person has looked.
	NeedsHuman bool `json:"needsHuman,omitempty"`
}

// Override is a rule that a person let pass, by name.
type Override struct {
	Rule string    `json:"rule"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	// Risk is what was printed before.
	Risk string `json:"risk"`
}

// Key is the lifecycle and the index, which no other entry shares.
func (e *Entry) Key() string { return e.Lifecycle + "/" + e.Index }

// Finished is the phase of a name with the hash of its parameters, if it was finished.
func (e *Entry) Finished(phase, hash string) (Done, bool) {
	if e == nil {
		return Done{}, false
	}
	i := slices.IndexFunc(e.Done, func(d Done) bool { return d.Phase == phase && d.Hash == hash })
	if i < 0 {
		return Done{}, false
	}
	return e.Done[i], true
}

// Overridden says that a person let a rule pass for this slot.
func (e *Entry) Overridden(rule string) bool {
	return e != nil && slices.ContainsFunc(e.Overrides, func(o Override) bool { return o.Rule == rule })
}

// MaxEntryBytes is the largest entry that is read.
const MaxEntryBytes = 256 << 10

// Encode writes an entry as one line of JSON.
func Encode(e *Entry) ([]byte, error) {
	with := *e
	with.Schema = Schema
	if err := with.check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(&with)
	if err != nil {
		return nil, fmt.Errorf("writing the entry of %s: %w", e.Index, err)
	}
	if len(data) > MaxEntryBytes {
		return nil, fmt.Errorf("the entry of %s has %d bytes, %d at most", e.Index, len(data), MaxEntryBytes)
	}
	return data, nil
}

// Decode reads an entry and checks it. A field that this program does not know is an error: it may be the reason why something must not be done.
func Decode(data []byte) (*Entry, error) {
	if len(data) > MaxEntryBytes {
		return nil, fmt.Errorf("an entry of the ledger has %d bytes, %d at most", len(data), MaxEntryBytes)
	}
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("reading an entry of the ledger: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading an entry of the ledger: something stands behind it")
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return &e, nil
}

func (e *Entry) check() error {
	switch {
	case e.Schema != Schema:
		return fmt.Errorf("the entry of %q has schema %d, this program reads %d", e.Index, e.Schema, Schema)
	case e.Lifecycle == "" || e.Index == "":
		return fmt.Errorf("an entry of the ledger without lifecycle or index: %q, %q", e.Lifecycle, e.Index)
	}
	for _, d := range e.Done {
		if d.Phase == "" || d.Hash == "" || d.Kind == "" || d.At.IsZero() {
			return fmt.Errorf("the entry of %s: a finished phase without name, kind, hash or time: %+v", e.Index, d)
		}
	}
	for i := range e.Proofs {
		if err := e.Proofs[i].check(); err != nil {
			return fmt.Errorf("the entry of %s: %w", e.Index, err)
		}
	}
	return nil
}
