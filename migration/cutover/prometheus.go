package cutover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/slipway-dev/slipway/migration/server"
	"go.yaml.in/yaml/v3"
)

const requestTimeout = 30 * time.Second

// prometheus is one of the two servers.
type prometheus struct {
	*server.Client
	spec Server
}

// settings are what a configuration says about the things that are moved. Unknown fields are none of ours.
type settings struct {
	Global struct {
		ExternalLabels     map[string]string `yaml:"external_labels"`
		EvaluationInterval model.Duration    `yaml:"evaluation_interval"`
	} `yaml:"global"`
	Alerting    alertingSection `yaml:"alerting"`
	RemoteWrite []remote        `yaml:"remote_write"`
	RemoteRead  []remote        `yaml:"remote_read"`
}

// alertingSection is what decides about the labels of an alert (Prometheus, config/config.go, AlertingConfig).
type alertingSection struct {
	Relabel       []*relabel.Config `yaml:"alert_relabel_configs"`
	Alertmanagers []struct {
		Relabel []*relabel.Config `yaml:"alert_relabel_configs"`
	} `yaml:"alertmanagers"`
}

type remote struct {
	URL string `yaml:"url"`
}

// parseSettings reads a configuration, or a part of one.
func parseSettings(data []byte) (s *settings, err error) {
	defer func() { // a parser that panics on broken input must not end the program
		if p := recover(); p != nil {
			s, err = nil, fmt.Errorf("reading YAML: %v", p)
		}
	}()
	s = &settings{}
	s.Global.EvaluationInterval = model.Duration(time.Minute)
	if err := yaml.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	lists := [][]*relabel.Config{s.Alerting.Relabel}
	for _, a := range s.Alerting.Alertmanagers {
		lists = append(lists, a.Relabel)
	}
	for _, list := range lists {
		for i, c := range list {
			if c == nil {
				return nil, fmt.Errorf("alert_relabel_configs: entry %d is empty", i+1)
			}
			if err := c.Validate(model.UTF8Validation); err != nil {
				return nil, fmt.Errorf("alert_relabel_configs: entry %d: %w", i+1, err)
			}
		}
	}
	return s, nil
}

func newPrometheus(name string, s Server) (*prometheus, error) {
	c, err := newClient(name, s.Endpoint)
	if err != nil {
		return nil, err
	}
	return &prometheus{Client: c, spec: s}, nil
}

// settings asks for the configuration that the server runs with.
func (p *prometheus) settings(ctx context.Context) (*settings, error) {
	var answer struct {
		YAML string `json:"yaml"`
	}
	if _, err := p.Call(ctx, http.MethodGet, "/api/v1/status/config", nil, server.Into(&answer)); err != nil {
		return nil, err
	}
	s, err := parseSettings([]byte(answer.YAML))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the %s: %w", p.Name(), err)
	}
	return s, nil
}

// runsWith says whether the server runs with a section, or without it.
func (p *prometheus) runsWith(ctx context.Context, section string, on bool) error {
	loaded, err := p.samples(ctx, "prometheus_config_last_reload_successful")
	if err != nil {
		return err
	}
	if sum(loaded, "prometheus_config_last_reload_successful") != 1 {
		return errors.New("its last reload failed; its log says why")
	}
	s, err := p.settings(ctx)
	if err != nil {
		return err
	}
	count := len(s.RemoteWrite)
	if section == sectionAlerting {
		if count = len(s.Alerting.Alertmanagers); (count > 0) == on {
			return p.sendsTo(ctx, on)
		}
	}
	if (count > 0) != on {
		return fmt.Errorf("its configuration has %d entries of %s, want %s", count, section, map[bool]string{true: "some", false: "none"}[on])
	}
	return nil
}

// sendsTo says whether the server has Alertmanagers to send to.
func (p *prometheus) sendsTo(ctx context.Context, on bool) error {
	active, err := p.alertmanagers(ctx)
	if err != nil {
		return err
	}
	if (len(active) > 0) != on {
		return fmt.Errorf("it sends alerts to %d Alertmanagers, want %s", len(active), map[bool]string{true: "some", false: "none"}[on])
	}
	return nil
}

// flags asks for the command line.
func (p *prometheus) flags(ctx context.Context) (map[string]string, error) {
	flags := map[string]string{}
	_, err := p.Call(ctx, http.MethodGet, "/api/v1/status/flags", nil, server.Into(&flags))
	return flags, err
}

// resendDelay is how long the server waits before it tells a firing alert again.
func (p *prometheus) resendDelay(ctx context.Context) (time.Duration, error) {
	flags, err := p.flags(ctx)
	if err != nil {
		return 0, err
	}
	d, err := model.ParseDuration(flags["rules.alert.resend-delay"])
	if err != nil {
		return time.Minute, nil //nolint:nilerr // the default of every version that does not tell it
	}
	return time.Duration(d), nil
}

