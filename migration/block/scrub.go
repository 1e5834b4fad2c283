package block

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/prometheus/prometheus/tsdb/chunks"
)

// maxDamage is how many lines of damage one report has; the rest is counted.
const maxDamage = 100

// ScrubOptions say how a block is scrubbed.
type ScrubOptions struct {
	// SumsOnly checks every sum and counts samples by the heads of the chunks, without decoding them.
	SumsOnly bool
	// PieceBytes asks for the sum of every piece of this many bytes of every file, from the same reads. 0: no sums.
	PieceBytes int64
	// Pace is called before every read with its size in bytes; it may wait, and an error ends the scrub.
	Pace func(ctx context.Context, bytes int) error
	// Progress is called after about every MiB with the bytes of the block that were read, and with its size.
	Progress func(done, total int64)
}

// Report is what a scrub found.
type Report struct {
	Name    string    `json:"name"`
	Meta    *Meta     `json:"meta,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Bytes   int64     `json:"bytes"`
	Found   Stats     `json:"found"` // counted, not read from meta.json
	Damage  []*Damage `json:"damage,omitempty"`
	More    int       `json:"more,omitempty"` // damage beyond what is listed
	Notes   []string  `json:"notes,omitempty"`
	// Sums are what was asked for with PieceBytes; a file that could not be read whole has none.
	Sums []FileSums `json:"sums,omitempty"`
}

// Err joins the damage, nil when there is none.
func (r *Report) Err() error {
	errs := make([]error, len(r.Damage))
	for i, d := range r.Damage {
		errs[i] = d
	}
	return errors.Join(errs...)
}

func (r *Report) add(d *Damage) {
	if len(r.Damage) >= maxDamage {
		r.More++
		return
	}
	r.Damage = append(r.Damage, d)
}

// merge adds damage that follows the last without a gap: one that is like it is counted with it.
func (r *Report) merge(d *Damage) {
	if len(r.Damage) == 0 {
		r.add(d)
		return
	}
	last := r.Damage[len(r.Damage)-1]
	if last.File != d.File || last.Kind != d.Kind || last.What != d.What {
		r.add(d)
		return
	}
	last.Count++
	if last.From != nil && d.From != nil {
		*last.From, *last.To = min(*last.From, *d.From), max(*last.To, *d.To)
	}
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// scrub is one run over one block.
type scrub struct {
	*Report
	folder *folder
	opts   ScrubOptions
	pace   pace
	index  *indexReader
	sound  bool // the index is whole
	sums   *sums
}

// Scrub reads one block whole and says what is wrong with it. What is wrong is in the report; an error means that it could
// not be judged: it may not be read, or the context is done.
func (d *Dir) Scrub(ctx context.Context, name string, o ScrubOptions) (*Report, error) {
	b, err := d.openBlock(name)
	if damage := (*Damage)(nil); errors.As(err, &damage) {
		return &Report{Name: name, Verdict: Damaged, Damage: []*Damage{damage}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scrubbing block %s: %w", name, err)
	}
	defer b.close()
	r, err := scrubFolder(ctx, b, o)
	if err != nil {
		return nil, fmt.Errorf("scrubbing block %s: %w", name, err)
	}
	if r.Verdict != OK && d.gone(b) {
		return &Report{Name: name, Meta: r.Meta, Verdict: Gone, Bytes: r.Bytes, Notes: []string{"Prometheus deleted it while it was read"}}, nil
	}
	return r, nil
}

// gone says that the folder has not its name any more, or another folder has it.
func (d *Dir) gone(b *folder) bool {
	held, err := b.root.Stat(".")
	if err != nil {
		return true
	}
	now, err := d.root.Lstat(b.name)
	return err != nil || !os.SameFile(held, now)
}

func scrubFolder(ctx context.Context, b *folder, o ScrubOptions) (*Report, error) {
	s := &scrub{Report: &Report{Name: b.name, Verdict: OK, Bytes: b.bytes(), Notes: b.strange}, folder: b, opts: o, sums: newSums(o.PieceBytes)}
	var done int64
	s.pace = pacer(ctx, o.Pace, func(n int) {
		done += int64(n)
		if o.Progress != nil {
			o.Progress(min(done, s.Bytes), s.Bytes)
		}
	})
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	s.Verdict = s.verdict()
	return s.Report, nil
}

func (r *Report) verdict() Verdict {
	verdict := OK
	for _, d := range r.Damage {
		if d.Kind != UnknownVersion {
			return Damaged
		}
		verdict = Unsupported
	}
	return verdict
}

// run checks file after file. Damage of one does not end it.
func (s *scrub) run(ctx context.Context) error {
	for _, d := range s.folder.damage {
		s.add(d)
	}
	for _, check := range []func(context.Context) error{s.meta, s.indexAndChunks, s.tombstones} {
		if err := s.keep(check(ctx)); err != nil {
			return err
		}
	}
	if len(s.Damage) == 0 {
		s.recount()
	}
	if s.sums == nil {
		return nil
	}
	var err error
	s.Sums, err = s.sums.finish(s.folder, s.pace)
	return err
}

// keep turns what is wrong with the block into damage; other errors come back.
func (s *scrub) keep(err error) error {
	var (
		damage *Damage
		stop   *stopError
		disk   *diskError
		where  *fault
	)
	switch {
	case err == nil:
	case errors.As(err, &stop) || errors.Is(err, fs.ErrPermission):
		return err
	case errors.As(err, &damage):
		if !s.known(damage) {
			s.add(damage)
		}
	case errors.As(err, &disk):
		s.add(damaged(Unreadable, indexFile, disk.off, "%v", disk.err))
	case errors.As(err, &where):
		s.add(damaged(DamagedIndex, indexFile, where.off, "%v", where.err))
	default:
		return err
	}
	return nil
}

func (s *scrub) known(d *Damage) bool {
	for _, k := range s.Damage {
		if k.File == d.File && k.Kind == d.Kind {
			return true
		}
	}
	return false
}

func (s *scrub) meta(context.Context) error {
	m, err := readMeta(s.folder.root)
	if err != nil {
		return err
	}
	s.Meta = m
	return s.folder.complete(m)
}

func (s *scrub) indexAndChunks(ctx context.Context) error {
	c := newChunkScrub(s.folder, s.pace, !s.opts.SumsOnly)
	c.report, c.merge, c.note, c.sums = s.found, s.merge, s.note, s.sums
	defer c.close()
	err := s.walkIndex(ctx, c)
	if s.sound {
		c.end()
		s.Found.NumChunks, s.Found.NumFloatSamples, s.Found.NumHistogramSamples = c.chunks, c.floats, c.histograms
		s.Found.NumSamples = c.floats + c.histograms
		s.Found.NumSeries = s.index.series
		s.inRange(c)
		return nil
	}
	if err = s.keep(err); err != nil {
		return err
	}
	return c.sweep()
}

// found adds damage of a segment; a file that was known to be missing is not told again, only which samples are lost.
func (s *scrub) found(d *Damage) {
	for _, k := range s.Damage {
		if k.File == d.File && k.Kind == d.Kind && k.Kind == MissingFile {
			if k.From == nil {
				k.From, k.To = d.From, d.To
			}
			return
		}
	}
	s.add(d)
}

func (s *scrub) walkIndex(ctx context.Context, c *chunkScrub) error {
	x, err := openIndex(s.folder.root, s.pace, s.sums.of(indexFile))
	if err != nil {
		return err
	}
	defer x.close()
	if err := x.check(ctx); err != nil {
		return err
	}
	if err := x.checkSeries(func(metas []chunks.Meta) error { return c.visit(metas) }); err != nil {
		return err
	}
	if err := x.checkPostings(); err != nil {
		return err
	}
	s.index, s.sound = x, true
	return nil
}

func (s *scrub) tombstones(context.Context) error {
	body, err := tombstoneBody(s.folder.root)
	if err != nil {
		return err
	}
	var exists func(uint64) bool
	if s.sound {
		at := s.index.seriesAt
		exists = func(ref uint64) bool { return ref <= math.MaxInt64/16 && at.has(int64(ref)*at.unit) }
	}
	s.Found.NumTombstones, err = checkTombstones(body, exists)
	return err
}

func (s *scrub) inRange(c *chunkScrub) {
	if s.Meta == nil || c.chunks == 0 || c.max < c.min || c.min >= s.Meta.MinTime && c.max < s.Meta.MaxTime {
		return
	}
	s.add(damaged(OutsideRange, metaFile, -1, "the block is from %d to before %d, its samples from %d to %d", s.Meta.MinTime, s.Meta.MaxTime, c.min, c.max))
}

// recount compares what was counted with meta.json.
func (s *scrub) recount() {
	said, found := s.Meta.Stats, s.Found
	pairs := []struct {
		what        string
		said, found uint64
		compare     bool
	}{
		{"series", said.NumSeries, found.NumSeries, true},
		{"chunks", said.NumChunks, found.NumChunks, true},
		{"samples", said.NumSamples, found.NumSamples, true},
		{"float samples", said.NumFloatSamples, found.NumFloatSamples, said.NumFloatSamples+said.NumHistogramSamples > 0},
		{"histogram samples", said.NumHistogramSamples, found.NumHistogramSamples, said.NumFloatSamples+said.NumHistogramSamples > 0},
	}
	if said == (Stats{NumTombstones: said.NumTombstones}) && found.NumSamples > 0 {
		s.add(damaged(Miscount, metaFile, -1, "says no counts, counted %d samples", found.NumSamples))
		return
	}
	for _, p := range pairs {
		if p.compare && p.said != p.found {
			s.add(damaged(Miscount, metaFile, -1, "says %d %s, counted %d", p.said, p.what, p.found))
		}
	}
	if said.NumTombstones != found.NumTombstones {
		s.note("meta.json says %d tombstones, counted %d", said.NumTombstones, found.NumTombstones)
	}
}
