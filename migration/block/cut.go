package block

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"golang.org/x/sys/unix"
)

// Side is the part of a block that a cut keeps.
type Side string

// The sides of a cut at T.
const (
	Before Side = "before" // samples with t < T
	After  Side = "after"  // samples with t >= T
)

// ErrNothingLeft says that no sample is on the side that was asked for.
var ErrNothingLeft = errors.New("no sample is on this side of the cut")

// CutOptions say what is cut, and where the piece is written.
type CutOptions struct {
	Block string // name of the folder
	At    int64  // Unix milliseconds
	Keep  Side
	// Until ends the piece earlier; 0: at the end of its side. Unix milliseconds, not included.
	Until int64
	// Without leaves out what another directory has; nil: nothing is left out.
	Without *Without
	// Staging is a folder on the file system of the data directory that gets the piece; it is made when missing.
	Staging string
	// SegmentBytes bounds a chunk segment; 0 means 512 MiB as the library has it.
	SegmentBytes int64
}

// Staged is a block that is written whole and verified, under a name that no server takes for a block.
type Staged struct {
	Folder string
	Meta   Meta
	// Filled are the gaps of the other directory in which the piece has samples, for Gaps; those of many series are told as one, and at
	// most 64.
	Filled []Gap `json:",omitempty"`
}

// Cut writes a new block that holds one side of a block. The source is scrubbed before, the piece after; samples, their
// encoding and start times stay bit for bit, deleted samples are left out, as when Prometheus compacts. The piece has no
// parents (a server deletes those) and itself as source; Meta.Cut names where it came from.
//
// It holds the index's symbols in memory, so a caller that must stay small runs it as a process of its own.
func (d *Dir) Cut(ctx context.Context, o CutOptions) (*Staged, error) {
	report, err := d.Scrub(ctx, o.Block, ScrubOptions{})
	if err != nil {
		return nil, err
	}
	if report.Verdict != OK {
		return nil, fmt.Errorf("cutting block %s: it is %s: %w", o.Block, report.Verdict, errors.Join(report.Err(), goneError(report)))
	}
	b, err := d.openBlock(o.Block)
	if err != nil {
		return nil, fmt.Errorf("cutting block %s: %w", o.Block, err)
	}
	defer b.close()
	staged, err := cut(ctx, b, report.Meta, o)
	if err != nil {
		return nil, fmt.Errorf("cutting block %s: %w", o.Block, err)
	}
	return staged, nil
}

func goneError(r *Report) error {
	if r.Verdict == Gone {
		return fs.ErrNotExist
	}
	return nil
}

func cut(ctx context.Context, b *folder, source *Meta, o CutOptions) (*Staged, error) {
	meta, err := pieceOf(source, o)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(o.Staging, "slipway-cut-"+meta.ULID.String())
	if err := os.MkdirAll(filepath.Join(folder, chunksDir), 0o755); err != nil {
		return nil, err
	}
	filled, err := writePiece(ctx, b, folder, meta, o)
	if err == nil {
		err = verifyPiece(ctx, folder, meta)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return &Staged{Folder: folder, Meta: *meta, Filled: filled}, nil
}

func pieceOf(source *Meta, o CutOptions) (*Meta, error) {
	id, err := ulid.New(ulid.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	m := &Meta{ULID: id, MinTime: source.MinTime, MaxTime: source.MaxTime, Version: 1}
	switch o.Keep {
	case Before:
		m.MaxTime = min(o.At, source.MaxTime)
	case After:
		m.MinTime = max(o.At, source.MinTime)
	default:
		return nil, fmt.Errorf("side %q: use %s or %s", o.Keep, Before, After)
	}
	if o.Until > 0 {
		m.MaxTime = min(m.MaxTime, o.Until)
	}
	if m.MinTime >= m.MaxTime {
		return nil, ErrNothingLeft
	}
	m.Compaction.Level = source.Compaction.Level
	m.Compaction.Sources = []ulid.ULID{id}
	m.Compaction.Hints = source.Compaction.Hints
	m.Cut = &CutFrom{From: source.ULID, At: o.At, Sources: source.Compaction.Sources}
	return m, nil
}

func writePiece(ctx context.Context, b *folder, folder string, meta *Meta, o CutOptions) ([]Gap, error) {
	filled, err := copySide(ctx, b, folder, meta, o)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(meta, "", "\t")
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(folder, metaFile), text, 0o644); err != nil {
		return nil, err
	}
	if _, err := tombstones.WriteFile(slog.New(slog.DiscardHandler), folder, tombstones.NewMemTombstones()); err != nil {
		return nil, err
	}
	return filled, settle(folder)
}

// settle makes a block durable, and nothing in it writable by others whatever the umask is.
func settle(folder string) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() {
			mode = 0o755
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return syncPath(path)
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// copySide walks the source by the library's reader. A fault under the mapping is an error, not the end of the process.
func copySide(ctx context.Context, b *folder, folder string, meta *Meta, o CutOptions) (filled []Gap, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the block: %v", r)
		}
	}()
	mapped, unmap, err := mapFile(b.root, indexFile)
	if err != nil {
		return nil, err
	}
	defer unmap() // after the index is written: its writer keeps the symbols, which lie in the mapping
	ir, err := index.NewReader(bytesOf(mapped), index.DecodePostingsRaw)
	if err != nil {
		return nil, err
	}
	body, err := tombstoneBody(b.root)
	if err != nil {
		return nil, err
	}
	var stones tombstones.Reader = tombstones.NewMemTombstones()
	if body != nil {
		if stones, err = tombstones.Decode(body); err != nil {
			return nil, err
		}
	}
	lookup, err := openLookup(ctx, o.Without, meta)
	if err != nil {
		return nil, err
	}
	defer lookup.close()
	c := &cutter{
		meta: meta, ir: ir, stones: stones, lookup: lookup,
		segments: segments{folder: b, pace: pacer(ctx, nil, func(int) {}), bad: map[int]bool{}},
	}
	defer c.segments.close()
	err = c.write(ctx, folder, o)
	return c.filled, err
}

