package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Wanted are names of metrics of a server itself.
type Wanted struct {
	// Required are metrics without labels; one that is not there is an error.
	Required []string
	// Optional are metrics without labels that not every version has.
	Optional []string
	// Summed are metrics of which all series are added up, with or without labels; one without a series is left out.
	Summed []string
}

// maxLine is the longest line of metrics that is read.
const maxLine = 1 << 20

// Metrics reads /metrics of the server and returns what is wanted, by name. What is there is a number: one that is NaN is an error where
// it is required and left out where it is not.
func (c *Client) Metrics(ctx context.Context, w Wanted) (map[string]float64, error) {
	var values map[string]float64
	header := http.Header{"Accept": {"text/plain; version=0.0.4"}}
	err := c.Ask(ctx, http.MethodGet, "/metrics", header, nil, func(res *http.Response, body io.Reader) (err error) {
		if res.StatusCode != http.StatusOK {
			return Refusal(res.StatusCode, body)
		}
		values, err = ReadMetrics(body, w)
		return err
	})
	return values, err
}

// ReadMetrics takes what is wanted from the text format, as Metrics does. A metric without labels that stands there twice is an error:
// nobody knows which of the two is meant.
func ReadMetrics(r io.Reader, w Wanted) (map[string]float64, error) {
	values := map[string]float64{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		name, labelled, rest := cutMetric(lines.Text())
		summed := slices.Contains(w.Summed, name)
		if !summed && (labelled || !slices.Contains(w.Required, name) && !slices.Contains(w.Optional, name)) {
			continue
		}
		v, err := metricValue(rest)
		if err != nil {
			return nil, fmt.Errorf("%s is %q: %w", name, Clip(rest, 40), ErrBroken)
		}
		if _, twice := values[name]; twice && !summed {
			return nil, fmt.Errorf("%s stands there twice: %w", name, ErrBroken)
		}
		values[name] += v
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("a line is longer than %d bytes: %w", maxLine, ErrTooLarge)
		}
		return nil, fmt.Errorf("reading lines: %w", err)
	}
	return values, check(values, w.Required)
}

// check leaves out what is no number, and misses what is required.
func check(values map[string]float64, required []string) error {
	for name, v := range values {
		if math.IsNaN(v) {
			delete(values, name)
		}
	}
	var missing []string
	for _, name := range required {
		if _, ok := values[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of %d metrics about the storage are missing, the first is %s (is this the address of a Prometheus server?): %w",
			len(missing), len(required), missing[0], ErrBroken)
	}
	return nil
}

// cutMetric splits a line of the text format. A value of a label may hold anything, so the value is what follows the last brace.
func cutMetric(line string) (name string, labelled bool, rest string) {
	end := strings.IndexAny(line, "{ \t")
	if end < 0 {
		return line, false, ""
	}
	name, rest = line[:end], line[end:]
	if i := strings.LastIndexByte(rest, '}'); rest[0] == '{' && i > 0 {
		return name, true, rest[i+1:]
	}
	return name, rest[0] == '{', rest
}

func metricValue(rest string) (float64, error) {
	fields := strings.Fields(rest)
	if len(fields) != 1 && len(fields) != 2 { // a time may follow
		return 0, ErrBroken
	}
	return strconv.ParseFloat(fields[0], 64)
}

// Int turns a metric into a whole number, the ends of int64 included: they are not exact as floats, and a head without samples has
// math.MaxInt64 and math.MinInt64 as its ends (Prometheus, tsdb/head.go, resetInMemoryState). NaN is 0.
func Int(v float64) int64 {
	switch {
	case math.IsNaN(v):
		return 0
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v)
}
