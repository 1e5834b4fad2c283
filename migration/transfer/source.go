package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// MaxRange is the most that one Read gives.
const MaxRange = 64 << 20

// Source is where blocks come from. All of it may be repeated.
type Source interface {
	// Blocks lists what the data directory holds.
	Blocks(ctx context.Context) (*block.Listing, error)
	// Pinned lists what is pinned, whoever pinned it.
	Pinned(ctx context.Context) (*block.Listing, error)
	// Pin makes the named blocks stay until Unpin, whatever the server does with them, beside those that are pinned already.
	Pin(ctx context.Context, names []string) error
	// Unpin lets go of all blocks.
	Unpin(ctx context.Context) error
	// Files lists the files of a pinned block.
	Files(ctx context.Context, name string) ([]block.FileInfo, error)
	// Read writes a range of a file of a pinned block and returns the sum of what was read from the source's disk.
	Read(ctx context.Context, r Range, to io.Writer) (block.Sum, error)
	// Scrub reads a pinned block whole on the source's side: a verdict, and the sums of all pieces.
	Scrub(ctx context.Context, name string, pieceBytes int64) (*block.Report, error)
	// Status says how it goes on the source's side.
	Status(ctx context.Context) (*SourceStatus, error)
}

// List lists what a source has to give: the blocks of its data directory, and those that its server has deleted since and that only
// a pin holds: one that an earlier run made. Pinned blocks that the server has compacted into others are not among them.
func List(ctx context.Context, s Source) (*block.Listing, error) {
	list, err := s.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	pinned, err := s.Pinned(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what is pinned: %w", err)
	}
	there := list.Blocks
	for _, e := range pinned.Blocks {
		if e.Verdict == block.OK && !held(&e, there) {
			list.Blocks = append(list.Blocks, e)
		}
	}
	return list, nil
}

// held says that one of some blocks is a block, or was made of all that it was made of.
func held(e *block.Entry, others []block.Entry) bool {
	return slices.ContainsFunc(others, func(o block.Entry) bool {
		if o.Name == e.Name {
			return true
		}
		if o.Verdict != block.OK || len(e.Meta.Compaction.Sources) == 0 {
			return false
		}
		return !slices.ContainsFunc(e.Meta.Compaction.Sources, func(id ulid.ULID) bool { return !slices.Contains(o.Meta.Compaction.Sources, id) })
	})
}

// Range is a part of a file of a block.
type Range struct {
	Block  string
	File   string // inside the block, with slashes
	Offset int64
	Bytes  int64
}

func (r Range) String() string {
	return fmt.Sprintf("%s/%s from %d, %d bytes", r.Block, r.File, r.Offset, r.Bytes)
}

// SourceStatus is the source's side of a transfer.
type SourceStatus struct {
	BytesRead      int64      `json:"bytesRead"` // since the program started
	BytesPerSecond int64      `json:"bytesPerSecond"`
	Pinned         []string   `json:"pinned"`
	Throttle       *Reading   `json:"throttle,omitempty"`
	Dropped        string     `json:"dropped,omitempty"` // why the pin was let go
	LimitedBy      LimitCause `json:"limitedBy"`
	Disk           *Disk      `json:"disk,omitempty"` // nil: not known
}

// Disk is the file system of the source's data directory, as its server may use it. What is pinned and deleted by the server still takes room there.
type Disk struct {
	FreeBytes int64 `json:"freeBytes"`
	SizeBytes int64 `json:"sizeBytes"`
}

// Code is the kind of a refusal, the same on both sides of the wire.
type Code string

// The codes of refusals.
const (
	BadRequest   Code = "bad_request"   // nobody should have asked that
	NotPinned    Code = "not_pinned"    // pin the block first; or the source let go of it
	NotFound     Code = "not_found"     // the server has deleted the block
	NoSpace      Code = "no_space"      // the pin needs space that there is not
	NotPermitted Code = "not_permitted" // the source may not link or read the files
	BadDisk      Code = "bad_disk"      // the disk gave an error, or what is there is no block
	Busy         Code = "busy"          // too many readers at once: try again
	Internal     Code = "internal"
)

// RefusedError is what a source says no with.
type RefusedError struct {
	Code    Code
	Message string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the source refuses (%s): %s", e.Code, e.Message)
}

func refused(code Code, format string, args ...any) error {
	return &RefusedError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// codeOf is the kind of an error of this side.
func codeOf(err error) Code {
	var (
		said    *RefusedError
		space   *block.SpaceError
		links   *block.LinkError
		damage  *block.Damage
		foreign *block.ForeignError
	)
	switch {
	case errors.As(err, &said):
		return said.Code
	case errors.As(err, &space):
		return NoSpace
	case errors.As(err, &links):
		return NotPermitted
	case errors.As(err, &foreign), errors.Is(err, io.ErrUnexpectedEOF):
		return BadRequest
	case errors.As(err, &damage) && damage.Kind == block.MissingFile:
		return NotFound
	case errors.As(err, &damage):
		return BadDisk
	}
	return otherCode(err)
}
