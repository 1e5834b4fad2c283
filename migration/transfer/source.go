package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/slipway-dev/slipway/migration/block"
)

// MaxRange is the most that one Read gives.
const MaxRange = 64 << 20

// Source is where blocks come from. All of it may be repeated.
type Source interface {
	// Blocks lists what the data directory holds.
	Blocks(ctx context.Context) (*block.Listing, error)
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