// write runs the cutter between opening and closing its writers.
func (c *cutter) write(ctx context.Context, folder string, o CutOptions) (err error) {
	size := o.SegmentBytes
	if size <= 0 { // the library takes the space of a whole segment beforehand
		size = min(chunks.DefaultChunkSegmentSize, c.segments.folder.bytes()+1<<20)
	}
	if c.cw, err = chunks.NewWriter(filepath.Join(folder, chunksDir), chunks.WithSegmentSize(size)); err != nil {
		return err
	}
	if c.iw, err = index.NewWriter(ctx, filepath.Join(folder, indexFile)); err != nil {
		return errors.Join(err, c.cw.Close())
	}
	if err = c.run(ctx); err == nil && c.meta.Stats.NumSamples == 0 {
		err = ErrNothingLeft
	}
	return errors.Join(err, c.cw.Close(), c.iw.Close())
}

func mapFile(root *os.Root, name string) ([]byte, func(), error) {
	f, err := openRegular(root, name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", name, err)
	}
	return data, func() { _ = unix.Munmap(data) }, nil // nothing was written through it
}

// cutter copies one side of a block.
type cutter struct {
	meta     *Meta
	ir       *index.Reader
	iw       *index.Writer
	cw       *chunks.Writer
	stones   tombstones.Reader
	lookup   *lookup
	segments segments
	filled   GapList
}

func (c *cutter) run(ctx context.Context) error {
	symbols := c.ir.Symbols()
	for symbols.Next() {
		if err := c.iw.AddSymbol(symbols.At()); err != nil {
			return err
		}
	}
	if err := symbols.Err(); err != nil {
		return err
	}
	name, value := index.AllPostingsKey()
	all, err := c.ir.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	for next := storage.SeriesRef(0); all.Next(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.ir.Series(all.At(), &builder, &metas); err != nil {
			return err
		}
		intervals, err := c.stones.Get(all.At())
		if err != nil {
			return err
		}
		added, err := c.series(next, builder.Labels(), metas, intervals)
		if err != nil {
			return err
		}
		if added {
			next++
		}
	}
	return all.Err()
}

// series copies what is kept of one series; false: nothing is.
func (c *cutter) series(ref storage.SeriesRef, lset labels.Labels, metas []chunks.Meta, deleted tombstones.Intervals) (bool, error) {
	there, err := c.lookup.of(lset)
	if err != nil {
		return false, err
	}
	kept, err := c.side(metas, deleted, there)
	if err != nil || len(kept) == 0 {
		return false, err
	}
	return true, c.add(ref, lset, kept)
}

func (c *cutter) add(ref storage.SeriesRef, lset labels.Labels, kept []chunks.Meta) error {
	if err := c.cw.WriteChunks(kept...); err != nil {
		return err
	}
	if err := c.iw.AddSeries(ref, lset, kept...); err != nil {
		return err
	}
	s := &c.meta.Stats
	s.NumSeries++
	for _, k := range kept {
		n := uint64(k.Chunk.NumSamples())
		s.NumChunks++
		s.NumSamples += n
		if isFloat(k.Chunk.Encoding()) {
			s.NumFloatSamples += n
		} else {
			s.NumHistogramSamples += n
		}
	}
	return nil
}

