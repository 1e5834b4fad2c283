package block

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/oklog/ulid/v2"
)

const (
	metaFile       = "meta.json"
	indexFile      = "index"
	tombstonesFile = "tombstones"
	chunksDir      = "chunks"

	// maxMeta is far above what Prometheus writes: a block of 31 days names some 400 sources.
	maxMeta = 16 << 20
)

// Meta is a block's meta.json, version 1. Times are Unix milliseconds, the range is half open.
type Meta struct {
	ULID       ulid.ULID  `json:"ulid"`
	MinTime    int64      `json:"minTime"`
	MaxTime    int64      `json:"maxTime"`
	Stats      Stats      `json:"stats,omitempty"`
	Compaction Compaction `json:"compaction"`
	Version    int        `json:"version"`
	Cut        *CutFrom   `json:"slipway,omitempty"`
}

// Stats are the counts of a block. Older versions do not tell floats and histograms apart.
type Stats struct {
	NumSamples          uint64 `json:"numSamples,omitempty"`
	NumFloatSamples     uint64 `json:"numFloatSamples,omitempty"`
	NumHistogramSamples uint64 `json:"numHistogramSamples,omitempty"`
	NumSeries           uint64 `json:"numSeries,omitempty"`
	NumChunks           uint64 `json:"numChunks,omitempty"`
	NumTombstones       uint64 `json:"numTombstones,omitempty"`
}

// Compaction is where a block comes from. A server that loads a block deletes all its parents.
type Compaction struct {
	Level     int         `json:"level"`
	Sources   []ulid.ULID `json:"sources,omitempty"`
	Deletable bool        `json:"deletable,omitempty"`
	Parents   []Desc      `json:"parents,omitempty"`
	Failed    bool        `json:"failed,omitempty"`
	Hints     []string    `json:"hints,omitempty"`
}

// Desc names a block and its range.
type Desc struct {
	ULID    ulid.ULID `json:"ulid"`
	MinTime int64     `json:"minTime"`
	MaxTime int64     `json:"maxTime"`
}

// CutFrom says which block a piece was cut from. Prometheus ignores it, and drops it when it writes meta.json again.
type CutFrom struct {
	From    ulid.ULID   `json:"cutFrom"`
	At      int64       `json:"cutAt"`
	Sources []ulid.ULID `json:"sources,omitempty"`
}

// readMeta reads meta.json of the block that root is. The error is a *Damage unless the file may not be read.
func readMeta(root *os.Root) (*Meta, error) {
	f, err := openRegular(root, metaFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMeta+1))
	if err != nil {
		return nil, damaged(Unreadable, metaFile, -1, "%v", err)
	}
	return parseMeta(data)
}

// parseMeta judges the text of a meta.json. Every error is a *Damage.
func parseMeta(data []byte) (*Meta, error) {
	if len(data) > maxMeta {
		return nil, damaged(BadMeta, metaFile, -1, "larger than %d bytes", maxMeta)
	}
	var version struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, damaged(BadMeta, metaFile, jsonOffset(err), "not the JSON of a block: %v", err)
	}
	if version.Version == nil {
		return nil, damaged(BadMeta, metaFile, -1, "has no version")
	}
	if *version.Version != 1 {
		return nil, damaged(UnknownVersion, metaFile, -1, "version %d, not 1", *version.Version)
	}
	var m Meta
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, damaged(BadMeta, metaFile, jsonOffset(err), "not the JSON of a block: %v", err)
	}
	if why := m.wrong(); why != "" {
		return nil, damaged(BadMeta, metaFile, -1, "%s", why)
	}
	return &m, nil
}

func jsonOffset(err error) int64 {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	return -1
}

// wrong says how a meta contradicts itself.
func (m *Meta) wrong() string {
	s := m.Stats
	switch {
	case m.ULID == ulid.ULID{}:
		return "has no ulid"
	case m.MinTime >= m.MaxTime:
		return fmt.Sprintf("minTime %d is not before maxTime %d", m.MinTime, m.MaxTime)
	case m.MaxTime-m.MinTime < 0:
		return fmt.Sprintf("the range from %d to %d is too long", m.MinTime, m.MaxTime)
	case m.Compaction.Level < 0:
		return fmt.Sprintf("compaction level %d", m.Compaction.Level)
	case s.NumSeries > s.NumChunks || s.NumChunks > s.NumSamples:
		return fmt.Sprintf("%d series, %d chunks and %d samples cannot be: every series has a chunk, every chunk a sample", s.NumSeries, s.NumChunks, s.NumSamples)
	case slices.ContainsFunc(m.Compaction.Parents, func(d Desc) bool { return d.ULID == m.ULID }):
		return "names itself as its parent: Prometheus would delete it"
	}
	return ""
}
