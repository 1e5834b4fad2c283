package proof

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

func TestCompareSamplesNamesEachDifference(t *testing.T) {
	bits := math.Float64frombits
	h := tsdbutil.GenerateTestHistogram(3)
	fh := tsdbutil.GenerateTestFloatHistogram(3)
	hinted, wide, gauge, stale, sum := h.Copy(), h.Copy(), h.Copy(), h.Copy(), fh.Copy()
	hinted.CounterResetHint = histogram.NotCounterReset
	gauge.CounterResetHint = histogram.GaugeType
	wide.PositiveSpans = append(wide.PositiveSpans, histogram.Span{Offset: 2, Length: 1})
	last := int64(0)
	for _, d := range wide.PositiveBuckets {
		last += d
	}
	wide.PositiveBuckets = append(wide.PositiveBuckets, -last)
	stale.Sum = bits(value.StaleNaN)
	sum.Sum = bits(math.Float64bits(sum.Sum) ^ 1)
	tests := map[string]struct {
		a, b []Sample
		want []Kind
	}{
		"equal floats":                          {at(1, 2, -3), at(1, 2, -3), nil},
		"equal NaNs":                            {[]Sample{{Value: math.NaN()}}, []Sample{{Value: math.NaN()}}, nil},
		"minus zero is not zero":                {[]Sample{{Value: 0}}, []Sample{{Value: math.Copysign(0, -1)}}, []Kind{DifferentValue}},
		"another NaN":                           {[]Sample{{Value: math.NaN()}}, []Sample{{Value: bits(value.NormalNaN + 1)}}, []Kind{DifferentNaN}},
		"a NaN where a number was":              {at(1), []Sample{{Time: 1, Value: math.NaN()}}, []Kind{DifferentValue}},
		"a stale marker became a NaN":           {at(-1), []Sample{{Time: 1, Value: math.NaN()}}, []Kind{LostStaleMarker}},
		"missing in the middle, extra at end":   {at(1, 2, 3), at(1, 3, 4), []Kind{MissingSample, ExtraSample}},
		"a stale marker is missing":             {at(1, -2), at(1), []Kind{LostStaleMarker}},
		"another start time":                    {[]Sample{{Start: 1}}, []Sample{{Start: 2}}, []Kind{DifferentStart}},
		"equal histograms":                      {[]Sample{{Int: h}}, []Sample{{Int: h.Copy()}}, nil},
		"another hint is no difference":         {[]Sample{{Int: h}}, []Sample{{Int: hinted}}, nil},
		"an empty bucket more is no difference": {[]Sample{{Int: h}}, []Sample{{Int: wide}}, nil},
		"a gauge is no counter":                 {[]Sample{{Int: h}}, []Sample{{Int: gauge}}, []Kind{DifferentHistogram}},
		"another bucket":                        {[]Sample{{Int: h}}, []Sample{{Int: changed(h)}}, []Kind{DifferentHistogram}},
		"one bit of the sum":                    {[]Sample{{Float: fh}}, []Sample{{Float: sum}}, []Kind{DifferentHistogram}},
		"float counts for whole ones":           {[]Sample{{Int: h}}, []Sample{{Float: h.ToFloat(nil)}}, []Kind{DifferentType}},
		"a stale histogram is lost":             {[]Sample{{Int: stale}}, []Sample{{Int: h}}, []Kind{LostStaleMarker}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []Kind
			for _, d := range CompareSamples(test.a, test.b) {
				got = append(got, d.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
