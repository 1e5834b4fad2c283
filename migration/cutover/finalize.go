package cutover

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/slipway-dev/slipway/migration/server"
)

// Finding is a rule of finalize with what was found.
type Finding struct {
	Rule string `json:"rule"`
	OK   bool   `json:"ok"`
	// Overridden says that it does not hold and was switched off.
	Overridden bool   `json:"overridden,omitempty"`
	Text       string `json:"text"`
}

// SwitchedOff is something that is not needed any more, and how it is switched off.
type SwitchedOff struct {
	What string `json:"what"`
	How  string `json:"how"`
}

// Finalize looks whether the source is needed by anybody, and lists what can be switched off. It switches nothing off. With dry it only looks;
// else the cutover is Finalized when all holds, and there is no rollback any more.
func Finalize(ctx context.Context, o Options, dry bool) (*Report, error) {
	return with(o, osDisk{}, func(r *runner, ctx context.Context) (*Report, error) { return r.finalize(ctx, dry) }, ctx)
}

func (r *runner) finalize(ctx context.Context, dry bool) (*Report, error) {
	all, err := r.steps(ctx)
	if err != nil {
		return nil, err
	}
	r.arrange(all)
	rep := r.report(all)
	checks := []struct {
		rule  string
		check func(context.Context) (string, error)
	}{
		{RuleCutOver, func(ctx context.Context) (string, error) { return r.isCutOver(ctx, all) }},
		{RuleNobodyAsks, r.nobodyAsks},
		{RuleNothingOfItsOwn, r.nothingOfItsOwn},
		{RuleNoBridge, r.noBridge},
	}
	var broken []error
	for _, c := range checks {
		r.does(c.rule, "checking")
		text, err := c.check(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f := Finding{Rule: c.rule, OK: err == nil, Text: text}
		if err != nil {
			f.Text, f.Overridden = strings.TrimPrefix(err.Error(), c.rule+": "), r.Spec.overridden(c.rule)
			if !f.Overridden {
				broken = append(broken, refuse(c.rule, "%s", f.Text))
			}
		}
		rep.Finds = append(rep.Finds, f)
	}
	rep.Off = r.switchOff(ctx)
	if len(broken) > 0 || dry {
		return rep, errors.Join(broken...)
	}
	r.state.Phase, rep.Phase = Finalized, Finalized
	return rep, r.store.save(ctx, r.state)
}

// isCutOver looks at the steps, and at the world: what was done must still be so.
func (r *runner) isCutOver(ctx context.Context, all []step) (string, error) {
	for _, s := range all {
		rec := r.record(s)
		if rec.Phase != Done {
			return "", fmt.Errorf("%s is %s; run slipway prometheus cutover", s.name(), rec.Phase)
		}
		if err := s.do(ctx, rec); err != nil { // of a step that is done it only looks
			return "", err
		}
	}
	return fmt.Sprintf("%d of %d steps are done, and still so", len(all), len(all)), nil
}

// metricRequests counts requests by handler since 2.0 (Prometheus, web/web.go).
const metricRequests = "prometheus_http_requests_total"

// dataHandlers are those that give data away. What this program asks of the source at this stage is none of them, until the counting is over.
func dataHandlers() []string {
	return []string{"/api/v1/query", "/api/v1/query_range", "/api/v1/query_exemplars", "/api/v1/series", "/api/v1/labels", "/api/v1/label/:name/values", "/api/v1/read", "/federate", "/graph", "/query"}
}

// nobodyAsks counts for a while what the source is asked for, and names who it may be.
func (r *runner) nobodyAsks(ctx context.Context) (string, error) {
	before, err := r.source.samples(ctx, metricRequests)
	if err != nil {
		return "", err
	}
	begin := r.now()
	timer := time.NewTimer(r.Watch)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	after, err := r.source.samples(ctx, metricRequests)
	if err != nil {
		return "", err
	}
	var asked []string
	for _, h := range dataHandlers() {
		if n := requests(after, h) - requests(before, h); n > 0 {
			asked = append(asked, fmt.Sprintf("%s %g times", h, n))
		}
	}
	if len(asked) == 0 {
		return fmt.Sprintf("no request for data in %s", r.Watch), nil
	}
	who, err := r.whoAsks(ctx, begin)
	if err != nil {
		return "", err
	}
	if len(who) == 0 {
		who = []string{"nobody of whom we know; the source's query_log_file tells addresses, give it with --query-log"}
	}
	return "", fmt.Errorf("in %s the source was asked for %s; it may be: %s", r.Watch, strings.Join(asked, ", "), few(who))
}

func requests(found []sample, handler string) (total float64) {
	for _, s := range found {
		if at := s.labels["handler"]; at == handler || strings.HasSuffix(at, handler) && strings.HasPrefix(at, "/") && handler != "/query" {
			total += s.value
		}
	}
	return total
}

// whoAsks looks where we can: data sources with the old address, the target's remote_read, the source's query log.
func (r *runner) whoAsks(ctx context.Context, since time.Time) ([]string, error) {
	var who []string
	for _, g := range r.grafanas {
		all, err := g.list(ctx)
		if err != nil {
			return nil, err
		}
		for _, d := range all {
			if at := d.text("url"); sameURL(at, g.spec.OldURL) || sameURL(at, r.Spec.Source.URL) {
				who = append(who, fmt.Sprintf("data source %s (%s) of %s", d.text("uid"), server.Clip(d.text("name"), 60), g.Name()))
			}
		}
	}
	if _, err := r.noBridge(ctx); err != nil {
		who = append(who, "the target: "+err.Error())
	}
	if r.QueryLog == "" {
		return who, nil
	}
	f, err := os.Open(r.QueryLog)
	if err != nil {
		return nil, fmt.Errorf("reading the query log: %w", err)
	}
	defer f.Close()
	clients, err := queryClients(f, since)
	if err != nil {
		return nil, err
	}
	return append(who, clients...), nil
}

// queryClients reads who asked since a time out of a query log (https://prometheus.io/docs/guides/query-log/). Queries of rules have no client.
func queryClients(in io.Reader, since time.Time) ([]string, error) {
	counts := map[string]int{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var entry struct {
			Time        time.Time `json:"ts"`
			Newer       time.Time `json:"time"`
			HTTPRequest struct {
				ClientIP string `json:"clientIP"`
				Path     string `json:"path"`
			} `json:"httpRequest"`
		}
		if json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &entry) != nil || entry.HTTPRequest.ClientIP == "" {
			continue
		}
		if entry.Time.IsZero() {
			entry.Time = entry.Newer
		}
		if !entry.Time.Before(since) {
			counts[server.Clip(entry.HTTPRequest.ClientIP+" at "+entry.HTTPRequest.Path, 120)]++
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the query log: %w", err)
	}
	var who []string
	for _, name := range sortedKeys(counts) {
		who = append(who, fmt.Sprintf("%s, %d times", name, counts[name]))
	}
	return who, nil
}

// nothingOfItsOwn compares names, jobs and instances of the last ten minutes; it reads the index of both servers and no samples.
// Metrics that a server has of itself differ between versions and do not count.
func (r *runner) nothingOfItsOwn(ctx context.Context) (string, error) {
	var own []string
	for _, label := range []string{"__name__", "job", "instance"} {
		since := r.now().Add(-10 * time.Minute)
		here, err := r.source.names(ctx, label, since)
		if err != nil {
			return "", err
		}
		there, err := r.target.names(ctx, label, since)
		if err != nil {
			return "", err
		}
		slices.Sort(there)
		for _, v := range here {
			if _, found := slices.BinarySearch(there, v); found || label == "__name__" && ofServer(v) {
				continue
			}
			if label == "instance" {
				itself, err := r.isItself(ctx, v)
				if err != nil {
					return "", err
				}
				if itself {
					continue
				}
			}
			own = append(own, fmt.Sprintf("%s %s", strings.Trim(label, "_"), server.Clip(v, 80)))
		}
	}
	if len(own) > 0 {
		return "", fmt.Errorf("%d names are in the source's last ten minutes and not in the target's: %s", len(own), few(own))
	}
	return "every metric, job and instance of the source's last ten minutes is on the target", nil
}

// isItself says that what the source has of an instance is its scrape of itself alone: the target writes its own under another name.
func (r *runner) isItself(ctx context.Context, instance string) (bool, error) {
	found, err := r.source.samples(ctx, server.ProcessStart)
	if err != nil || len(found) == 0 {
		return false, err
	}
	own, err := r.source.vector(ctx, server.ItselfQuery(found[0].value))
	if err != nil {
		return false, err
	}
	scraped, err := r.source.vector(ctx, fmt.Sprintf("count_over_time(up{instance=%s}[10m])", strconv.Quote(instance)))
	if err != nil {
		return false, err
	}
	same := func(a labels.Labels) bool {
		return slices.ContainsFunc(own, func(b labels.Labels) bool {
			return b.Get("job") == a.Get("job") && b.Get("instance") == a.Get("instance")
		})
	}
	return len(scraped) > 0 && !slices.ContainsFunc(scraped, func(l labels.Labels) bool { return !same(l) }), nil
}

func ofServer(name string) bool {
	return slices.ContainsFunc([]string{"prometheus_", "go_", "process_", "net_conntrack_", "promhttp_"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

func (r *runner) noBridge(ctx context.Context) (string, error) {
	s, err := r.target.settings(ctx)
	if err != nil {
		return "", err
	}
	if len(s.RemoteRead) > 0 {
		return "", fmt.Errorf("it has remote_read from %s; take it out first", shownURL(s.RemoteRead[0].URL))
	}
	return "the target has no remote_read", nil
}

// switchOff lists what is not needed any more.
func (r *runner) switchOff(ctx context.Context) []SwitchedOff {
	data := "its data directory"
	if flags, err := r.source.flags(ctx); err == nil && flags["storage.tsdb.path"] != "" {
		data = server.Clip(flags["storage.tsdb.path"], 200)
	}
	off := []SwitchedOff{
		{"the source, " + r.Spec.Source.URL, "stop its service and keep " + data + " until you are sure"},
		{"the source agent, if one runs there", "stop slipway-agent source; it takes its pinned blocks away when it ends"},
		{"pinned blocks and staged ones", "slipway-pin in the source's data directory, slipway-staging in the target's"},
		{"the read shim and remote_read on the target", "take remote_read out of its configuration, reload, then stop the shim"},
		{"firewall rules and credentials of the move", "those of the agent's port, of SSH to the old host, and the folder of agent init"},
		{"DNS names and monitoring of the source", "whatever still scrapes, federates or names " + r.Spec.Source.URL},
	}
	if r.state != nil {
		off = append(off, SwitchedOff{"copies of the edited files", "remove " + filepath.Join(r.StateDir, backupDir) + "; they hold what the files held, passwords too"})
	}
	return off
}
