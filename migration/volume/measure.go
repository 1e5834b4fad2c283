package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// probePrefix begins the name of the directory in which everything is measured. It is no name of a block, and none that a
	// server deletes when it starts.
	probePrefix = "slipway-probe-"
	// phaseTime bounds each measurement: a volume that is too slow is known to be so long before the end.
	phaseTime = 8 * time.Second
	readSize  = 4 << 10
	chunkSize = 1 << 20
	// syncSize is what is written before each sync: a page of Prometheus' write-ahead log (tsdb/wlog, pageSize).
	syncSize = 32 << 10
	minFile  = 16 << 20
)

// Options of a measurement.
type Options struct {
	// Dir is a directory of the volume, where the server's data will lie.
	Dir string
	// FileBytes is the size of the file that is written and read; zero: 256 MiB. At most a quarter of what is free.
	FileBytes int64
	// Syncs and Reads are how many are measured; zero: 300 and 2000. There are as many random writes as reads.
	Syncs, Reads int
	// Seeded says that blocks that lie there are the source's.
	Seeded bool
	// Progress is told what comes next; may be nil.
	Progress func(what string)
}

// Latency is how long single operations took.
type Latency struct {
	Count int `json:"count"`
	// P50, P99 and Max are in microseconds.
	P50 int64 `json:"p50Microseconds"`
	P99 int64 `json:"p99Microseconds"`
	Max int64 `json:"maxMicroseconds"`
}

// Ability is something that a server does with files, and why it cannot do it here.
type Ability struct {
	Name string `json:"name"`
	// Error is empty when it can.
	Error string `json:"error,omitempty"`
}

// Report is what was seen of a volume.
type Report struct {
	Dir        string     `json:"dir"`
	FileSystem FileSystem `json:"fileSystem"`
	UID        int        `json:"uid"`
	GID        int        `json:"gid"`
	Groups     []int      `json:"groups"`
	Abilities  []Ability  `json:"abilities"`
	// PresentBytes are those of the source's blocks that lie here already.
	PresentBytes int64 `json:"presentBytes,omitempty"`
	// Measured is false when files cannot be written or a measurement failed: what follows is not complete then.
	Measured bool `json:"measured"`
	// Failure is why a measurement failed.
	Failure string  `json:"failure,omitempty"`
	Sync    Latency `json:"sync"`
	// SequentialWriteBytesPerSecond includes the sync at the end.
	SequentialWriteBytesPerSecond int64   `json:"sequentialWriteBytesPerSecond"`
	SequentialReadBytesPerSecond  int64   `json:"sequentialReadBytesPerSecond"`
	RandomRead                    Latency `json:"randomRead"`
	RandomReadsPerSecond          int64   `json:"randomReadsPerSecond"`
	// ParallelReadsPerSecond are random reads of which 16 are on their way at once, as of queries that meet old blocks.
	ParallelReadsPerSecond int64 `json:"parallelReadsPerSecond"`
	// RandomWrite is of 4 KiB around the page cache.
	RandomWrite           Latency `json:"randomWrite"`
	RandomWritesPerSecond int64   `json:"randomWritesPerSecond"`
	// DirectWriteBytesPerSecond is sequential, around the page cache.
	DirectWriteBytesPerSecond int64 `json:"directWriteBytesPerSecond"`
	// ThroughCache says that reads and writes could not go around the page cache: they say little about the disk.
	ThroughCache bool `json:"throughCache"`
}

// Measure looks at a volume as the user of this process. An error means that it could not look; what a server could not do
// there is in the report.
func Measure(ctx context.Context, o Options) (*Report, error) {
	o = o.defaulted()
	r := &Report{Dir: o.Dir, UID: os.Geteuid(), GID: os.Getegid()}
	var err error
	if r.Groups, err = os.Getgroups(); err != nil {
		return nil, fmt.Errorf("listing groups: %w", err)
	}
	if r.FileSystem, err = look(o.Dir); err != nil {
		return nil, err
	}
	removeLeftOvers(o.Dir)
	probe, err := os.MkdirTemp(o.Dir, probePrefix)
	if err != nil {
		r.Abilities = []Ability{{MakeDirectory, reason(err)}}
		return r, nil
	}
	defer func() { _ = os.RemoveAll(probe) }()
	o.Progress("what files can do here")
	r.PresentBytes = present(o.Dir, o.Seeded)
	r.Abilities = tryAll(probe)
	if !r.Able(WriteFile) {
		return r, nil
	}
	r.Abilities = append(r.Abilities, Ability{UseWhatIsThere, reason(useWhatIsThere(o.Dir))})
	if err := r.measure(ctx, o, probe); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		r.Failure = strings.ReplaceAll(err.Error(), probe+"/", "")
		return r, nil
	}
	r.Measured = true
	return r, nil
}

func (o Options) defaulted() Options {
	if o.FileBytes == 0 {
		o.FileBytes = 256 << 20
	}
	if o.Syncs == 0 {
		o.Syncs = 300
	}
	if o.Reads == 0 {
		o.Reads = 2000
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Able tells whether something was tried and worked.
func (r *Report) Able(name string) bool {
	return slices.Contains(r.Abilities, Ability{Name: name})
}

// removeLeftOvers removes what a measurement that was killed left, as far as we may.
func removeLeftOvers(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, probePrefix+"*"))
	for _, path := range old {
		if info, err := os.Lstat(path); err == nil && info.IsDir() && time.Since(info.ModTime()) > 10*time.Minute {
			_ = os.RemoveAll(path)
		}
	}
}
