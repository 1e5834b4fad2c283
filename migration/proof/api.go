package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// envelope is what stands around the data of every JSON answer.
type envelope struct {
	Status   string   `json:"status"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Infos    []string `json:"infos"`
}

// engineWarning begins a warning about the query itself (util/annotations); it does not say that the answer is partial.
const engineWarning = "PromQL warning: "

// call asks for JSON and hands the data to decode, as it comes. A warning is an error: the answer may be partial.
func (s *Server) call(ctx context.Context, method, path string, params url.Values, decode func(*json.Decoder) error) (infos []string, err error) {
	var header http.Header
	var body []byte
	if method == http.MethodPost {
		header, body = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(params.Encode())
	} else if len(params) > 0 {
		path += "?" + params.Encode()
	}
	err = s.ask(ctx, method, path, header, body, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return statusError(res.StatusCode, body)
		}
		env, err := decodeEnvelope(json.NewDecoder(body), decode)
		switch {
		case err != nil:
			return err
		case env.Status != "success":
			return fmt.Errorf("its status is %q: %s: %w", clip(env.Status, 40), clip(env.Error, 200), ErrBroken)
		}
		infos = env.Infos
		for _, w := range env.Warnings {
			if !strings.HasPrefix(w, engineWarning) {
				return &WarningError{Warnings: env.Warnings}
			}
			infos = append(infos, w)
		}
		return nil
	})
	return infos, err
}

// statusError takes the error out of an answer that says no.
func statusError(code int, body io.Reader) error {
	text, _ := io.ReadAll(io.LimitReader(body, 4096)) // what cannot be read of a refusal is left out
	var env envelope
	if json.Unmarshal(text, &env) == nil && env.Error != "" {
		return &StatusError{Code: code, Text: clip(env.Error, 300)}
	}
	return &StatusError{Code: code, Text: clip(strings.TrimSpace(string(text)), 200)}
}

func decodeEnvelope(d *json.Decoder, decode func(*json.Decoder) error) (envelope, error) {
	var env envelope
	if err := expect(d, '{'); err != nil {
		return env, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return env, broken(err)
		}
		into := any(new(json.RawMessage))
		switch key {
		case "data":
			if err := decode(d); err != nil {
				return env, err
			}
			continue
		case "status":
			into = &env.Status
		case "error":
			into = &env.Error
		case "warnings":
			into = &env.Warnings
		case "infos":
			into = &env.Infos
		}
		if err := d.Decode(into); err != nil {
			return env, broken(err)
		}
	}
	return env, expect(d, '}')
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return broken(err)
	}
	if token != want {
		return fmt.Errorf("%v stands where %v should: %w", clip(fmt.Sprint(token), 40), want, ErrBroken)
	}
	return nil
}

// broken tells JSON that is wrong from a connection that ended, and keeps the error of the limit.
func broken(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends too early: %w", ErrBroken)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: %w", err, ErrBroken)
	}
	return err
}

func into(v any) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := d.Decode(v); err != nil {
			return broken(err)
		}
		return nil
	}
}

// each decodes the elements of an array one by one.
func each[T any](visit func(T) error) func(*json.Decoder) error {
	return func(d *json.Decoder) error {
		if err := expect(d, '['); err != nil {
			return err
		}
		for d.More() {
			var v T
			if err := d.Decode(&v); err != nil {
				return broken(err)
			}
			if err := visit(v); err != nil {
				return err
			}
		}
		return expect(d, ']')
	}
}

// Metrics lists the names of all metrics with samples from From up to and without To, in milliseconds.
func (s *Server) Metrics(ctx context.Context, from, to int64) ([]string, error) {
	var names []string
	params := url.Values{"start": {seconds(from)}, "end": {seconds(to - 1)}}
	_, err := s.call(ctx, http.MethodGet, "/api/v1/label/__name__/values", params, into(&names))
	return names, err
}

// Series hands the labels of every series that matches to visit. A series counts by its chunks: one whose chunk spans the window may
// have no sample in it.
func (s *Server) Series(ctx context.Context, matcher string, from, to int64, visit func(labels.Labels) error) error {
	params := url.Values{"match[]": {matcher}, "start": {seconds(from)}, "end": {seconds(to - 1)}}
	_, err := s.call(ctx, http.MethodPost, "/api/v1/series", params, each(func(m map[string]string) error { return visit(labels.FromMap(m)) }))
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
	infos, err := s.call(ctx, http.MethodPost, path, params, into(&data))
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
		return nil, &AskError{Server: s.name, Path: path, Err: broken(err)}
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
			return 0, false, fmt.Errorf("a count is %s: %w", clip(text, 80), ErrBroken)
		}
		v, err := strconv.ParseFloat(fmt.Sprint(pair[1]), 64)
		if err != nil {
			return 0, false, fmt.Errorf("a count is %s: %w", clip(text, 80), ErrBroken)
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
		return []string{fmt.Sprintf("the type is %s here and %s there", clip(a.Type, 20), clip(b.Type, 20))}
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
