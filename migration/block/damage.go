package block

import (
	"fmt"
	"io/fs"
)

// Kind says what is wrong with a file of a block; callers decide on it.
type Kind string

// The kinds of damage.
const (
	MissingFile       Kind = "missing-file"       // a file that the block needs is not there
	BadMeta           Kind = "bad-meta"           // meta.json cannot be read or contradicts itself
	UnknownVersion    Kind = "unknown-version"    // written by a version that this program does not know
	DamagedIndex      Kind = "damaged-index"      // the index does not decode or a sum is wrong
	DamagedChunk      Kind = "damaged-chunk"      // a chunk or the head of a segment
	DamagedTombstones Kind = "damaged-tombstones" // the tombstones do not decode or their sum is wrong
	Miscount          Kind = "miscount"           // everything decodes, but meta.json says other numbers
	OutsideRange      Kind = "outside-range"      // samples outside the time range of the block
	Unreadable        Kind = "unreadable"         // the disk answered with an error
	Foreign           Kind = "foreign"            // not what Prometheus writes: a link, a pipe, another directory
)

// advice is what a person does about a kind.
func (k Kind) advice() string {
	switch k {
	case MissingFile:
		return "take the block from a backup or a replica; without one, move its folder out of the data directory before the next restart"
	case BadMeta:
		return "take meta.json from a backup or a replica; while it is bad, Prometheus skips the block and plans no compaction"
	case UnknownVersion:
		return "use a slipway that knows this version; a block of Prometheus 2.1 is repaired by starting a later Prometheus 2 on it"
	case DamagedIndex:
		return "take the block from a backup or a replica; without one, move its folder out of the data directory before the next restart: Prometheus does not start with it"
	case DamagedChunk:
		return "take this file from a backup or a replica; without one, queries that touch these samples fail, all others work"
	case DamagedTombstones:
		return "take tombstones from a backup or a replica: Prometheus does not load the block; without the file, deleted samples come back"
	case Miscount:
		return "compare with a replica: chunks were lost or meta.json was edited"
	case OutsideRange:
		return "move this block by hand only: its time range is not to be trusted"
	case Unreadable:
		return "look into the kernel log: the disk is failing; save the other blocks first"
	}
	return "put the file itself in its place: links and special files are not followed"
}

// Damage is one thing that is wrong, as an error that a caller can decide on with errors.As.
type Damage struct {
	Kind    Kind   `json:"kind"`
	File    string `json:"file"`              // inside the block, with slashes: chunks/000001
	Offset  int64  `json:"offset"`            // where in the file; -1 for the file as a whole
	Segment int    `json:"segment,omitempty"` // number of the chunk segment, from 1
	What    string `json:"what"`
	Count   int    `json:"count"`          // how many in a row are like this one, the first included
	From    *int64 `json:"from,omitempty"` // Unix milliseconds of the first sample that is lost, where known
	To      *int64 `json:"to,omitempty"`
	Do      string `json:"do"`
}

// Error says where and what.
func (d *Damage) Error() string {
	if d.Offset < 0 {
		return fmt.Sprintf("%s: %s", d.File, d.What)
	}
	return fmt.Sprintf("%s at %d: %s", d.File, d.Offset, d.What)
}

// Is makes a missing file fs.ErrNotExist.
func (d *Damage) Is(target error) bool { return d.Kind == MissingFile && target == fs.ErrNotExist }

func damaged(kind Kind, file string, offset int64, format string, args ...any) *Damage {
	return &Damage{Kind: kind, File: file, Offset: offset, What: fmt.Sprintf(format, args...), Count: 1, Do: kind.advice()}
}

// ForeignError says that a directory is no data directory of Prometheus.
type ForeignError struct{ Path, Why string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is no data directory of Prometheus: %s", e.Path, e.Why)
}
