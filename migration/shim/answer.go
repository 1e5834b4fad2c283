package shim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net/http"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

const (
	streamedType = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
	samplesType  = "application/x-protobuf"

	// maxSeries bounds one series of an answer; a target reads 50 MB by default (chunked_read_limit).
	maxSeries = 32 << 20
	// maxSamples bounds an answer of the older kind, which comes whole and is held in memory.
	maxSamples = 64 << 20
)

// answer carries what the source says to the target, cut and with its labels as they are stored.
type answer struct {
	q        *question
	at       int64
	external map[string]string
	to       http.ResponseWriter
	cutter   *block.ChunkCutter

	pending      *prompb.ChunkedReadResponse // a series that may go on in the next frame
	pendingBytes int
	started      bool // bytes have left
	series       int
	bytes        int64
	cut          int // chunks that reached over the boundary
}

// forward reads the source's answer and writes the target's.
func (a *answer) forward(res *http.Response, body io.Reader) error {
	if res.StatusCode != http.StatusOK {
		return server.Refusal(res.StatusCode, body)
	}
	if res.ProtoMajor == 1 && res.ContentLength < 0 && !slices.Contains(res.TransferEncoding, "chunked") {
		return fmt.Errorf("its end cannot be told from a broken connection: %w", server.ErrBroken)
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/x-streamed-protobuf" && a.q.streamed:
		return a.stream(body)
	case err == nil && kind == samplesType:
		return a.samples(body)
	}
	return fmt.Errorf("it is of the type %q: %w", server.Clip(res.Header.Get("Content-Type"), 80), server.ErrBroken)
}

// nothing is the answer when nothing is left to ask.
func (a *answer) nothing() error {
	if a.q.streamed {
		a.to.Header().Set("Content-Type", streamedType)
		return nil
	}
	return a.whole(&prompb.ReadResponse{})
}

// stream passes frames on, one series each. A server splits a large series over frames, and a target takes every frame for a
// series of its own (storage/remote/codec.go, chunkedSeriesSet), so they are joined.
func (a *answer) stream(body io.Reader) error {
	a.to.Header().Set("Content-Type", streamedType)
	frames := server.NewFrameReader(body)
	for {
		data, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return a.flush()
		}
		if err != nil {
			return err
		}
		var frame prompb.ChunkedReadResponse
		if err := frame.Unmarshal(data); err != nil {
			return fmt.Errorf("decoding a frame: %w: %w", err, server.ErrBroken)
		}
		if frame.QueryIndex < 0 || frame.QueryIndex >= int64(len(a.q.from)) {
			return fmt.Errorf("a frame answers query %d of %d: %w", frame.QueryIndex+1, len(a.q.from), server.ErrBroken)
		}
		for _, s := range frame.ChunkedSeries {
			if err := a.add(int64(a.q.from[frame.QueryIndex]), s, len(data)); err != nil {
				return err
			}
		}
	}
}

func (a *answer) add(query int64, s *prompb.ChunkedSeries, size int) error {
	labels, err := strip(s.Labels, a.external)
	if err != nil {
		return err
	}
	chunks, err := a.cutChunks(s.Chunks)
	if err != nil {
		return fmt.Errorf("%w: %w", err, server.ErrBroken)
	}
	if len(chunks) == 0 {
		return nil
	}
	if p := a.pending; p != nil && p.QueryIndex == query && slices.EqualFunc(p.ChunkedSeries[0].Labels, labels, same) {
		if a.pendingBytes += size; a.pendingBytes > maxSeries {
			return fmt.Errorf("a series takes more than %d bytes; ask for less time: %w", maxSeries, server.ErrTooLarge)
		}
		p.ChunkedSeries[0].Chunks = append(p.ChunkedSeries[0].Chunks, chunks...)
		return nil
	}
	if err := a.flush(); err != nil {
		return err
	}
	a.pending = &prompb.ChunkedReadResponse{QueryIndex: query, ChunkedSeries: []*prompb.ChunkedSeries{{Labels: labels, Chunks: chunks}}}
	a.pendingBytes = size
	return nil
}

func same(a, b prompb.Label) bool { return a.Name == b.Name && a.Value == b.Value }

