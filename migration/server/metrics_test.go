package server

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func wanted() Wanted {
	return Wanted{Required: []string{"a", "b"}, Optional: []string{"c"}, Summed: []string{"s"}}
}

func TestReadMetrics(t *testing.T) {
	tests := map[string]struct {
		text string
		want map[string]float64
		err  error
	}{
		"takes what is wanted and nothing else":   {"# HELP a text\na 1\nb 2.5e3\nother 7\n", map[string]float64{"a": 1, "b": 2500}, nil},
		"takes what not every version has":        {"a 1\nb 2\nc 3\n", map[string]float64{"a": 1, "b": 2, "c": 3}, nil},
		"adds up series":                          {"a 1\nb 2\ns{x=\"1\"} 3\ns{x=\"} 9 {\"} 4 1700000000000\n", map[string]float64{"a": 1, "b": 2, "s": 7}, nil},
		"adds up a series without labels":         {"a 1\nb 2\ns 3\n", map[string]float64{"a": 1, "b": 2, "s": 3}, nil},
		"passes over times":                       {"a 1 1700000000000\nb 2\n", map[string]float64{"a": 1, "b": 2}, nil},
		"a series with labels is another one":     {"a{x=\"1\"} 5\na 1\nb 2\n", map[string]float64{"a": 1, "b": 2}, nil},
		"leaves out what is no number":            {"a 1\nb 2\nc NaN\n", map[string]float64{"a": 1, "b": 2}, nil},
		"keeps the ends of an empty head":         {"a 9.223372036854776e+18\nb -9.223372036854776e+18\n", map[string]float64{"a": 0x1p63, "b": -0x1p63}, nil},
		"misses what is required":                 {"a 1\n", nil, ErrBroken},
		"misses what is required and no number":   {"a 1\nb NaN\n", nil, ErrBroken},
		"does not choose between two":             {"a 1\nb 2\na 3\n", nil, ErrBroken},
		"refuses words for numbers":               {"a many\nb 2\n", nil, ErrBroken},
		"refuses a line without value":            {"a\nb 2\n", nil, ErrBroken},
		"refuses a page":                          {"<html>\n", nil, ErrBroken},
		"refuses a line above the limit":          {"a " + strings.Repeat("1", maxLine) + "\n", nil, ErrTooLarge},
		"refuses a label that never ends":         {"a 1\nb 2\ns{x=\"1\n", nil, ErrBroken},
		"the end of the last line may be missing": {"a 1\nb 2", map[string]float64{"a": 1, "b": 2}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadMetrics(strings.NewReader(test.text), wanted())
			if !errors.Is(err, test.err) || (err != nil) != (test.err != nil) {
				t.Fatalf("%v", err)
			}
			if err == nil {
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

func TestMetricsAsksWhetherThisIsPrometheus(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || !strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte("go_goroutines 3\n"))
	}))
	defer h.Close()
	c, err := New(Options{Name: "target", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Metrics(t.Context(), wanted())
	want := "asking the target for /metrics: 2 of 2 metrics about the storage are missing, the first is a (is this the address of a Prometheus server?): the answer is broken"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestInt(t *testing.T) {
	for v, want := range map[float64]int64{0: 0, -1.5: -1, 0x1p63: math.MaxInt64, -0x1p63: math.MinInt64, math.Inf(1): math.MaxInt64, math.Inf(-1): math.MinInt64, 1763800000123: 1763800000123} {
		if got := Int(v); got != want {
			t.Errorf("%v is %d, want %d", v, got, want)
		}
	}
	if got := Int(math.NaN()); got != 0 {
		t.Errorf("NaN is %d", got)
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add("a 1\nb 2\nc NaN\ns{x=\"}\"} 3 4\n")
	f.Add("a\t1\nb  2\n")
	f.Add("s{\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadMetrics(strings.NewReader(text), wanted())
		if err != nil {
			return
		}
		for _, name := range wanted().Required {
			if v, ok := got[name]; !ok || math.IsNaN(v) {
				t.Errorf("%q has no %s and no error says so", text, name)
			}
		}
	})
}