// side takes the chunks of one series: whole ones as they are, those at the cut, those with deletions, and those that
// the other directory has samples of, sample by sample.
func (c *cutter) side(metas []chunks.Meta, deleted tombstones.Intervals, there *holding) ([]chunks.Meta, error) {
	from, to := c.meta.MinTime, c.meta.MaxTime-1
	metas = slices.DeleteFunc(slices.Clone(metas), func(m chunks.Meta) bool { return !m.OverlapsClosedInterval(from, to) })
	if c.lookup != nil && c.lookup.lacking == Gaps && !there.nothing() {
		return c.lacked(metas, deleted, there)
	}
	var kept []chunks.Meta
	for _, m := range metas {
		whole := m.MinTime >= from && m.MaxTime <= to && !overlaps(m, deleted) && !there.within(m.MinTime, m.MaxTime)
		parts, err := c.chunk(m, whole, func(t int64) bool {
			return t >= from && t <= to && !there.has(t) && !overlaps(chunks.Meta{MinTime: t, MaxTime: t}, deleted)
		})
		if err != nil {
			return nil, err
		}
		kept = append(kept, parts...)
	}
	return kept, nil
}

// chunk takes a chunk whole, or what is to be kept of it.
func (c *cutter) chunk(m chunks.Meta, whole bool, keep func(t int64) bool) ([]chunks.Meta, error) {
	chunk, err := c.segments.chunk(m.Ref)
	if err != nil {
		return nil, err
	}
	if whole {
		return []chunks.Meta{{Chunk: chunk, MinTime: m.MinTime, MaxTime: m.MaxTime}}, nil
	}
	return filter(chunk, keep)
}

func overlaps(m chunks.Meta, deleted tombstones.Intervals) bool {
	for _, d := range deleted {
		if m.OverlapsClosedInterval(d.Mint, d.Maxt) {
			return true
		}
	}
	return false
}

// chunk reads a chunk of a sound index.
func (s *segments) chunk(ref chunks.ChunkRef) (chunkenc.Chunk, error) {
	number, off := chunks.BlockChunkRef(ref).Unpack()
	if err := s.open(number + 1); err != nil {
		return nil, err
	}
	got, err := s.read(int64(off))
	if err != nil {
		return nil, err
	}
	return chunkenc.FromData(chunkenc.Encoding(got.enc), append([]byte(nil), got.data...))
}

// filter encodes the samples that are to be kept anew. A histogram may need more than one chunk for them.
func filter(source chunkenc.Chunk, keep func(t int64) bool) ([]chunks.Meta, error) {
	var f filtered
	it := source.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		if !keep(it.AtT()) {
			continue
		}
		if err := f.append(source.Encoding(), kind, it); err != nil {
			return nil, err
		}
	}
	return f.parts, it.Err()
}

type filtered struct {
	parts []chunks.Meta
	app   chunkenc.Appender
}

func (f *filtered) append(enc chunkenc.Encoding, kind chunkenc.ValueType, it chunkenc.Iterator) (err error) {
	if len(f.parts) == 0 {
		first, err := chunkenc.NewEmptyChunk(enc)
		if err != nil {
			return err
		}
		if f.app, err = first.Appender(); err != nil {
			return err
		}
		f.parts = []chunks.Meta{{Chunk: first, MinTime: it.AtT(), MaxTime: math.MinInt64}}
	}
	var (
		grown   chunkenc.Chunk
		recoded bool
	)
	switch kind {
	case chunkenc.ValFloat:
		t, v := it.At()
		f.app.Append(it.AtST(), t, v)
	case chunkenc.ValHistogram:
		t, h := it.AtHistogram(nil)
		grown, recoded, f.app, err = f.app.AppendHistogram(nil, it.AtST(), t, h, false)
	case chunkenc.ValFloatHistogram:
		t, h := it.AtFloatHistogram(nil)
		grown, recoded, f.app, err = f.app.AppendFloatHistogram(nil, it.AtST(), t, h, false)
	default:
		err = fmt.Errorf("sample of type %s", kind)
	}
	if err != nil {
		return err
	}
	if grown != nil && !recoded {
		f.parts = append(f.parts, chunks.Meta{MinTime: it.AtT()})
	}
	last := &f.parts[len(f.parts)-1]
	if grown != nil {
		last.Chunk = grown
	}
	last.MaxTime = it.AtT()
	return nil
}

// verifyPiece scrubs what was written.
func verifyPiece(ctx context.Context, folder string, meta *Meta) error {
	parent, err := os.OpenRoot(filepath.Dir(folder))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	b, err := openFolder(parent, filepath.Base(folder))
	if err != nil {
		return err
	}
	defer b.close()
	b.name = meta.ULID.String() // its name once it is installed
	report, err := scrubFolder(ctx, b, ScrubOptions{})
	if err != nil {
		return err
	}
	if report.Verdict != OK {
		return fmt.Errorf("verifying the piece: %w", report.Err())
	}
	return nil
}
