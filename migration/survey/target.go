package survey

import (
	"cmp"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// Target is something that a server scrapes.
type Target struct {
	Job string `json:"job"`
	// Labels are the final ones, as {a="b", c="d"}: what its series carry, and by what two servers are compared.
	Labels string `json:"labels"`
	// URL is where it is scraped, without user and parameters.
	URL string `json:"url"`
	// Health is up, down or unknown, Error why it is down.
	Health          string  `json:"health"`
	Error           string  `json:"error,omitempty"`
	IntervalSeconds float64 `json:"intervalSeconds"`
}

type targetsAnswer struct {
	ActiveTargets []struct {
		Labels         map[string]string
		ScrapeURL      string
		Health         string
		LastError      string
		ScrapeInterval string
		ScrapePool     string
	}
}

// targets makes the answer of /api/v1/targets sorted targets. Servers before 2.29 do not tell the interval; the configuration does.
func (a *targetsAnswer) targets(config *Config) []Target {
	list := []Target{}
	for _, t := range a.ActiveTargets {
		job := t.Labels["job"]
		one := Target{
			Job: server.Clip(job, 200), Labels: labels.FromMap(t.Labels).String(), URL: withoutSecrets(t.ScrapeURL), Health: server.Clip(t.Health, 20),
			Error: scrapeError(t.LastError), IntervalSeconds: intervalOf(t.ScrapeInterval),
		}
		if one.IntervalSeconds <= 0 {
			one.IntervalSeconds = cmp.Or(config.Jobs[t.ScrapePool].IntervalSeconds, config.Jobs[job].IntervalSeconds, 60)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Target) int { return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Labels, b.Labels)) })
	return list
}

func intervalOf(text string) float64 {
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0
	}
	return time.Duration(d).Seconds()
}

// scrapeError is the reason without the address in front of it, in whose parameters there may be a secret.
func scrapeError(text string) string {
	if rest, ok := strings.CutPrefix(text, `Get "`); ok {
		_, text, _ = strings.Cut(rest, `": `)
	}
	return server.Clip(text, 200)
}

// unreachable says that an error of a scrape is one of the way there, and not of what answered. The words are those of Go's net package.
func unreachable(text string) bool {
	for _, words := range []string{"dial ", "i/o timeout", "no route to host", "network is unreachable", "connection refused", "connection reset", "no such host",
		"context deadline exceeded", "proxyconnect", "Client.Timeout", "EOF", "server misbehaving"} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// Opening is a way through a firewall that has to be asked for: TCP from the new server's network to Port of the addresses.
type Opening struct {
	// Network is a /24 or /64, or the domain of names.
	Network   string   `json:"network"`
	Port      string   `json:"port"`
	Addresses []string `json:"addresses"`
	Jobs      []string `json:"jobs"`
	// Error is the first one that was met.
	Error string `json:"error,omitempty"`
}

// way is one target that is to be reached.
type way struct{ url, job, err string }

// openings group ways by network and port.
func openings(ways []way) []Opening {
	type key struct{ network, port string }
	found := map[key]*Opening{}
	for _, w := range ways {
		host, port := hostPort(w.url)
		k := key{networkOf(host), port}
		o := found[k]
		if o == nil {
			o = &Opening{Network: k.network, Port: port, Error: w.err}
			found[k] = o
		}
		o.Addresses, o.Jobs = append(o.Addresses, host), append(o.Jobs, w.job)
	}
	list := []Opening{}
	for _, o := range found {
		slices.Sort(o.Addresses)
		slices.Sort(o.Jobs)
		o.Addresses, o.Jobs = slices.Compact(o.Addresses), slices.Compact(o.Jobs)
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b Opening) int { return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Port, b.Port)) })
	return list
}

func hostPort(address string) (host, port string) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return address, "?"
	}
	port = u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
		port = cmp.Or(port, "80")
	}
	return u.Hostname(), port
}

func networkOf(host string) string {
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		if _, domain, ok := strings.Cut(host, "."); ok {
			return "*." + domain
		}
		return host
	case ip.To4() != nil:
		return (&net.IPNet{IP: ip.To4().Mask(net.CIDRMask(24, 32)), Mask: net.CIDRMask(24, 32)}).String()
	}
	return (&net.IPNet{IP: ip.Mask(net.CIDRMask(64, 128)), Mask: net.CIDRMask(64, 128)}).String()
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// byLabels finds targets by job and final labels.
func byLabels(list []Target) map[string]Target {
	all := map[string]Target{}
	for _, t := range list {
		all[t.Labels] = t
	}
	return all
}

func jobsOf(lists ...[]Target) []string {
	jobs := map[string]bool{}
	for _, list := range lists {
		for _, t := range list {
			jobs[t.Job] = true
		}
	}
	return slices.Sorted(maps.Keys(jobs))
}