// alertmanagers are the addresses that the server sends alerts to now, without the path of their API.
func (p *prometheus) alertmanagers(ctx context.Context) ([]string, error) {
	var answer struct {
		Active []struct {
			URL string `json:"url"`
		} `json:"activeAlertmanagers"`
	}
	if _, err := p.Call(ctx, http.MethodGet, "/api/v1/alertmanagers", nil, server.Into(&answer)); err != nil {
		return nil, err
	}
	urls := []string{}
	for _, a := range answer.Active {
		u, err := managerURL(a.URL)
		if err != nil {
			return nil, fmt.Errorf("asking the %s for its Alertmanagers: %w", p.Name(), err)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// managerURL is the address of an Alertmanager without user, password and the path of its API.
func managerURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", errors.New("an Alertmanager has no address that can be read")
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/api/v2/alerts"), "/api/v1/alerts")
	return u.String(), nil
}

// alert is one of a server, with the labels of its rule; external labels come when it is sent.
type alert struct {
	Labels   labels.Labels `json:"labels"`
	State    string        `json:"state"`
	ActiveAt time.Time     `json:"activeAt"`
}

const firing, pending = "firing", "pending"

func (p *prometheus) alerts(ctx context.Context) ([]alert, error) {
	var answer struct {
		Alerts []alert `json:"alerts"`
	}
	_, err := p.Call(ctx, http.MethodGet, "/api/v1/alerts", nil, server.Into(&answer))
	return answer.Alerts, err
}

// alertingRule is one rule of a server. Duration is its `for`, in seconds.
type alertingRule struct {
	Name      string        `json:"name"`
	Query     string        `json:"query"`
	Duration  float64       `json:"duration"`
	Labels    labels.Labels `json:"labels"`
	Health    string        `json:"health"`
	LastError string        `json:"lastError"`
	// Interval is that of its group, in seconds.
	Interval float64 `json:"-"`
}

func (p *prometheus) alertingRules(ctx context.Context) ([]alertingRule, error) {
	var answer struct {
		Groups []struct {
			Interval float64        `json:"interval"`
			Rules    []alertingRule `json:"rules"`
		} `json:"groups"`
	}
	if _, err := p.Call(ctx, http.MethodGet, "/api/v1/rules", url.Values{"type": {"alert"}}, server.Into(&answer)); err != nil {
		return nil, err
	}
	var all []alertingRule
	for _, g := range answer.Groups {
		for _, r := range g.Rules {
			r.Interval = g.Interval
			all = append(all, r)
		}
	}
	return all, nil
}

// names lists the values of a label that a server saw since a time.
func (p *prometheus) names(ctx context.Context, label string, since time.Time) ([]string, error) {
	var values []string
	params := url.Values{"start": {strconv.FormatInt(since.Unix(), 10)}}
	_, err := p.Call(ctx, http.MethodGet, "/api/v1/label/"+label+"/values", params, server.Into(&values))
	return values, err
}

// vector asks an instant query and returns the label sets of the result.
func (p *prometheus) vector(ctx context.Context, query string) ([]labels.Labels, error) {
	var answer struct {
		Result []struct {
			Metric labels.Labels `json:"metric"`
		} `json:"result"`
	}
	_, err := p.Call(ctx, http.MethodPost, "/api/v1/query", url.Values{"query": {query}}, server.Into(&answer))
	var sets []labels.Labels
	for _, r := range answer.Result {
		sets = append(sets, r.Metric)
	}
	return sets, err
}

// postReload asks for /-/reload.
func (p *prometheus) postReload(ctx context.Context) error {
	err := p.Reload(ctx)
	if errors.Is(err, server.ErrNoLifecycle) {
		return fmt.Errorf("%w: use reloadBy Signal or Manual", err)
	}
	return err
}

// sample is one line of the text format.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// samples reads some of the server's own metrics.
func (p *prometheus) samples(ctx context.Context, names ...string) (found []sample, err error) {
	header := http.Header{"Accept": {"text/plain; version=0.0.4"}}
	err = p.Ask(ctx, http.MethodGet, "/metrics", header, nil, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return server.Refusal(res.StatusCode, body)
		}
		found, err = readSamples(body, names)
		return err
	})
	return found, err
}

const maxLine = 1 << 20

func readSamples(r io.Reader, names []string) ([]sample, error) {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	var found []sample
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	pair := regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end < 0 || !wanted[line[:end]] {
			continue
		}
		s := sample{name: line[:end], labels: map[string]string{}}
		rest := line[end:]
		if last := strings.LastIndexByte(rest, '}'); last > 0 {
			for _, m := range pair.FindAllStringSubmatch(rest[:last], -1) {
				s.labels[m[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(m[2])
			}
			rest = rest[last+1:]
		}
		var err error
		if s.value, err = strconv.ParseFloat(strings.TrimSpace(rest), 64); err != nil {
			return nil, fmt.Errorf("reading metrics: %s is %q, which is no number", s.name, server.Clip(rest, 40))
		}
		found = append(found, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return found, nil
}

// sum adds up the values of one name; 0 when there is none.
func sum(found []sample, name string) (total float64) {
	for _, s := range found {
		if s.name == name {
			total += s.value
		}
	}
	return total
}
