package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

// maxSeriesSamples bounds one series in memory: 2 million samples are some 100 MB, or a year at one in 15 s.
const maxSeriesSamples = 2 << 20

// Selection is what to read: the series that match, from From up to and without To, in milliseconds.
type Selection struct {
	From, To int64
	Matchers []*labels.Matcher
}

// Series is a series with its samples, sorted by time.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// Read hands every series of a selection to visit, whole and one after the other, by remote read. The server's external labels
// are taken off again (see Identify). Servers before 2.13 send everything in one answer; it is held in memory within MaxBytes.
func (s *Server) Read(ctx context.Context, sel Selection, visit func(*Series) error) error {
	body, err := readRequest(sel)
	if err != nil {
		return err
	}
	header := http.Header{
		"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"}, "X-Prometheus-Remote-Read-Version": {"0.1.0"},
	}
	return s.Ask(ctx, http.MethodPost, "/api/v1/read", header, body, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return server.Refusal(res.StatusCode, body)
		}
		c := &collector{sel: sel, external: s.external, visit: visit}
		kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
		switch {
		case err == nil && kind == "application/x-streamed-protobuf":
			return c.streamed(body)
		case err == nil && kind == "application/x-protobuf":
			return c.whole(body, s.MaxBytes())
		}
		return fmt.Errorf("it is of the type %q: %w", server.Clip(res.Header.Get("Content-Type"), 80), server.ErrBroken)
	})
}

func readRequest(sel Selection) ([]byte, error) {
	q := &prompb.Query{
		StartTimestampMs: sel.From, EndTimestampMs: sel.To - 1,
		Hints: &prompb.ReadHints{StartMs: sel.From, EndMs: sel.To - 1},
	}
	for _, m := range sel.Matchers {
		kind, ok := map[labels.MatchType]prompb.LabelMatcher_Type{
			labels.MatchEqual: prompb.LabelMatcher_EQ, labels.MatchNotEqual: prompb.LabelMatcher_NEQ,
			labels.MatchRegexp: prompb.LabelMatcher_RE, labels.MatchNotRegexp: prompb.LabelMatcher_NRE,
		}[m.Type]
		if !ok {
			return nil, fmt.Errorf("asking for %s: the matcher is not known", m)
		}
		q.Matchers = append(q.Matchers, &prompb.LabelMatcher{Type: kind, Name: m.Name, Value: m.Value})
	}
	req := &prompb.ReadRequest{
		Queries:               []*prompb.Query{q},
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS, prompb.ReadRequest_SAMPLES},
	}
	data, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing a read request: %w", err)
	}
	return snappy.Encode(nil, data), nil
}

// collector puts the series of an answer together.
type collector struct {
	sel      Selection
	external labels.Labels
	visit    func(*Series) error
	current  *Series
	builder  labels.ScratchBuilder
}

// streamed reads frames. A series may span several, which follow each other.
func (c *collector) streamed(body io.Reader) error {
	frames := newFrameReader(body)
	for {
		data, err := frames.next()
		if errors.Is(err, io.EOF) {
			return c.flush()
		}
		if err != nil {
			return err
		}
		if err := c.frame(data); err != nil {
			return err
		}
	}
}

func (c *collector) frame(data []byte) error {
	var res prompb.ChunkedReadResponse
	if err := res.Unmarshal(data); err != nil {
		return fmt.Errorf("decoding a frame: %w: %w", err, server.ErrBroken)
	}
	if res.QueryIndex != 0 {
		return fmt.Errorf("a frame answers question %d of 1: %w", res.QueryIndex+1, server.ErrBroken)
	}
	for _, series := range res.ChunkedSeries {
		if err := c.begin(series.Labels); err != nil {
			return err
		}
		for _, chunk := range series.Chunks {
			if err := c.chunk(chunk); err != nil {
				return fmt.Errorf("decoding a chunk of %s: %w", server.Clip(c.current.Labels.String(), 200), err)
			}
		}
	}
	return nil
}

// whole reads an answer of the older kind.
func (c *collector) whole(body io.Reader, limit int64) error {
	packed, err := io.ReadAll(body)
	if err != nil {
		return cutOff("the samples", err)
	}
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return fmt.Errorf("decompressing it: %w: %w", err, server.ErrBroken)
	}
	if int64(n) > limit {
		return fmt.Errorf("it claims %d bytes: %w of %d", n, server.ErrTooLarge, limit)
	}
	data, err := snappy.Decode(nil, packed)
	if err != nil {
		return fmt.Errorf("decompressing it: %w: %w", err, server.ErrBroken)
	}
	var res prompb.ReadResponse
	if err := res.Unmarshal(data); err != nil {
		return fmt.Errorf("decoding it: %w: %w", err, server.ErrBroken)
	}
	if len(res.Results) != 1 {
		return fmt.Errorf("it has %d results, not 1: %w", len(res.Results), server.ErrBroken)
	}
	return c.results(res.Results[0])
}

