package block

import (
	"fmt"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// ChunkCutter cuts single chunks that come from elsewhere and are not trusted. It is not for several goroutines.
type ChunkCutter struct{ d *decoder }

// NewChunkCutter makes a ChunkCutter.
func NewChunkCutter() *ChunkCutter { return &ChunkCutter{d: newDecoder()} }

// Before decodes a chunk and keeps the samples with t < at (Unix milliseconds). A chunk that has no others is whole, and may be
// taken as it is; else parts hold what is left, encoded anew bit for bit the same: none, one, or for histograms more.
func (c *ChunkCutter) Before(enc byte, data []byte, at int64) (parts []chunks.Meta, whole bool, err error) {
	got, err := c.d.decode(enc, data)
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("decoding a chunk: %w", err)
	case got.to < at:
		return nil, true, nil
	case got.from >= at:
		return nil, false, nil
	}
	source, err := chunkenc.FromData(chunkenc.Encoding(enc), data)
	if err != nil {
		return nil, false, fmt.Errorf("decoding a chunk: %w", err)
	}
	parts, err = filter(source, func(t int64) bool { return t < at })
	if err != nil {
		return nil, false, fmt.Errorf("cutting a chunk: %w", err)
	}
	return parts, false, nil
}
