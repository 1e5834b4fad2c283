package proof

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/slipway-dev/slipway/migration/server"
)

func frameOf(data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(data)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, data...)
}

func TestFrameReaderReadsWholeFramesOnly(t *testing.T) {
	two := append(frameOf([]byte("one")), frameOf(bytes.Repeat([]byte("2"), 300))...)
	wrong := bytes.Clone(two)
	wrong[len(wrong)-1] ^= 1
	tests := map[string]struct {
		in     []byte
		frames int
		end    error
	}{
		"nothing":                       {nil, 0, io.EOF},
		"two frames":                    {two, 2, io.EOF},
		"a flipped bit in the second":   {wrong, 1, server.ErrBroken},
		"a cut in the second":           {two[:len(two)-1], 1, server.ErrBroken},
		"a cut in its sum":              {two[:len(frameOf([]byte("one")))+4], 1, server.ErrBroken},
		"a cut in its length":           {append(frameOf([]byte("one")), 0x80), 1, server.ErrBroken},
		"a length above the limit":      {binary.AppendUvarint(nil, maxFrame+1), 0, server.ErrTooLarge},
		"a length that is no number":    {bytes.Repeat([]byte{0xff}, 12), 0, nil},
		"a long length and no contents": {append(binary.AppendUvarint(nil, maxFrame), 1, 2, 3, 4, 5), 0, server.ErrBroken},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newFrameReader(bytes.NewReader(test.in))
			n := 0
			var err error
			for ; err == nil; n++ {
				_, err = r.next()
			}
			if n-1 != test.frames || test.end != nil && !errors.Is(err, test.end) {
				t.Errorf("%d frames, then %v; want %d, then %v", n-1, err, test.frames, test.end)
			}
		})
	}
}

func chunkedResponse(t testing.TB, samples ...Sample) []byte {
	t.Helper()
	chunk := chunkenc.NewXORChunk()
	app, err := chunk.Appender()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		app.Append(0, s.Time, s.Value)
	}
	res := &prompb.ChunkedReadResponse{ChunkedSeries: []*prompb.ChunkedSeries{{
		Labels: []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "replica", Value: "0"}},
		Chunks: []prompb.Chunk{{Type: prompb.Chunk_XOR, Data: chunk.Bytes()}},
	}}}
	data, err := res.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCollectorJoinsFramesOfOneSeries(t *testing.T) {
	a, b := Sample{Time: 10, Value: 1}, Sample{Time: 20, Value: 2}
	body := append(frameOf(chunkedResponse(t, a, b)), frameOf(chunkedResponse(t, b, Sample{Time: 30, Value: 3}, Sample{Time: 40, Value: 4}))...)
	var got []*Series
	c := &collector{sel: Selection{From: 10, To: 40}, external: labels.FromStrings("replica", "0"), visit: func(s *Series) error {
		got = append(got, s)
		return nil
	}}
	if err := c.streamed(bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	want := []*Series{{Labels: labels.FromStrings("__name__", "up"), Samples: []Sample{a, b, {Time: 30, Value: 3}}}}
	if diff := cmp.Diff(want, got, cmp.Comparer(labels.Equal)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// FuzzRead gives the frame reader and the decoders behind it any bytes, with sums made right where asked. They must end, with an
// error or not, and every series must be sorted and within the selection.
func FuzzRead(f *testing.F) {
	good := chunkedResponse(f, Sample{Time: 10, Value: 1}, Sample{Time: 20, Value: 2})
	f.Add(good, true)
	f.Add(frameOf(good), false)
	f.Add([]byte("\xff\xff\xff\xff\xff\x01"), false)
	f.Fuzz(func(t *testing.T, data []byte, frame bool) {
		if frame {
			data = frameOf(data)
		}
		c := &collector{sel: Selection{From: 0, To: 1 << 40}, visit: func(s *Series) error {
			for i, one := range s.Samples {
				if one.Time < 0 || one.Time >= 1<<40 || i > 0 && one.Time < s.Samples[i-1].Time {
					t.Errorf("sample %d at %d", i, one.Time)
				}
			}
			return nil
		}}
		if err := c.streamed(bytes.NewReader(data)); err == nil && len(data) > 0 && c.current != nil {
			t.Error("a series was left over")
		}
		other := &collector{sel: c.sel, visit: c.visit}
		_ = other.whole(bytes.NewReader(data), 1<<20) // any error is fine, a panic is not
	})
}