func (c *collector) results(res *prompb.QueryResult) error {
	for _, series := range res.Timeseries {
		if err := c.begin(series.Labels); err != nil {
			return err
		}
		for _, s := range series.Samples {
			c.add(Sample{Time: s.Timestamp, Value: s.Value})
		}
		for i := range series.Histograms {
			h := series.Histograms[i]
			if h.IsFloatHistogram() {
				c.add(Sample{Time: h.Timestamp, Float: h.ToFloatHistogram()})
			} else {
				c.add(Sample{Time: h.Timestamp, Int: h.ToIntHistogram()})
			}
		}
	}
	return c.flush()
}

// begin starts a series, or goes on with the one before if it is the same.
func (c *collector) begin(pairs []prompb.Label) error {
	c.builder.Reset()
	for _, l := range pairs {
		if c.external.Get(l.Name) != l.Value || l.Value == "" {
			c.builder.Add(l.Name, l.Value)
		}
	}
	c.builder.Sort()
	next := c.builder.Labels()
	if name, twice := next.HasDuplicateLabelNames(); twice {
		return fmt.Errorf("a series has the label %q twice: %w", server.Clip(name, 80), server.ErrBroken)
	}
	if c.current != nil && labels.Equal(c.current.Labels, next) {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	c.current = &Series{Labels: next}
	return nil
}

func (c *collector) add(s Sample) {
	if s.Time >= c.sel.From && s.Time < c.sel.To {
		c.current.Samples = append(c.current.Samples, s)
	}
}

func (c *collector) chunk(chunk prompb.Chunk) (err error) {
	enc := chunkenc.Encoding(chunk.Type)
	if int32(enc) != int32(chunk.Type) {
		return fmt.Errorf("encoding %d is not known: %w", chunk.Type, server.ErrBroken)
	}
	if err := block.CheckClaims(enc, chunk.Data); err != nil {
		return fmt.Errorf("%w: %w", err, server.ErrBroken)
	}
	defer func() { // the library's decoders trust their bytes
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding stops: %v: %w", r, server.ErrBroken)
		}
	}()
	decoded, err := chunkenc.FromData(enc, chunk.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", err, server.ErrBroken)
	}
	it, n := decoded.Iterator(nil), 0
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		c.add(sampleAt(it, kind))
		n++
	}
	switch {
	case it.Err() != nil:
		return fmt.Errorf("%w: %w", it.Err(), server.ErrBroken)
	case n != decoded.NumSamples():
		return fmt.Errorf("it holds %d samples, its head says %d: %w", n, decoded.NumSamples(), server.ErrBroken)
	case len(c.current.Samples) > maxSeriesSamples:
		return fmt.Errorf("more than %d samples: %w", maxSeriesSamples, server.ErrTooLarge)
	}
	return nil
}

func sampleAt(it chunkenc.Iterator, kind chunkenc.ValueType) Sample {
	s := Sample{Start: it.AtST()}
	switch kind {
	case chunkenc.ValHistogram:
		s.Time, s.Int = it.AtHistogram(nil)
	case chunkenc.ValFloatHistogram:
		s.Time, s.Float = it.AtFloatHistogram(nil)
	default:
		s.Time, s.Value = it.At()
	}
	return s
}

// flush hands the series on. Chunks may overlap: samples are sorted, and equal ones of one time count once.
func (c *collector) flush() error {
	if c.current == nil {
		return nil
	}
	done := c.current
	c.current = nil
	byTime := func(a, b Sample) int { return cmp.Compare(a.Time, b.Time) }
	if !slices.IsSortedFunc(done.Samples, byTime) {
		slices.SortStableFunc(done.Samples, byTime)
	}
	done.Samples = slices.CompactFunc(done.Samples, func(a, b Sample) bool { return a.Time == b.Time && compareOne(a, b) == "" })
	return c.visit(done)
}

// ReadOne reads the one series with exactly these labels; no samples if there are none.
func (s *Server) ReadOne(ctx context.Context, ls labels.Labels, from, to int64) ([]Sample, error) {
	sel := Selection{From: from, To: to}
	ls.Range(func(l labels.Label) {
		sel.Matchers = append(sel.Matchers, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	var found []Sample
	err := s.Read(ctx, sel, func(series *Series) error { // the matchers also fit series that have more labels
		if labels.Equal(series.Labels, ls) {
			found = append(found, series.Samples...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", server.Clip(ls.String(), 300), err)
	}
	return found, nil
}
