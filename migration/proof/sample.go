package proof

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"github.com/slipway-dev/slipway/migration/server"
)

// Sample is what a server stored at one time, in milliseconds: a float, a native histogram, or one with float counts.
type Sample struct {
	Time  int64
	Start int64 // start time of a counter, 0 where none is stored
	Value float64
	Int   *histogram.Histogram
	Float *histogram.FloatHistogram
}

// The methods below make Sample what storage.NewListSeries takes.
var _ chunks.Sample = Sample{}

// ST is the start time.
func (s Sample) ST() int64 { return s.Start }

// T is the time.
func (s Sample) T() int64 { return s.Time }

// F is the value of a float.
func (s Sample) F() float64 { return s.Value }

// H is the integer histogram, or nil.
func (s Sample) H() *histogram.Histogram { return s.Int }

// FH is the float histogram, or nil.
func (s Sample) FH() *histogram.FloatHistogram { return s.Float }

// Type says which of the three the sample is.
func (s Sample) Type() chunkenc.ValueType {
	switch {
	case s.Int != nil:
		return chunkenc.ValHistogram
	case s.Float != nil:
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// Copy copies the histograms too.
func (s Sample) Copy() chunks.Sample {
	if s.Int != nil {
		s.Int = s.Int.Copy()
	}
	if s.Float != nil {
		s.Float = s.Float.Copy()
	}
	return s
}

// Stale says whether the sample marks the end of its series.
func (s Sample) Stale() bool { return value.IsStaleNaN(s.sum()) }

func (s Sample) sum() float64 {
	switch {
	case s.Int != nil:
		return s.Int.Sum
	case s.Float != nil:
		return s.Float.Sum
	}
	return s.Value
}

func (s Sample) String() string {
	switch {
	case s.Stale():
		return "stale marker"
	case s.Int != nil:
		return server.Clip("histogram "+s.Int.String(), 200)
	case s.Float != nil:
		return server.Clip("float histogram "+s.Float.String(), 200)
	case math.IsNaN(s.Value):
		return fmt.Sprintf("NaN 0x%016x", math.Float64bits(s.Value))
	}
	return fmt.Sprintf("%v (0x%016x)", s.Value, math.Float64bits(s.Value))
}

// Difference is one time at which two series differ. An empty side has no sample there.
type Difference struct {
	Kind           Kind
	Time           int64
	Source, Target string
}

// CompareSamples finds, in order of time, where two series differ in a bit. Both must be sorted by time. Not compared is what is
// no part of a sample: how histograms lay out empty buckets, and their hints about counter resets, which depend on where a chunk begins.
func CompareSamples(source, target []Sample) []Difference {
	var all []Difference
	for len(source) > 0 || len(target) > 0 {
		switch {
		case len(target) == 0 || len(source) > 0 && source[0].Time < target[0].Time:
			all = append(all, missing(source[0]))
			source = source[1:]
		case len(source) == 0 || target[0].Time < source[0].Time:
			all = append(all, Difference{Kind: ExtraSample, Time: target[0].Time, Target: target[0].String()})
			target = target[1:]
		default:
			if kind := compareOne(source[0], target[0]); kind != "" {
				all = append(all, Difference{Kind: kind, Time: source[0].Time, Source: describe(kind, source[0]), Target: describe(kind, target[0])})
			}
			source, target = source[1:], target[1:]
		}
	}
	return all
}

func missing(s Sample) Difference {
	kind := MissingSample
	if s.Stale() {
		kind = LostStaleMarker
	}
	return Difference{Kind: kind, Time: s.Time, Source: s.String()}
}

func describe(kind Kind, s Sample) string {
	if kind == DifferentStart {
		return fmt.Sprintf("start time %d", s.Start)
	}
	return s.String()
}

// compareOne names how two samples of one time differ; empty if they do not.
func compareOne(a, b Sample) Kind {
	switch {
	case a.Stale() && !b.Stale():
		return LostStaleMarker
	case a.Type() != b.Type():
		return DifferentType
	case a.Type() == chunkenc.ValFloat && math.Float64bits(a.Value) != math.Float64bits(b.Value):
		if math.IsNaN(a.Value) && math.IsNaN(b.Value) {
			return DifferentNaN
		}
		return DifferentValue
	case a.Int != nil && !sameInt(a.Int, b.Int), a.Float != nil && !sameFloat(a.Float, b.Float):
		return DifferentHistogram
	case a.Start != b.Start:
		return DifferentStart
	}
	return ""
}

func sameInt(a, b *histogram.Histogram) bool {
	if (a.CounterResetHint == histogram.GaugeType) != (b.CounterResetHint == histogram.GaugeType) {
		return false
	}
	return a.Equals(b) || a.Copy().Compact(0).Equals(b.Copy().Compact(0))
}

func sameFloat(a, b *histogram.FloatHistogram) bool {
	if (a.CounterResetHint == histogram.GaugeType) != (b.CounterResetHint == histogram.GaugeType) {
		return false
	}
	return a.Equals(b) || a.Copy().Compact(0).Equals(b.Copy().Compact(0))
}
