package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/slipway-dev/slipway/durable"
)

// StagingFolder is where blocks are kept until they are installed: below the target directory, so that one rename installs
// them, and under a name that Prometheus neither loads nor deletes.
const StagingFolder = "slipway-staging"

// strikes is how often the same thing may go wrong before the transfer stops.
const strikes = 3

// atOnce is how many blocks are worked on: one arrives while the one before is verified.
const atOnce = 2

// PullOptions say what is pulled from where to where.
type PullOptions struct {
	Source Source
	// Target is the data directory. It is made where it is missing; a server may run in it.
	Target string
	// Blocks are names in the order in which they are wanted.
	Blocks []string
	// Seed is a data directory of this host that may hold a part of the same: what is there is compared by sums, and only
	// what differs travels. The target itself may be its seed: then installed blocks are verified, too. Empty: none.
	Seed string
	// Parallel is how many pieces travel at once; default 4.
	Parallel int
	// PieceBytes is the size of a piece; default 8 MiB, at most MaxRange.
	PieceBytes int64
	// CheckpointBytes is after how many bytes of a block everything is made durable; default 64 MiB. A kill loses at most
	// this much of each of two blocks.
	CheckpointBytes int64
	// KeepFree is how many bytes must stay free on the target's file system.
	KeepFree uint64
	// Patience is how long a source may be silent before the transfer stops; default 10 minutes.
	Patience time.Duration
	// Pace is asked before every write; nil: as fast as it goes.
	Pace func(ctx context.Context, bytes int) error
	// Progress is called about every second, and nil otherwise.
	Progress func(Progress)
}

func (o PullOptions) withDefaults() PullOptions {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.PieceBytes <= 0 {
		o.PieceBytes = 8 << 20
	}
	o.PieceBytes = min(o.PieceBytes, MaxRange)
	if o.CheckpointBytes <= 0 {
		o.CheckpointBytes = 64 << 20
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Minute
	}
	return o
}

// BlockState is where a block is after a pull.
type BlockState string

// The states of blocks.
const (
	Staged    BlockState = "staged"    // verified on the target's disk, waits for its installation
	Installed BlockState = "installed" // in the data directory
	Differs   BlockState = "differs"   // installed, but not what the source has; a whole one is staged
	Bad       BlockState = "damaged"   // the source's disk does not give it whole; what arrived is staged
)

// PulledBlock is one block after a pull.
type PulledBlock struct {
	Name   string     `json:"name"`
	State  BlockState `json:"state"`
	Folder string     `json:"folder"`
	Bytes  int64      `json:"bytes"`
}

// PullResult is what a pull did. Bytes are of block data.
type PullResult struct {
	Blocks        []PulledBlock `json:"blocks"`
	BytesFetched  int64         `json:"bytesFetched"`  // from the source, repetitions included
	BytesSeeded   int64         `json:"bytesSeeded"`   // from the seed
	BytesKept     int64         `json:"bytesKept"`     // by an earlier run
	BytesVerified int64         `json:"bytesVerified"` // read again from the target's disk
	Seconds       float64       `json:"seconds"`
}

// pull is one run.
type pull struct {
	o       PullOptions
	staging string
	journal *journal
	slots   chan struct{} // of pieces that travel
	began   time.Time
	heard   atomic.Int64 // when the source last answered, in Unix nanoseconds
	silent  atomic.Bool

	fetched, seeded, kept, verified meter
	total, before                   atomic.Int64 // of blocks that were missing, and of those that were there whole
	verifying                       atomic.Int32
	writing, waiting                atomic.Int64 // nanoseconds spent on the target's disk, and for the source

	mu     sync.Mutex
	states map[string]*PulledBlock
	bad    []error // of blocks that the source's disk does not give whole
}

// Pull brings blocks into the staging folder and verifies them on the target's disk. Killed at any moment, it goes on
// where it was; what is staged or installed is not read again. Errors are *NoSpaceError, *DamageError, *LostError,
// *RefusedError, or the system's; after each of them everything that arrived is kept. A block that is damaged on the
// source's disk keeps no other back: the errors of all such blocks come together, when the rest is staged.
func Pull(ctx context.Context, o PullOptions) (*PullResult, error) {
	p := &pull{o: o.withDefaults(), staging: filepath.Join(o.Target, StagingFolder), began: time.Now(), states: map[string]*PulledBlock{}}
	p.slots = make(chan struct{}, p.o.Parallel)
	for _, name := range o.Blocks {
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	lock, err := lockStaging(p.staging)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the kernel lets go of the lock with it
	if p.journal, err = openJournal(p.staging); err != nil {
		return nil, err
	}
	p.heard.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancel(ctx)
	reported := p.report(ctx)
	err = errors.Join(p.run(ctx), p.journal.close())
	cancel()
	<-reported
	return p.result(), err
}

// lockStaging makes the staging folder and keeps other pulls out.
func lockStaging(staging string) (*os.File, error) {
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return nil, fmt.Errorf("making the staging folder: %w", err)
	}
	f, err := durable.TryLock(filepath.Join(staging, "lock"))
	if errors.Is(err, durable.ErrHeld) {
		return nil, fmt.Errorf("locking %s: another slipway works in it", staging)
	}
	if err != nil {
		return nil, fmt.Errorf("locking the staging folder: %w", err)
	}
	return f, nil
}

