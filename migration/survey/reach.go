package survey

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"github.com/slipway-dev/slipway/migration/server"
)

// Kinds of gaps that a look from here alone can find, beside Unreachable, Failing and DownOnBoth.
const (
	// Unresolved is a target whose name is not known here.
	Unresolved GapKind = "Unresolved"
	// Guarded is one that was reached and asks for what only the configuration has: credentials, a certificate, a proxy.
	Guarded GapKind = "Guarded"
	// Untyped is one that was reached and gives no content type that 3.x takes by itself.
	Untyped GapKind = "Untyped"
	// OnItsHost is one that the source scrapes on its own host: the same address leads the new server to itself.
	OnItsHost GapKind = "OnItsHost"
)

// ReachOptions say whose targets to try from here.
type ReachOptions struct {
	Source *server.Client
	// Except are jobs that may stay behind; they are not asked.
	Except []string
	// Timeout ends the attempt at one target; default 5 s.
	Timeout time.Duration
	// Parallel is how many are tried at once; default 16.
	Parallel int
	// Progress is told how many of how many were tried, by one goroutine at a time; nil: nobody.
	Progress func(done, total int)
}

// Unreached is a target that did not answer here as it answers the source.
type Unreached struct {
	Kind GapKind `json:"kind"`
	Job  string  `json:"job"`
	// URL is without user and parameters.
	URL   string `json:"url"`
	Error string `json:"error,omitempty"`
}

// ReachReport says which of the source's targets can be scraped from here.
type ReachReport struct {
	// Targets were tried; Answered of them gave metrics.
	Targets  int             `json:"targets"`
	Answered int             `json:"answered"`
	Counts   map[GapKind]int `json:"counts,omitempty"`
	// Gaps are the first of each kind, at most 50; Counts has all.
	Gaps []Unreached `json:"gaps"`
	// Firewall is what has to be opened, from here.
	Firewall   []Opening   `json:"firewall"`
	Exceptions []Exception `json:"exceptions,omitempty"`
}

// mostUnreached is how many gaps of a kind are listed.
const mostUnreached = 50

// place is a target as it is tried: with its parameters, which may be secret and are never told.
type place struct {
	Target
	address string
	job     jobWay
}

// jobWay is what a job brings along that is not tried from here.
type jobWay struct {
	credentials, tls bool
	proxy            string
}

// Reach asks the source for its targets and scrapes each once from here, without credentials. What cannot be reached is no error but
// in the report.
func Reach(ctx context.Context, o ReachOptions) (*ReachReport, error) {
	o.Timeout, o.Parallel = cmp.Or(o.Timeout, 5*time.Second), cmp.Or(o.Parallel, 16)
	places, err := askPlaces(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	r := &ReachReport{Counts: map[GapKind]int{}, Gaps: []Unreached{}, Firewall: []Opening{}}
	staying := map[string]int{}
	places = slices.DeleteFunc(places, func(p place) bool {
		if stays := slices.Contains(o.Except, p.Job); stays {
			staying[p.Job]++
			return true
		}
		return false
	})
	for _, job := range o.Except {
		r.Exceptions = append(r.Exceptions, Exception{Job: job, Targets: staying[job],
			Consequence: fmt.Sprintf("what cannot be scraped of it from here ends at the cutover (targets: %d), and so does every rule and panel that reads it", staying[job])})
	}
	found, err := tryPlaces(ctx, o, places)
	if err != nil {
		return nil, err
	}
	r.sum(found)
	return r, nil
}

// tryPlaces tries all, some at once; the answers are in the order of the places.
func tryPlaces(ctx context.Context, o ReachOptions, places []place) ([]Unreached, error) {
	found := make([]Unreached, len(places))
	var mu sync.Mutex
	done := 0
	scraper := &scraper{timeout: o.Timeout, local: loopback(hostOf(o.Source.URL()))}
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(o.Parallel)
	for i, p := range places {
		g.Go(func() error {
			kind, why := scraper.try(inner, p)
			found[i] = Unreached{Kind: kind, Job: p.Job, URL: p.URL, Error: server.Clip(why, 200)}
			mu.Lock()
			defer mu.Unlock()
			if done++; o.Progress != nil {
				o.Progress(done, len(places))
			}
			return inner.Err()
		})
	}
	return found, g.Wait()
}

// sum counts, and lists what has to be opened.
func (r *ReachReport) sum(found []Unreached) {
	var ways []way
	for _, f := range found {
		r.Targets++
		if f.Kind == "" {
			r.Answered++
			continue
		}
		if f.Kind == Unreachable {
			ways = append(ways, way{f.URL, f.Job, f.Error})
		}
		if r.Counts[f.Kind]++; r.Counts[f.Kind] <= mostUnreached {
			r.Gaps = append(r.Gaps, f)
		}
	}
	slices.SortStableFunc(r.Gaps, func(a, b Unreached) int { return cmp.Compare(a.Kind, b.Kind) })
	r.Firewall = openings(ways)
}

// Says is the report in words: how many answered, and what is with the others.
func (r *ReachReport) Says() string {
	words := []string{fmt.Sprintf("%d of %d targets of the source give metrics here", r.Answered, r.Targets)}
	for _, k := range []struct {
		kind GapKind
		says string
	}{
		{Unreachable, "cannot be reached"}, {Unresolved, "have names that are not known here"}, {Failing, "answer the source but not here"},
		{Guarded, "are reached and want what the configuration has"}, {Untyped, "give no content type of Prometheus"},
		{OnItsHost, "are on the source's own host"}, {DownOnBoth, "are down for both"},
	} {
		if n := r.Counts[k.kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, k.says))
		}
	}
	return strings.Join(words, "; ")
}

func askPlaces(ctx context.Context, s *server.Client) ([]place, error) {
	o := &Observation{Name: s.Name()}
	if err := o.askConfig(ctx, s); err != nil {
		return nil, err
	}
	jobs, err := jobWays(o.yaml)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the %s: %w", s.Name(), err)
	}
	var data targetsAnswer
	if err := get(ctx, s, "/api/v1/targets", url.Values{"state": {"active"}}, &data); err != nil {
		return nil, err
	}
	addresses, pools := map[string]string{}, map[string]string{}
	for _, t := range data.ActiveTargets {
		name := labels.FromMap(t.Labels).String()
		addresses[name], pools[name] = t.ScrapeURL, cmp.Or(t.ScrapePool, t.Labels["job"])
	}
	var places []place
	for _, t := range data.targets(&o.Config) {
		places = append(places, place{Target: t, address: addresses[t.Labels], job: jobs[pools[t.Labels]]})
	}
	return places, nil
}

// jobWays reads what jobs bring along, from a configuration with its secrets masked.
func jobWays(text string) (map[string]jobWay, error) {
	var y struct {
		Scrape []map[string]any `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(text), &y); err != nil {
		return nil, errNoConfig // the error would quote it
	}
	jobs := map[string]jobWay{}
	for _, s := range y.Scrape {
		name, _ := s["job_name"].(string)
		var j jobWay
		for _, key := range []string{"basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2", "http_headers"} {
			j.credentials = j.credentials || s[key] != nil
		}
		if section, ok := s["tls_config"].(map[string]any); ok {
			j.tls = len(section) > 1 || len(section) == 1 && section["insecure_skip_verify"] != false
		}
		if proxy, ok := s["proxy_url"].(string); ok {
			j.proxy = proxy
		}
		jobs[server.Clip(name, 200)] = j
	}
	return jobs, nil
}
