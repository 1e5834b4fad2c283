package doctor

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
)

// Severity is how bad a finding is.
type Severity string

// Severities, the worst first.
const (
	// Hurts is what breaks already, or will on a day that can be named, or at the next ordinary fault.
	Hurts Severity = "Hurts"
	// Change is what should be otherwise.
	Change Severity = "Change"
	// Unknown is what could not be seen.
	Unknown Severity = "Unknown"
	// Fine is what was checked and is well.
	Fine Severity = "Fine"
)

func (s Severity) rank() int { return slices.Index([]Severity{Hurts, Change, Unknown, Fine}, s) }

// Finding is what one rule found.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	// Says is what was seen, with its numbers.
	Says string `json:"says"`
	// Sums are the arithmetic.
	Sums []capacity.Sum `json:"sums,omitempty"`
	// HurtsAt is the day on which it will hurt; nil when it does now, or when nobody can tell.
	HurtsAt *time.Time `json:"hurtsAt,omitempty"`
	// Fix is what to do, in words; Requests are what mends it, to be read before they are sent.
	Fix      string    `json:"fix,omitempty"`
	Requests []Request `json:"requests,omitempty"`
	// Objects are the indices or nodes that are meant, the first ones of them; More counts those that are left out.
	Objects []string `json:"objects,omitempty"`
	More    int      `json:"more,omitempty"`
	// Source is where a bound comes from.
	Source string `json:"source,omitempty"`
}

// Request is a call to the cluster.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Body is JSON; empty for none.
	Body string `json:"body,omitempty"`
}

// Report is everything that was found, the worst and soonest first.
type Report struct {
	Cluster string    `json:"cluster"`
	Product string    `json:"product"`
	Version string    `json:"version"`
	TakenAt time.Time `json:"takenAt"`
	Nodes   int       `json:"nodes"`
	Shards  int       `json:"shards"`
	Indices int       `json:"indices"`
	Health  string    `json:"health"`
	// Series are what was read out of the names of indices.
	Series   []SeriesSeen   `json:"series,omitempty"`
	Counts   map[string]int `json:"counts"`
	Findings []Finding      `json:"findings"`
}

// SeriesSeen is one series of indices.
type SeriesSeen struct {
	Format  string `json:"format"`
	Every   string `json:"every"`
	Indices int    `json:"indices"`
	Newest  string `json:"newest"`
	// PrimaryBytesPerDay and DocsPerSecond are of the last full days; 0 where there is none.
	PrimaryBytesPerDay int64   `json:"primaryBytesPerDay"`
	DocsPerSecond      float64 `json:"docsPerSecond"`
}

// Count is how many findings have a severity.
func (r *Report) Count(s Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// maxObjects is how many names a finding shows.
const maxObjects = 8

// about adds the names that a finding is about.
func (f Finding) about(names []string) Finding {
	f.Objects, f.More = names, 0
	if len(names) > maxObjects {
		f.Objects, f.More = slices.Clone(names[:maxObjects]), len(names)-maxObjects
	}
	return f
}

// rank puts the worst first, then the soonest; what hurts now is the soonest.
func rank(findings []Finding) {
	when := func(f Finding) int64 {
		if f.HurtsAt == nil {
			return 0
		}
		return f.HurtsAt.Unix()
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(when(a), when(b)))
	})
}

// settingsRequest sets cluster settings; an empty value takes a setting away.
func settingsRequest(scope string, values map[string]string) Request {
	body := map[string]*string{}
	for k, v := range values {
		body[k] = nil
		if v != "" {
			body[k] = &v
		}
	}
	return Request{Method: "PUT", Path: "/_cluster/settings", Body: jsonText(map[string]any{scope: body})}
}

// indexRequest sets settings of the first of some indices; an empty value takes a setting away.
func indexRequest(indices []string, values map[string]string) Request {
	var escaped []string
	for _, name := range indices[:min(len(indices), maxObjects)] {
		escaped = append(escaped, url.PathEscape(name))
	}
	body := map[string]*string{}
	for k, v := range values {
		body[k] = nil
		if v != "" {
			body[k] = &v
		}
	}
	return Request{Method: "PUT", Path: "/" + strings.Join(escaped, ",") + "/_settings", Body: jsonText(body)}
}

func jsonText(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // maps of strings always can
		return ""
	}
	return string(data)
}
