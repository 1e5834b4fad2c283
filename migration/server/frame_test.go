package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
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
		"a flipped bit in the second":   {wrong, 1, ErrBroken},
		"a cut in the second":           {two[:len(two)-1], 1, ErrBroken},
		"a cut in its sum":              {two[:len(frameOf([]byte("one")))+4], 1, ErrBroken},
		"a cut in its length":           {append(frameOf([]byte("one")), 0x80), 1, ErrBroken},
		"a length above the limit":      {binary.AppendUvarint(nil, MaxFrame+1), 0, ErrTooLarge},
		"a length that is no number":    {bytes.Repeat([]byte{0xff}, 12), 0, nil},
		"a long length and no contents": {append(binary.AppendUvarint(nil, MaxFrame), 1, 2, 3, 4, 5), 0, ErrBroken},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := NewFrameReader(bytes.NewReader(test.in))
			n := 0
			var err error
			for ; err == nil; n++ {
				_, err = r.Next()
			}
			if n-1 != test.frames || test.end != nil && !errors.Is(err, test.end) {
				t.Errorf("%d frames, then %v; want %d, then %v", n-1, err, test.frames, test.end)
			}
		})
	}
}
