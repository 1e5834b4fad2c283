package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"golang.org/x/sync/errgroup"
)

// staging is one block on its way.
type staging struct {
	*pull
	name   string
	folder string
	known  *stagedBlock
	root   *os.Root

	mu      sync.Mutex
	files   map[string]*os.File // open for writing
	pending []line              // pieces that are written but maybe not on the disk
	bytes   int64               // of them
	struck  map[string]int
}

// Side is where bytes became wrong.
type Side string

// The sides.
const (
	SourceDisk Side = "source disk"
	InFlight   Side = "in flight"
	TargetDisk Side = "target disk"
)

// DamageError says that bytes came out wrong three times, and where. Everything that is right is kept.
type DamageError struct {
	Side   Side
	Block  string
	File   string
	Offset int64 // of the piece, -1 for the file
	Times  int
	Damage *block.Damage // what the scrub says, where it was the scrub
}

func (e *DamageError) Error() string {
	text := fmt.Sprintf("%s/%s", e.Block, e.File)
	if e.Offset >= 0 {
		text += fmt.Sprintf(" from %d", e.Offset)
	}
	switch e.Side {
	case SourceDisk:
		text += fmt.Sprintf(" is damaged on the source disk: %d times it arrived as it was sent, and did not hold", e.Times)
	case InFlight:
		text += fmt.Sprintf(" is damaged in flight: %d times what arrived was not what was sent; look at the network and the memory of both hosts", e.Times)
	case TargetDisk:
		text += fmt.Sprintf(" is damaged on the target disk: %d times it arrived as it was sent, and the disk gave back something else; replace the disk", e.Times)
	}
	if e.Damage != nil {
		text += fmt.Sprintf(": %v: %s", e.Damage, e.Damage.Do)
	}
	return text
}

// begin looks which files a block has and what is known of it already. A file that was replaced on the source makes the
// block begin again.
func (p *pull) begin(ctx context.Context, name string) (*staging, error) {
	b := &staging{pull: p, name: name, folder: filepath.Join(p.staging, name), files: map[string]*os.File{}, struck: map[string]int{}}
	var files []block.FileInfo
	if err := p.ask(ctx, func() (err error) { files, err = p.o.Source.Files(ctx, name); return err }); err != nil {
		return nil, err
	}
	b.known = p.journal.of(name)
	if b.known != nil && b.known.piece == p.o.PieceBytes && slices.Equal(b.known.files, files) {
		return b, nil
	}
	fresh := line{Kind: lineBegin, Block: name, Bytes: p.o.PieceBytes, Files: files}
	if begun(fresh) == nil {
		return nil, refused(BadRequest, "its list of files cannot be one of a block: %d files", len(files))
	}
	// The folder first: what lies in it is not what the journal is about to promise.
	if err := errors.Join(os.RemoveAll(b.folder), os.Mkdir(b.folder, 0o755)); err != nil {
		return nil, fmt.Errorf("making a staging folder: %w", err)
	}
	if err := p.journal.add(fresh); err != nil {
		return nil, err
	}
	b.known = p.journal.of(name)
	return b, nil
}

// stage brings a block until it is whole.
func (b *staging) stage(ctx context.Context) error {
	var err error
	if b.root, err = os.OpenRoot(b.folder); err != nil {
		return fmt.Errorf("opening the staging folder: %w", err)
	}
	defer b.root.Close()
	b.kept.add(int(b.arrived()))
	if done, err := b.seed(ctx); done || err != nil {
		return err
	}
	for {
		err := errors.Join(b.fetch(ctx), b.close())
		if err != nil {
			return err
		}
		whole, err := b.verify(ctx)
		if err != nil {
			return err
		}
		if whole {
			break
		}
	}
	if err := giveTo(b.folder, b.o.Target); err != nil {
		return err
	}
	if err := b.journal.add(line{Kind: lineWhole, Block: b.name}); err != nil {
		return err
	}
	state := Staged
	if _, err := os.Lstat(filepath.Join(b.o.Target, b.name)); err == nil {
		state = Differs
	}
	b.done(PulledBlock{Name: b.name, State: state, Folder: b.folder, Bytes: b.known.bytes()})
	return nil
}

// arrived is how much of the block is on the disk.
func (b *staging) arrived() (sum int64) {
	b.each(func(r Range, piece int64) {
		if b.journal.sum(b.name, r.File, piece) != nil {
			sum += r.Bytes
		}
	})
	return sum
}

// each goes through the pieces of the block.
func (b *staging) each(f func(r Range, piece int64)) {
	for _, file := range b.known.files {
		for i := range pieces(file.Bytes, b.known.piece) {
			off := i * b.known.piece
			f(Range{Block: b.name, File: file.Name, Offset: off, Bytes: min(b.known.piece, file.Bytes-off)}, i)
		}
	}
}

