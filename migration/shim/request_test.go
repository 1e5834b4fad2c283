package shim

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"
)

func packed(t testing.TB, r *prompb.ReadRequest) []byte {
	t.Helper()
	body, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAQuestionEndsBeforeTheBoundary(t *testing.T) {
	const at = 1000
	query := func(start, end int64, h *prompb.ReadHints) *prompb.Query {
		return &prompb.Query{StartTimestampMs: start, EndTimestampMs: end, Hints: h}
	}
	hints := func(start, end int64) *prompb.ReadHints { return &prompb.ReadHints{StartMs: start, EndMs: end} }
	tests := map[string]struct {
		in   []*prompb.Query
		want []*prompb.Query
		from []int
	}{
		"what is older is asked as it is":            {[]*prompb.Query{query(0, 999, hints(1, 999))}, []*prompb.Query{query(0, 999, hints(1, 999))}, []int{0}},
		"what reaches over it is cut, and its hints": {[]*prompb.Query{query(0, 2000, hints(500, 2000))}, []*prompb.Query{query(0, 999, hints(500, 999))}, []int{0}},
		"what begins at it is not asked":             {[]*prompb.Query{query(1000, 2000, nil)}, nil, nil},
		"what begins a millisecond before it is":     {[]*prompb.Query{query(999, 2000, nil)}, []*prompb.Query{query(999, 999, nil)}, []int{0}},
		"a selector that begins at it is not asked":  {[]*prompb.Query{query(0, 2000, hints(1000, 2000))}, nil, nil},
		"empty hints stay empty":                     {[]*prompb.Query{query(0, 2000, hints(0, 0))}, []*prompb.Query{query(0, 999, hints(0, 0))}, []int{0}},
		"of many, those that are asked keep their places": {[]*prompb.Query{query(1500, 1600, nil), query(1, 2, nil), query(3, 1600, nil)},
			[]*prompb.Query{query(1, 2, nil), query(3, 999, nil)}, []int{1, 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := parseQuestion(packed(t, &prompb.ReadRequest{Queries: test.in}), at, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []*prompb.Query
			if q.ask != nil {
				got = q.ask.Queries
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(test.from, q.from); diff != "" || q.queries != len(test.in) || q.away != len(test.in)-len(test.want) {
				t.Errorf("%+v %s", q, diff)
			}
		})
	}
}

func TestABrokenQuestionIsRefused(t *testing.T) {
	many := &prompb.ReadRequest{}
	for range maxQueries + 1 {
		many.Queries = append(many.Queries, &prompb.Query{})
	}
	for name, body := range map[string][]byte{
		"nothing":          nil,
		"no snappy":        []byte("hello"),
		"a bomb":           snappy.Encode(nil, make([]byte, 5*maxRequest)),
		"no request":       snappy.Encode(nil, []byte{0xff, 0xff}),
		"too many queries": packed(t, many),
		"too many bytes":   bytes.Repeat([]byte{1}, maxRequest+1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readQuestion(bytes.NewReader(body), 1000, nil); !errors.Is(err, errRequest) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add(packed(f, &prompb.ReadRequest{Queries: []*prompb.Query{{StartTimestampMs: 1, EndTimestampMs: 5000, Hints: &prompb.ReadHints{StartMs: 1, EndMs: 5000},
		Matchers: []*prompb.LabelMatcher{{Name: "a", Value: "b"}}}}}), int64(1000))
	f.Add(packed(f, &prompb.ReadRequest{Queries: []*prompb.Query{{StartTimestampMs: math.MinInt64, EndTimestampMs: math.MaxInt64}}}), int64(1))
	f.Add([]byte{1, 2, 3}, int64(7))
	f.Fuzz(func(t *testing.T, body []byte, at int64) {
		if at <= 0 {
			return
		}
		q, err := parseQuestion(body, at, map[string]string{"a": "b"})
		if err != nil || q.ask == nil {
			return
		}
		if len(q.ask.Queries) != len(q.from) || len(q.from)+q.away != q.queries {
			t.Errorf("%+v", q)
		}
		for _, query := range q.ask.Queries {
			checkQuery(t, query, at)
		}
		if _, err := encode(q.ask); err != nil {
			t.Error(err)
		}
	})
}

func checkQuery(t *testing.T, query *prompb.Query, at int64) {
	t.Helper()
	if h := query.Hints; query.EndTimestampMs >= at || h != nil && h.EndMs >= at {
		t.Errorf("asks for %+v, which is not before %d", query, at)
	}
	for _, m := range query.Matchers {
		if m.Type == prompb.LabelMatcher_EQ && m.Name == "a" && m.Value == "b" {
			t.Error("asks for an external label by equality")
		}
	}
}
