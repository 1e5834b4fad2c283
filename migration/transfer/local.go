package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

// pinFolder is where blocks are pinned: beside them, so that they can be linked, under a name that Prometheus ignores.
const pinFolder = "slipway-pin"

// watchEvery is how often the space that is left is looked at while a pin exists.
const watchEvery = 10 * time.Second

// LocalOptions say how a data directory is read.
type LocalOptions struct {
	// Data is the data directory.
	Data string
	// Still says that no server runs there and nothing changes: blocks are read in place and nothing is pinned or written.
	Still bool
	// PinFolder is where blocks are pinned; empty: slipway-pin in the data directory.
	PinFolder string
	// Copy copies blocks that cannot be linked.
	Copy bool
	// KeepFree is how many bytes must stay free beside the pin; with less it is dropped.
	KeepFree uint64
	// Throttle holds the reads; nil for none.
	Throttle *Throttle
}

// Local is a data directory of this host as a Source.
type Local struct {
	o    LocalOptions
	data *block.Dir
	read meter

	mu      sync.Mutex
	pin     *block.Pin
	pinned  *block.Dir // the pin, opened
	unwatch context.CancelFunc
	dropped error
}

// OpenLocal opens a data directory, and the pin that an earlier run left there.
func OpenLocal(o LocalOptions) (*Local, error) {
	d, err := block.Open(o.Data)
	if err != nil {
		return nil, err
	}
	if o.PinFolder == "" {
		o.PinFolder = filepath.Join(o.Data, pinFolder)
	}
	l := &Local{o: o, data: d}
	if o.Still {
		return l, nil
	}
	pin, err := block.OpenPin(o.PinFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = l.hold(pin)
	}
	if foreign := (*block.ForeignError)(nil); errors.As(err, &foreign) { // killed before the first block was pinned
		return l, nil
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return l, nil
}

// hold opens a pin and watches it. The lock is held, or nobody else knows l.
func (l *Local) hold(pin *block.Pin) error {
	if l.pinned == nil {
		d, err := block.Open(pin.Folder)
		if err != nil {
			return fmt.Errorf("opening the pin: %w", err)
		}
		l.pin, l.pinned = pin, d
		ctx, cancel := context.WithCancel(context.Background())
		l.unwatch = cancel
		go l.watch(ctx, pin)
	}
	return nil
}

// watch lets go of the pin before the server runs short.
func (l *Local) watch(ctx context.Context, pin *block.Pin) {
	err := pin.Watch(ctx, watchEvery, l.o.KeepFree)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pin == pin && ctx.Err() == nil {
		l.dropped = err
		l.release()
	}
}

func (l *Local) release() {
	l.unwatch()
	_ = l.pinned.Close() // it was only read
	l.pin, l.pinned, l.unwatch = nil, nil, nil
}

// Close lets go of the directory. The pin stays for the next run.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pin != nil {
		l.release()
	}
	return l.data.Close()
}

// Blocks lists the data directory.
func (l *Local) Blocks(context.Context) (*block.Listing, error) { return l.data.List() }

// Pinned lists the pin; where there is none, nothing.
func (l *Local) Pinned(context.Context) (*block.Listing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pinned == nil {
		return &block.Listing{}, nil
	}
	return l.pinned.List()
}

// Pin links the named blocks beside the data directory.
func (l *Local) Pin(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, err := ulid.ParseStrict(name); err != nil {
			return refused(BadRequest, "%.40q is no name of a block", name)
		}
	}
	if l.o.Still || len(names) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	pin, err := l.data.Pin(ctx, names, block.PinOptions{Folder: l.o.PinFolder, Copy: l.o.Copy, KeepFree: l.o.KeepFree})
	if pin == nil {
		return err
	}
	l.dropped = nil
	if hold := l.hold(pin); hold != nil && err == nil {
		err = hold
	}
	return err
}

// Unpin removes the pin; where there is none, nothing is done.
func (l *Local) Unpin(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pin == nil {
		return nil
	}
	pin := l.pin
	l.release()
	return pin.Unpin()
}