// fetch brings the pieces that are missing.
func (b *staging) fetch(ctx context.Context) error {
	for _, f := range b.known.files { // also those that are empty
		if _, err := b.open(f); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.o.Parallel)
	b.each(func(r Range, piece int64) {
		if ctx.Err() != nil || b.journal.sum(b.name, r.File, piece) != nil {
			return
		}
		group.Go(func() error { return b.fetchPiece(ctx, r, piece) })
	})
	err := group.Wait()
	// What arrived is made durable also when the rest did not: the next run begins there.
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(err, b.flush())
}

func (b *staging) open(f block.FileInfo) (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.files[f.Name] == nil {
		file, err := openStaged(b.root, f.Name, f.Bytes)
		if err != nil {
			return nil, SpaceError(b.o.Target, f.Bytes, fmt.Errorf("making %s: %w", f.Name, err))
		}
		b.files[f.Name] = file
	}
	return b.files[f.Name], nil
}

func (b *staging) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for name, f := range b.files {
		errs = append(errs, f.Close())
		delete(b.files, name)
	}
	return errors.Join(errs...)
}

// fetchPiece brings one piece from the source.
func (b *staging) fetchPiece(ctx context.Context, r Range, piece int64) error {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.slots }()
	var sum block.Sum
	err := b.ask(ctx, func() (err error) {
		sum, err = b.take(ctx, b.o.Source, r, &b.fetched)
		return err
	})
	if err != nil {
		return err
	}
	return b.landed(r, piece, sum)
}

// take writes a piece from a source into its place. What arrives must be what was sent.
func (b *staging) take(ctx context.Context, from Source, r Range, count *meter) (block.Sum, error) {
	to := &counted{pieceWriter: newPieceWriter(b.file(r.File), r.Offset), ctx: ctx, pull: b.pull, meter: count}
	sent, err := from.Read(ctx, r, to)
	if disk := (*targetError)(nil); errors.As(err, &disk) {
		return block.Sum{}, SpaceError(b.o.Target, r.Bytes, fmt.Errorf("writing %s: %w", r, err))
	}
	if err != nil {
		return block.Sum{}, err
	}
	got := to.sum.Sum()
	if got == sent {
		return got, nil
	}
	if n := b.strike(InFlight, r.File, r.Offset); n >= strikes {
		return block.Sum{}, &DamageError{Side: InFlight, Block: b.name, File: r.File, Offset: r.Offset, Times: n}
	}
	return block.Sum{}, fmt.Errorf("receiving %s: what arrived is not what was sent", r)
}

func (b *staging) file(name string) *os.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files[name]
}

// strike counts what went wrong at a place.
func (b *staging) strike(side Side, file string, off int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := fmt.Sprintf("%s %s %d", side, file, off)
	b.struck[key]++
	return b.struck[key]
}

// landed notes a piece that was written, and makes everything durable when there is enough of it.
func (b *staging) landed(r Range, piece int64, sum block.Sum) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(b.pending, line{Kind: linePiece, Block: b.name, File: r.File, Piece: piece, Sum: &sum})
	b.bytes += r.Bytes
	if b.bytes < b.o.CheckpointBytes {
		return nil
	}
	return b.flush()
}

// flush makes what was written durable, then says so in the journal, then drops it from the page cache. The lock is held:
// who has written more waits, which is how the disk's pace becomes ours.
func (b *staging) flush() error {
	if len(b.pending) == 0 {
		return nil
	}
	began := time.Now()
	defer func() { b.writing.Add(int64(time.Since(began))) }()
	synced := map[string]bool{}
	for _, l := range b.pending {
		if f := b.files[l.File]; !synced[l.File] {
			if err := dataSync(f); err != nil {
				return SpaceError(b.o.Target, b.bytes, fmt.Errorf("writing %s: %w", l.File, err))
			}
			synced[l.File] = true
		}
	}
	if err := b.journal.add(b.pending...); err != nil {
		return err
	}
	for _, l := range b.pending {
		forget(b.files[l.File], l.Piece*b.known.piece, b.known.piece)
	}
	b.pending, b.bytes = nil, 0
	return nil
}

// counted is a piece on its way to the disk: paced, and counted where progress is told from.
type counted struct {
	*pieceWriter
	ctx   context.Context
	pull  *pull
	meter *meter
}

// Write writes to the piece.
func (c *counted) Write(p []byte) (int, error) {
	if c.pull.o.Pace != nil {
		if err := c.pull.o.Pace(c.ctx, len(p)); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	n, err := c.pieceWriter.Write(p)
	c.pull.writing.Add(int64(time.Since(began)))
	c.meter.add(n)
	return n, err
}
