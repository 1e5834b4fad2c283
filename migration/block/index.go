package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

const (
	tocLen = 6*8 + 4
	// maxNames bounds the label names that are remembered; Prometheus keeps all of them in memory, too.
	maxNames = 1 << 20
	// maxSeries bounds one series: a month of chunks of a second each is some 100 KiB.
	maxSeries = 4 << 20
)

// fault is a place in the index and what is wrong there.
type fault struct {
	off int64
	err error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func at(off int64, format string, args ...any) error {
	return &fault{off: off, err: fmt.Errorf(format, args...)}
}

// bytesOf is what the library's decoders read from.
type bytesOf []byte

func (b bytesOf) Len() int                  { return len(b) }
func (b bytesOf) Range(from, to int) []byte { return b[from:to] }

// indexReader walks an index from front to back (tsdb/docs/format/index.md) and accounts for every byte. What it keeps
// grows slowly: one bit for every 16 bytes of series, and the label names.
type indexReader struct {
	file    *os.File
	w       *window // moves through the sections
	lists   *window // moves through the postings while w is in their table
	version int
	toc     index.TOC

	names       map[string]bool // label names of the postings table: true once seen among the symbols
	symbols     uint64
	symbolsAt   *bitmap // version 1 points at symbols by their place in the file
	seriesAt    *bitmap
	series      uint64
	labels      uint64 // over all series
	postings    uint64 // entries over all lists but the one of all series
	allPostings uint64
}

func openIndex(root *os.Root, p pace, seen func(off int64, b []byte)) (*indexReader, error) {
	f, err := openRegular(root, indexFile)
	if err != nil {
		return nil, err
	}
	x := &indexReader{file: f, names: map[string]bool{}}
	if x.w, err = newWindow(f, stepSlim, p); err == nil {
		x.lists, err = newWindow(f, stepSlim, p)
	}
	if err == nil {
		x.w.seen, x.lists.seen = seen, seen
	}
	if err == nil {
		err = x.head()
	}
	if err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

func (x *indexReader) close() {
	for _, w := range []*window{x.w, x.lists} {
		if w != nil {
			w.close()
		}
	}
	_ = x.file.Close()
}

// head reads the first five bytes and the table of contents.
func (x *indexReader) head() error {
	b, err := x.w.at(0, index.HeaderLen)
	if err != nil {
		return &fault{0, err}
	}
	if be32(b) != index.MagicIndex {
		return at(0, "begins with %08x, which is no index", be32(b))
	}
	x.version = int(b[4])
	if x.version < index.FormatV1 || x.version > index.FormatV3 {
		return damaged(UnknownVersion, indexFile, 4, "index version %d", x.version)
	}
	tail := x.w.size - tocLen
	b, err = x.w.at(tail, tocLen)
	if err != nil {
		return &fault{max(tail, 0), err}
	}
	toc, err := index.NewTOCFromByteSlice(bytesOf(bytes.Clone(b)))
	if err != nil {
		return at(tail, "table of contents: %w", err)
	}
	x.toc = *toc
	if x.toc.LabelIndices == 0 {
		x.toc.LabelIndices = x.toc.Postings
	}
	if x.toc.LabelIndicesTable == 0 {
		x.toc.LabelIndicesTable = x.toc.PostingsTable
	}
	order := []uint64{index.HeaderLen, x.toc.Symbols, x.toc.Series, x.toc.LabelIndices, x.toc.Postings, x.toc.LabelIndicesTable, x.toc.PostingsTable, uint64(tail)}
	for i := 1; i < len(order); i++ {
		if order[i] < order[i-1] {
			return at(tail, "table of contents: the sections are out of order: %d", order[1:])
		}
	}
	return nil
}

// check reads everything but the series.
func (x *indexReader) check(ctx context.Context) error {
	if err := x.checkPostingsTable(); err != nil {
		return err
	}
	if err := x.checkSymbols(); err != nil {
		return err
	}
	return x.checkLabelIndices(ctx)
}

// checkPostingsTable sums the table and gathers the label names; its lists are read when the series are known.
func (x *indexReader) checkPostingsTable() error {
	end := x.w.size - tocLen
	s, err := x.w.blob(int64(x.toc.PostingsTable), end)
	if err != nil {
		return at(int64(x.toc.PostingsTable), "postings table: %w", err)
	}
	start := s.pos
	s.rest()
	if err := s.check(); err != nil {
		return at(start, "postings table: %w", err)
	}
	if s.end+4 != end {
		return at(s.end+4, "%d bytes between the postings table and the table of contents", end-s.end-4)
	}
	return x.eachPosting(func(_ int64, name, _ []byte, _ uint64) error {
		if len(name) > 0 {
			x.names[string(name)] = false
		}
		if len(x.names) > maxNames {
			return fmt.Errorf("more than %d label names", maxNames)
		}
		return nil
	})
}

// eachPosting calls f for every entry of the postings table.
func (x *indexReader) eachPosting(f func(off int64, name, value []byte, list uint64) error) error {
	s, err := x.w.blob(int64(x.toc.PostingsTable), x.w.size-tocLen)
	if err != nil {
		return at(int64(x.toc.PostingsTable), "postings table: %w", err)
	}
	var name, value []byte
	for n := s.be32(); n > 0 && s.err == nil; n-- {
		off := s.pos
		if keys := s.uvarint(); keys != 2 && s.err == nil {
			return at(off, "postings table: entry of %d keys, not 2", keys)
		}
		name = append(name[:0], s.text()...)
		value = append(value[:0], s.text()...)
		list := s.uvarint()
		if s.err != nil {
			break
		}
		if err := f(off, name, value, list); err != nil {
			if inner := (*fault)(nil); errors.As(err, &inner) {
				return err
			}
			return at(off, "postings table: %w", err)
		}
	}
	if s.err != nil {
		return at(s.pos, "postings table: %w", s.err)
	}
	if s.pos != s.end {
		return at(s.pos, "postings table: %d bytes behind the last entry", s.end-s.pos)
	}
	return nil
}

func (x *indexReader) checkSymbols() error {
	start := int64(x.toc.Symbols)
	if err := x.padding(index.HeaderLen, start); err != nil {
		return err
	}
	s, err := x.w.blob(start, int64(x.toc.Series))
	if err != nil {
		return at(start, "symbols: %w", err)
	}
	if x.version == index.FormatV1 {
		x.symbolsAt = newBitmap(s.pos, s.end, 1)
	}
	if err := x.eachSymbol(s); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return at(s.pos, "symbols: %w", err)
	}
	if s.pos != s.end {
		return at(s.pos, "symbols: %d bytes behind the last one", s.end-s.pos)
	}
	for name, seen := range x.names {
		if !seen {
			return at(start, "symbols: label name %.40q of the postings table is not among them", name)
		}
	}
	return x.padding(s.end+4, int64(x.toc.Series))
}

// eachSymbol counts the symbols and ticks off the label names; what s.err says is told by the sum.
func (x *indexReader) eachSymbol(s *section) error {
	var last []byte
	for n := s.be32(); n > 0 && s.err == nil; n-- {
		off := s.pos
		symbol := s.text()
		if s.err != nil {
			break
		}
		if x.version != index.FormatV1 && x.symbols > 0 && bytes.Compare(symbol, last) <= 0 {
			return at(off, "symbols: %.40q is not behind %.40q", symbol, last)
		}
		last = append(last[:0], symbol...)
		if x.symbolsAt != nil {
			x.symbolsAt.set(off)
		}
		if _, ok := x.names[string(symbol)]; ok {
			x.names[string(symbol)] = true
		}
		x.symbols++
	}
	return nil
}

// padding says that between two sections lie zeros only, and no more than alignment needs.
func (x *indexReader) padding(from, to int64) error {
	if to-from >= 16 {
		return at(from, "%d bytes belong to no section", to-from)
	}
	bad, err := x.w.zeros(from, to)
	if err != nil {
		return &fault{from, err}
	}
	if bad >= 0 {
		return at(bad, "padding that is not zero")
	}
	return nil
}

// checkLabelIndices sums what Prometheus 2 wrote and nobody reads any more.
func (x *indexReader) checkLabelIndices(ctx context.Context) error {
	end := int64(x.toc.Postings)
	for pos := int64(x.toc.LabelIndices); pos < end; {
		if err := ctx.Err(); err != nil {
			return &stopError{err}
		}
		next := min(align(pos, 4), end)
		if err := x.padding(pos, next); err != nil || next == end {
			return err
		}
		s, err := x.w.blob(next, end)
		if err != nil {
			return at(next, "label index: %w", err)
		}
		s.rest()
		if err := s.check(); err != nil {
			return at(next, "label index: %w", err)
		}
		pos = s.end + 4
	}
	from, to := int64(x.toc.LabelIndicesTable), int64(x.toc.PostingsTable)
	if from == to {
		return nil
	}
	s, err := x.w.blob(from, to)
	if err != nil {
		return at(from, "label index table: %w", err)
	}
	s.rest()
	if err := s.check(); err != nil {
		return at(from, "label index table: %w", err)
	}
	return x.padding(s.end+4, to)
}

func align(off, to int64) int64 { return (off + to - 1) / to * to }

// checkSeries walks the series in order and gives the chunks of each to visit.
func (x *indexReader) checkSeries(visit func([]chunks.Meta) error) error {
	end := int64(x.toc.LabelIndices)
	unit := int64(16)
	if x.version == index.FormatV1 {
		unit = 1
	}
	x.seriesAt = newBitmap(int64(x.toc.Series)/unit*unit, end, unit)
	var metas []chunks.Meta
	var builder labels.ScratchBuilder
	dec := index.Decoder{LookupSymbol: x.lookup}
	for pos := int64(x.toc.Series); pos < end; {
		next := min(align(pos, unit), end)
		if err := x.padding(pos, next); err != nil {
			return err
		}
		if done, err := x.ends(next, end); done || err != nil {
			return err
		}
		body, after, err := x.seriesBody(next, end)
		if err != nil {
			return at(next, "series: %w", err)
		}
		if err := dec.Series(body, &builder, &metas); err != nil {
			return at(next, "series: %w", err)
		}
		if err := inOrder(metas); err != nil {
			return at(next, "series: %w", err)
		}
		x.seriesAt.set(next)
		x.series++
		if err := visit(metas); err != nil {
			return err
		}
		pos = after
	}
	return nil
}

// ends says that only padding is left behind the last series.
func (x *indexReader) ends(from, end int64) (bool, error) {
	if from >= end {
		return true, nil
	}
	if end-from >= 16 {
		return false, nil
	}
	bad, err := x.w.zeros(from, end)
	if err != nil {
		return false, &fault{from, err}
	}
	return bad < 0, nil
}

func (x *indexReader) seriesBody(off, end int64) (body []byte, after int64, err error) {
	b, err := x.w.upTo(off, int(min(end-off, 5)))
	if err != nil {
		return nil, 0, err
	}
	n, used := uvarint(b)
	if used <= 0 {
		return nil, 0, errors.New("its length does not end")
	}
	from := off + int64(used)
	if n > uint64(end-from) || int64(n)+4 > end-from {
		return nil, 0, fmt.Errorf("%d bytes long, but only %d are left: %w", n, end-from, errShort)
	}
	if n > maxSeries {
		return nil, 0, fmt.Errorf("larger than %d bytes", maxSeries)
	}
	s := &section{w: x.w, pos: from, end: from + int64(n)}
	s.take(int(n))
	if err := s.check(); err != nil {
		return nil, 0, err
	}
	body, err = x.w.at(from, int(n))
	return body, s.end + 4, err
}

// lookup checks that a series' symbol exists. Its text is not needed.
func (x *indexReader) lookup(_ context.Context, ref uint32) (string, error) {
	x.labels++ // twice for a label
	if x.symbolsAt != nil && !x.symbolsAt.has(int64(ref)) || x.symbolsAt == nil && uint64(ref) >= x.symbols {
		return "", fmt.Errorf("symbol %d does not exist", ref)
	}
	return "", nil
}

func inOrder(metas []chunks.Meta) error {
	for i, m := range metas {
		if m.MaxTime < m.MinTime {
			return fmt.Errorf("chunk from %d to %d", m.MinTime, m.MaxTime)
		}
		if i > 0 && m.MinTime <= metas[i-1].MaxTime {
			return fmt.Errorf("chunk from %d behind one that ends at %d", m.MinTime, metas[i-1].MaxTime)
		}
	}
	return nil
}

// checkPostings reads every list that the table names: series that exist, in order, and the right number of them.
func (x *indexReader) checkPostings() error {
	var lastName, lastValue string
	expect, first := int64(-1), true
	err := x.eachPosting(func(_ int64, name, value []byte, list uint64) error {
		if x.version != index.FormatV1 && !first {
			if c := strings.Compare(lastName, string(name)); c > 0 || c == 0 && lastValue >= string(value) {
				return fmt.Errorf("%.40q=%.40q is not behind %.40q=%.40q", name, value, lastName, lastValue)
			}
		}
		lastName, lastValue, first = string(name), string(value), false
		next, err := x.checkList(list, expect, len(name) == 0 && len(value) == 0)
		expect = next
		return err
	})
	switch {
	case err != nil:
		return err
	case x.allPostings != x.series:
		return at(int64(x.toc.Postings), "postings: the list of all series has %d, the index has %d", x.allPostings, x.series)
	case x.postings != x.labels/2:
		return at(int64(x.toc.Postings), "postings: the lists have %d entries, the series have %d labels", x.postings, x.labels/2)
	case expect < 0:
		return nil
	}
	return x.padding(expect, int64(x.toc.LabelIndicesTable))
}

// checkList reads one list and returns where it ends. Lists lie one behind the other, aligned to 4 bytes.
func (x *indexReader) checkList(list uint64, expect int64, all bool) (int64, error) {
	off, limit := int64(list), int64(x.toc.LabelIndicesTable)
	if list < x.toc.Postings || list >= x.toc.LabelIndicesTable {
		return 0, fmt.Errorf("points to %d, which is not among the postings", list)
	}
	if expect < 0 {
		expect = int64(x.toc.Postings)
	}
	if off != align(expect, 4) {
		return 0, fmt.Errorf("points to %d, the next list is at %d", off, align(expect, 4))
	}
	if err := x.padding(expect, off); err != nil {
		return 0, err
	}
	s, err := x.lists.blob(off, limit)
	if err != nil {
		return 0, at(off, "postings: %w", err)
	}
	if err := x.entries(s, all); err != nil {
		return 0, at(off, "postings: %w", err)
	}
	return s.end + 4, nil
}

func (x *indexReader) entries(s *section, all bool) error {
	n := int64(s.be32())
	if s.err == nil && n*4 != s.end-s.pos {
		return fmt.Errorf("%d entries in %d bytes", n, s.end-s.pos)
	}
	unit := x.seriesAt.unit
	last := int64(-1)
	for n > 0 && s.err == nil {
		piece := s.take(int(min(n, 4096)) * 4)
		for i := 0; i+4 <= len(piece); i += 4 {
			ref := int64(be32(piece[i:]))
			if ref <= last || !x.seriesAt.has(ref*unit) {
				if err := s.after(); err != nil {
					return err
				}
				return fmt.Errorf("entry %d is no series or out of order", ref)
			}
			last = ref
		}
		n -= int64(len(piece) / 4)
		if all {
			x.allPostings += uint64(len(piece) / 4)
		} else {
			x.postings += uint64(len(piece) / 4)
		}
	}
	return s.check()
}

// after reads to the end: a wrong sum says more than a wrong entry.
func (s *section) after() error {
	s.rest()
	return s.check()
}
