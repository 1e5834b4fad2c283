package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// Metrics lists the names of all metrics with samples from From up to and without To, in milliseconds.
func (s *Server) Metrics(ctx context.Context, from, to int64) ([]string, error) {
	var names []string
	params := url.Values{"start": {seconds(from)}, "end": {seconds(to - 1)}}
	_, err := s.Call(ctx, http.MethodGet, "/api/v1/label/__name__/values", params, server.Into(&names))
	return names, err
}

// Series hands the labels of every series that matches to visit. A series counts by its chunks: one whose chunk spans the window may
// have no sample in it.
func (s *Server) Series(ctx context.Context, matcher string, from, to int64, visit func(labels.Labels) error) error {
	params := url.Values{"match[]": {matcher}, "start": {seconds(from)}, "end": {seconds(to - 1)}}
	_, err := s.Call(ctx, http.MethodPost, "/api/v1/series", params, server.Each(func(m map[string]string) error { return visit(labels.FromMap(m)) }))
	return err
}

// seconds writes milliseconds as the API takes them.
func seconds(ms int64) string {
	return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64)
}

// Answer is the result of a query, in a form that can be compared: labels -> values, both as canonical JSON.
type Answer struct {
	Type   string
	Series map[string]string
	Infos  []string
}

type element struct {
	Metric     map[string]string `json:"metric"`
	Value      json.RawMessage   `json:"value"`
	Values     json.RawMessage   `json:"values"`
	Histogram  json.RawMessage   `json:"histogram"`
	Histograms json.RawMessage   `json:"histograms"`
}

// Query asks /api/v1/query at a time in milliseconds.
func (s *Server) Query(ctx context.Context, expr string, at int64) (*Answer, error) {
	return s.query(ctx, "/api/v1/query", url.Values{"query": {expr}, "time": {seconds(at)}})
}

// QueryRange asks /api/v1/query_range; times and step in milliseconds.
func (s *Server) QueryRange(ctx context.Context, expr string, from, to, step int64) (*Answer, error) {
	return s.query(ctx, "/api/v1/query_range", url.Values{"query": {expr}, "start": {seconds(from)}, "end": {seconds(to)}, "step": {seconds(step)}})
}

func (s *Server) query(ctx context.Context, path string, params url.Values) (*Answer, error) {
	var data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	}
	infos, err := s.Call(ctx, http.MethodPost, path, params, server.Into(&data))
	if err != nil {
		return nil, err
	}
	a := &Answer{Type: data.ResultType, Series: map[string]string{}, Infos: infos}
	if data.ResultType != "vector" && data.ResultType != "matrix" {
		a.Series["{}"] = compact(data.Result)
		return a, nil
	}
	var elements []element
	if err := json.Unmarshal(data.Result, &elements); err != nil {
		return nil, &server.AskError{Server: s.Name(), Path: path, Err: fmt.Errorf("%w: %w", err, server.ErrBroken)}
	}
	for _, e := range elements {
		a.Series[labels.FromMap(e.Metric).String()] = compact(e.Value) + compact(e.Values) + compact(e.Histogram) + compact(e.Histograms)
	}
	return a, nil
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return ""
	}
	return b.String()
}

// number is the value of the only element of a vector; false if the vector is empty.
func (a *Answer) number() (float64, bool, error) {
	for _, text := range a.Series {
		var pair []any
		if err := json.Unmarshal([]byte(text), &pair); err != nil || len(pair) != 2 || len(a.Series) != 1 {
			return 0, false, fmt.Errorf("a count is %s: %w", server.Clip(text, 80), server.ErrBroken)
		}
		v, err := strconv.ParseFloat(fmt.Sprint(pair[1]), 64)
		if err != nil {
			return 0, false, fmt.Errorf("a count is %s: %w", server.Clip(text, 80), server.ErrBroken)
		}
		return v, true, nil
	}
	return 0, false, nil
}

// nearly says that two values of an answer differ by the rounding of sums alone: servers add series up in the order in which they store them.
func nearly(a, b string) bool {
	numbers := func(text string) ([]float64, string) {
		var list []float64
		var rest strings.Builder
		for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(`[]{}",:`, r) }) {
			if v, err := strconv.ParseFloat(field, 64); err == nil {
				list = append(list, v)
			} else {
				rest.WriteString(field)
			}
		}
		return list, rest.String()
	}
	x, restX := numbers(a)
	y, restY := numbers(b)
	return restX == restY && slices.EqualFunc(x, y, func(v, w float64) bool {
		return v == w || math.IsNaN(v) && math.IsNaN(w) || !math.IsInf(v-w, 0) && math.Abs(v-w) <= 1e-12*math.Max(math.Abs(v), math.Abs(w))
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// differences lists, sorted, the series in which two answers differ.
func (a *Answer) differences(b *Answer) []string {
	if a.Type != b.Type {
		return []string{fmt.Sprintf("the type is %s here and %s there", server.Clip(a.Type, 20), server.Clip(b.Type, 20))}
	}
	keys := maps.Clone(a.Series)
	maps.Copy(keys, b.Series)
	var all []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if a.Series[key] != b.Series[key] {
			all = append(all, key)
		}
	}
	return all
}