// cutChunks decodes every chunk, whatever its times claim: no sample from the boundary on leaves.
func (a *answer) cutChunks(in []prompb.Chunk) ([]prompb.Chunk, error) {
	out := in[:0:0]
	for _, c := range in {
		if c.Type < 0 || c.Type > 255 {
			return nil, fmt.Errorf("encoding %d is not known", c.Type)
		}
		parts, whole, err := a.cutter.Before(byte(c.Type), c.Data, a.at)
		if err != nil {
			return nil, err
		}
		if whole {
			c.MaxTimeMs = min(c.MaxTimeMs, a.at-1)
			out = append(out, c)
			continue
		}
		a.cut++
		for _, p := range parts {
			out = append(out, prompb.Chunk{MinTimeMs: p.MinTime, MaxTimeMs: p.MaxTime,
				Type: prompb.Chunk_Encoding(p.Chunk.Encoding()), Data: p.Chunk.Bytes()})
		}
	}
	return out, nil
}

// flush sends the series that is complete.
func (a *answer) flush() error {
	if a.pending == nil {
		return nil
	}
	data, err := a.pending.Marshal()
	if err != nil {
		return fmt.Errorf("writing a frame: %w", err)
	}
	a.pending = nil
	a.series++
	return a.frame(data)
}

func (a *answer) frame(data []byte) error {
	head := binary.AppendUvarint(nil, uint64(len(data)))
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	for _, b := range [][]byte{head, data} {
		n, err := a.to.Write(b)
		a.started = true
		a.bytes += int64(n)
		if err != nil {
			return fmt.Errorf("answering the target: %w", err)
		}
	}
	return nil
}

// abort breaks a streamed answer off so that the target's query fails: see the package comment.
func (a *answer) abort() {
	if !a.started {
		a.to.Header().Set("Content-Type", streamedType)
		broken := prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "slipway_shim_failed"}}}}}
		if data, err := broken.Marshal(); err == nil && a.frame(data) == nil {
			_ = http.NewResponseController(a.to).Flush() // the connection ends in any case
		}
	}
	panic(http.ErrAbortHandler)
}

// samples passes an answer of the older kind on; it is held in memory within maxSamples.
func (a *answer) samples(body io.Reader) error {
	packed, err := io.ReadAll(io.LimitReader(body, maxSamples+1))
	if err != nil {
		return server.CutOff("the samples", err)
	}
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return fmt.Errorf("decompressing it: %w: %w", err, server.ErrBroken)
	}
	if n > maxSamples || len(packed) > maxSamples {
		return fmt.Errorf("it has more than %d bytes: %w", maxSamples, server.ErrTooLarge)
	}
	data, err := snappy.Decode(nil, packed)
	if err != nil {
		return fmt.Errorf("decompressing it: %w: %w", err, server.ErrBroken)
	}
	var res prompb.ReadResponse
	if err := res.Unmarshal(data); err != nil {
		return fmt.Errorf("decoding it: %w: %w", err, server.ErrBroken)
	}
	if len(res.Results) != len(a.q.from) {
		return fmt.Errorf("it has %d results for %d queries: %w", len(res.Results), len(a.q.from), server.ErrBroken)
	}
	for _, r := range res.Results {
		if err := a.cutResult(r); err != nil {
			return err
		}
	}
	return a.whole(&res)
}

func (a *answer) cutResult(r *prompb.QueryResult) error {
	kept := r.Timeseries[:0]
	for _, s := range r.Timeseries {
		labels, err := strip(s.Labels, a.external)
		if err != nil {
			return err
		}
		s.Labels = labels
		s.Samples = slices.DeleteFunc(s.Samples, func(p prompb.Sample) bool { return p.Timestamp >= a.at })
		s.Histograms = slices.DeleteFunc(s.Histograms, func(h prompb.Histogram) bool { return h.Timestamp >= a.at })
		if len(s.Samples)+len(s.Histograms) > 0 {
			kept = append(kept, s)
		}
	}
	r.Timeseries = kept
	a.series += len(kept)
	return nil
}

// whole sends an answer of the older kind, with empty results where the source was not asked.
func (a *answer) whole(res *prompb.ReadResponse) error {
	full := prompb.ReadResponse{Results: make([]*prompb.QueryResult, a.q.queries)}
	for i := range full.Results {
		full.Results[i] = &prompb.QueryResult{}
	}
	for i, r := range res.Results {
		full.Results[a.q.from[i]] = r
	}
	data, err := full.Marshal()
	if err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	a.to.Header().Set("Content-Type", samplesType)
	a.to.Header().Set("Content-Encoding", "snappy")
	n, err := a.to.Write(snappy.Encode(nil, data))
	a.started = true
	a.bytes += int64(n)
	if err != nil {
		return fmt.Errorf("answering the target: %w", err)
	}
	return nil
}