// held is the directory that blocks are read from.
func (l *Local) held() (*block.Dir, error) {
	if l.o.Still {
		return l.data, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.pinned != nil:
		return l.pinned, nil
	case l.dropped != nil:
		return nil, refused(NotPinned, "the pin was let go: %v", l.dropped)
	}
	return nil, refused(NotPinned, "no block is pinned")
}

// Files lists the files of a pinned block.
func (l *Local) Files(_ context.Context, name string) ([]block.FileInfo, error) {
	d, err := l.held()
	if err != nil {
		return nil, err
	}
	files, err := d.Files(name)
	return files, notPinned(err, name)
}

// notPinned says that a block is not there; an error about one of its files stays as it is.
func notPinned(err error, name string) error {
	if damage := (*block.Damage)(nil); errors.Is(err, fs.ErrNotExist) && !errors.As(err, &damage) {
		return refused(NotPinned, "block %.40q is not pinned", name)
	}
	return err
}

// Read reads a range at the pace of the throttle.
func (l *Local) Read(ctx context.Context, r Range, to io.Writer) (block.Sum, error) {
	if r.Bytes > MaxRange {
		return block.Sum{}, refused(BadRequest, "%d bytes at once, at most %d", r.Bytes, MaxRange)
	}
	d, err := l.held()
	if err != nil {
		return block.Sum{}, err
	}
	f, err := d.OpenFile(r.Block, r.File)
	if err != nil {
		return block.Sum{}, notPinned(err, r.Block)
	}
	defer func() { _ = f.Close() }() // it was only read
	sum := block.NewSummer()
	if err := f.CopyRange(ctx, io.MultiWriter(sum, to), r.Offset, r.Bytes, l.pace); errors.Is(err, io.ErrUnexpectedEOF) {
		return block.Sum{}, refused(BadRequest, "reading %s: %v", r, err) // the file is not as long
	} else if err != nil {
		return block.Sum{}, fmt.Errorf("reading %s: %w", r, err)
	}
	return sum.Sum(), nil
}

// pace counts and waits.
func (l *Local) pace(ctx context.Context, n int) error {
	l.read.add(n)
	if l.o.Throttle == nil {
		return nil
	}
	return l.o.Throttle.Wait(ctx, n)
}

// Scrub judges a pinned block and sums its pieces in one read.
func (l *Local) Scrub(ctx context.Context, name string, pieceBytes int64) (*block.Report, error) {
	if pieceBytes <= 0 || pieceBytes > MaxRange {
		return nil, refused(BadRequest, "pieces of %d bytes, want 1 to %d", pieceBytes, MaxRange)
	}
	d, err := l.held()
	if err != nil {
		return nil, err
	}
	r, err := d.Scrub(ctx, name, block.ScrubOptions{SumsOnly: true, PieceBytes: pieceBytes, Pace: l.pace})
	return r, notPinned(err, name)
}

// Status says what is read and what holds it back.
func (l *Local) Status(context.Context) (*SourceStatus, error) {
	s := &SourceStatus{BytesRead: l.read.total(), BytesPerSecond: l.read.rate(time.Now()), LimitedBy: LimitedByNothing}
	if disk, err := DiskOf(l.o.Data); err == nil {
		s.Disk = disk
	}
	if l.o.Throttle != nil {
		reading := l.o.Throttle.Reading()
		s.Throttle, s.LimitedBy = &reading, reading.LimitedBy
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped != nil {
		s.Dropped = l.dropped.Error()
	}
	if l.pinned == nil {
		return s, nil
	}
	list, err := l.pinned.List()
	if err != nil {
		return nil, err
	}
	for _, b := range list.Blocks {
		s.Pinned = append(s.Pinned, b.Name)
	}
	slices.Sort(s.Pinned)
	return s, nil
}

// otherCode is the kind of an error of the system.
func otherCode(err error) Code {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return NotPermitted
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return NoSpace
	case errors.Is(err, syscall.EIO):
		return BadDisk
	}
	return Internal
}