// run brings what is missing, in the order of the list, two blocks at a time.
func (p *pull) run(ctx context.Context) error {
	missing, err := p.missing()
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := p.ask(ctx, func() error { return p.o.Source.Pin(ctx, missing) }); err != nil {
		return fmt.Errorf("pinning %d blocks: %w", len(missing), err)
	}
	blocks, err := p.prepare(ctx, missing)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, b := range blocks {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := p.bring(ctx, b); err != nil {
				return b.leave(fmt.Errorf("bringing block %s: %w", b.name, err))
			}
			return nil
		})
	}
	err = group.Wait()
	return errors.Join(append(p.bad, err)...)
}

// bring stages a block, from its beginning where a file on the source is not as long any more as the source has said.
func (p *pull) bring(ctx context.Context, b *staging) error {
	for n := 1; ; n++ {
		err := b.stage(ctx)
		if n == strikes || !b.resized(ctx, err) {
			return err
		}
		if b, err = p.begin(ctx, b.name); err != nil {
			return err
		}
	}
}

// resized says that the source refused a range of its own list of files, and that the list is another one now.
func (b *staging) resized(ctx context.Context, err error) bool {
	if said := (*RefusedError)(nil); !errors.As(err, &said) || said.Code != BadRequest {
		return false
	}
	files, err := b.o.Source.Files(ctx, b.name)
	return err == nil && !slices.Equal(files, b.known.files)
}

// leave notes an error that is of this block alone, and gives back every other one.
func (b *staging) leave(err error) error {
	var damage *DamageError
	var said *RefusedError
	onDisk := errors.As(err, &damage) && damage.Side == SourceDisk
	if !onDisk && (!errors.As(err, &said) || said.Code != BadDisk) {
		return err
	}
	b.done(PulledBlock{Name: b.name, State: Bad, Folder: b.folder, Bytes: b.known.bytes()})
	b.pull.mu.Lock()
	defer b.pull.mu.Unlock()
	b.bad = append(b.bad, err)
	return nil
}

// missing are the blocks that are neither installed nor staged whole. Only names and sizes are looked at.
func (p *pull) missing() ([]string, error) {
	var missing []string
	for _, name := range p.o.Blocks {
		installed := filepath.Join(p.o.Target, name)
		_, err := os.Lstat(filepath.Join(installed, "meta.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("looking for block %s: %w", name, err)
		}
		if err == nil && !p.seedIsTarget() {
			p.done(PulledBlock{Name: name, State: Installed, Folder: installed, Bytes: treeBytes(installed)})
			continue
		}
		if b := p.journal.of(name); b != nil && b.whole && treeBytes(filepath.Join(p.staging, name)) == b.bytes() {
			state := Staged
			if err == nil {
				state = Differs
			}
			p.done(PulledBlock{Name: name, State: state, Folder: filepath.Join(p.staging, name), Bytes: b.bytes()})
			p.kept.add(int(b.bytes()))
			p.before.Add(b.bytes())
			continue
		}
		missing = append(missing, name)
	}
	return missing, nil
}

func (p *pull) seedIsTarget() bool { return sameFolder(p.o.Seed, p.o.Target) }

func sameFolder(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// treeBytes is the size of the files below a folder, as far as they can be seen.
func treeBytes(folder string) (sum int64) {
	_ = filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// prepare asks for the files of all blocks and whether they have room, before a byte travels.
func (p *pull) prepare(ctx context.Context, names []string) ([]*staging, error) {
	var blocks []*staging
	var needed int64
	for _, name := range names {
		b, err := p.begin(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("beginning block %s: %w", name, err)
		}
		blocks = append(blocks, b)
		p.total.Add(b.known.bytes())
		if _, err := os.Lstat(filepath.Join(p.o.Target, name)); err != nil { // else it may need nothing: see seed
			needed += b.known.bytes() - allocated(b.folder)
		}
	}
	free, err := freeBytes(p.staging)
	if err != nil {
		return nil, err
	}
	if needed > 0 && (free < uint64(needed) || free-uint64(needed) < p.o.KeepFree) {
		return nil, &NoSpaceError{Path: p.o.Target, Free: free, KeepFree: p.o.KeepFree, Needed: needed}
	}
	return blocks, nil
}

// allocated is the space that the files below a folder take already.
func allocated(folder string) (sum int64) {
	_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		var stat unix.Stat_t
		if err == nil && !e.IsDir() && unix.Lstat(path, &stat) == nil {
			sum += stat.Blocks * 512
		}
		return err
	})
	return sum
}

func (p *pull) done(b PulledBlock) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[b.Name] = &b
}

func (p *pull) result() *PullResult {
	r := &PullResult{BytesFetched: p.fetched.total(), BytesSeeded: p.seeded.total(), BytesKept: p.kept.total(), BytesVerified: p.verified.total(), Seconds: time.Since(p.began).Seconds()}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range p.o.Blocks {
		if b := p.states[name]; b != nil {
			r.Blocks = append(r.Blocks, *b)
		}
	}
	return r
}
