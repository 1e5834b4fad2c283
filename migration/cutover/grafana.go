package cutover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

// grafana is one organisation of a Grafana server, through its HTTP API
// (https://grafana.com/docs/grafana/latest/developers/http_api/data_source/).
type grafana struct {
	*server.Client
	spec Grafana
}

func newGrafana(g Grafana) (*grafana, error) {
	c, err := newClient("Grafana at "+g.URL, g.Endpoint)
	if err != nil {
		return nil, err
	}
	return &grafana{Client: c, spec: g}, nil
}

// dataSource is one as Grafana tells it. Fields that we do not know are kept; secrets are not among them.
type dataSource map[string]any

func (d dataSource) text(field string) string { s, _ := d[field].(string); return s }

func (d dataSource) readOnly() bool { b, _ := d["readOnly"].(bool); return b }

// call asks with or without a body, and decodes the answer into a value.
func (g *grafana) call(ctx context.Context, method, path string, body, into any) error {
	header := http.Header{"Content-Type": {"application/json"}}
	if g.spec.OrgID != 0 {
		header.Set("X-Grafana-Org-Id", strconv.FormatInt(g.spec.OrgID, 10))
	}
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("asking %s: %w", g.Name(), err)
		}
	}
	return g.Ask(ctx, method, path, header, data, func(res *http.Response, body io.Reader) error {
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			var said struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(text, &said) != nil || said.Message == "" {
				said.Message = string(text)
			}
			return &server.StatusError{Code: res.StatusCode, Text: server.Clip(said.Message, 300)}
		}
		if into == nil {
			return nil
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber() // numbers are sent back as they came
		if err := dec.Decode(into); err != nil {
			return fmt.Errorf("%w: %w", err, server.ErrBroken)
		}
		return nil
	})
}

func (g *grafana) list(ctx context.Context) ([]dataSource, error) {
	var all []dataSource
	err := g.call(ctx, http.MethodGet, "/api/datasources", nil, &all)
	return all, err
}

func (g *grafana) get(ctx context.Context, uid string) (dataSource, error) {
	var d dataSource
	if err := g.call(ctx, http.MethodGet, "/api/datasources/uid/"+url.PathEscape(uid), nil, &d); err != nil {
		return nil, err
	}
	if d.text("uid") != uid {
		return nil, fmt.Errorf("asking %s for data source %s: it tells of %q", g.Name(), uid, server.Clip(d.text("uid"), 40))
	}
	return d, nil
}

// setURL changes the address alone. The version makes Grafana refuse with 409 when somebody was faster; secrets that are not sent are kept.
func (g *grafana) setURL(ctx context.Context, d dataSource, to string) error {
	body := dataSource{}
	for k, v := range d {
		body[k] = v
	}
	for _, answered := range []string{"secureJsonFields", "secureJsonData", "readOnly", "typeLogoUrl", "typeName", "accessControl"} {
		delete(body, answered)
	}
	body["url"] = to
	uid := d.text("uid")
	if err := g.call(ctx, http.MethodPut, "/api/datasources/uid/"+url.PathEscape(uid), body, nil); err != nil {
		return err
	}
	now, err := g.get(ctx, uid)
	if err != nil {
		return err
	}
	if text := differs(d, now); text != "" || !sameURL(now.text("url"), to) {
		return fmt.Errorf("changing the address of data source %s: Grafana changed more than that: %s", uid, text)
	}
	return nil
}

// differs names the fields that are not equal, but for the address and what Grafana counts.
func differs(a, b dataSource) string {
	var fields []string
	all := map[string]bool{}
	for _, d := range []dataSource{a, b} {
		for k := range d {
			all[k] = true
		}
	}
	for _, k := range sortedKeys(all) {
		if !slices.Contains([]string{"url", "version", "updated"}, k) && !reflect.DeepEqual(a[k], b[k]) {
			fields = append(fields, k)
		}
	}
	return strings.Join(fields, ", ")
}

// health asks the data source's plugin, which asks the server. Grafana before 9.0 has no such question and gets a query.
func (g *grafana) health(ctx context.Context, uid string) error {
	var said struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	err := g.call(ctx, http.MethodGet, "/api/datasources/uid/"+url.PathEscape(uid)+"/health", nil, &said)
	if server.IsAbsent(err) {
		return g.call(ctx, http.MethodGet, "/api/datasources/proxy/uid/"+url.PathEscape(uid)+"/api/v1/query?query=1", nil, nil)
	}
	if err == nil && said.Status != "OK" {
		err = fmt.Errorf("its health is %q: %s", server.Clip(said.Status, 40), server.Clip(said.Message, 200))
	}
	return err
}

// dataSources are the uids that are given, else those with the old address; and what was begun in any case.
func (r *runner) dataSources(ctx context.Context, g *grafana) ([]string, error) {
	uids := slices.Clone(g.spec.DataSourceUIDs)
	for _, rec := range r.state.Steps {
		if uid, ok := strings.CutPrefix(rec.Subject, g.subject("")); rec.Step == StepGrafana && ok && rec.Phase != Planned && len(g.spec.DataSourceUIDs) == 0 {
			uids = append(uids, uid)
		}
	}
	if len(g.spec.DataSourceUIDs) > 0 {
		return uids, nil
	}
	all, err := g.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if d.text("type") == "prometheus" && sameURL(d.text("url"), g.spec.OldURL) && !slices.Contains(uids, d.text("uid")) {
			uids = append(uids, d.text("uid"))
		}
	}
	if len(uids) == 0 {
		return nil, refuse(RuleDataSourceIsOurs, "%s has no data source of type prometheus with the address %s; name dataSourceUIDs, or oldURL as it stands there", g.Name(), g.spec.OldURL)
	}
	return uids, nil
}

func (g *grafana) subject(uid string) string {
	if g.spec.OrgID == 0 {
		return fmt.Sprintf("%s data source %s", g.URL(), uid)
	}
	return fmt.Sprintf("%s organisation %d data source %s", g.URL(), g.spec.OrgID, uid)
}

// grafanaStep sends one data source to the new address.
type grafanaStep struct {
	r   *runner
	g   *grafana
	uid string
}

func (s *grafanaStep) name() string    { return StepGrafana }
func (s *grafanaStep) subject() string { return s.g.subject(s.uid) }
func (s *grafanaStep) approval() bool  { return false }
func (s *grafanaStep) noticed() bool   { return true }
func (s *grafanaStep) does() string {
	return fmt.Sprintf("give data source %s the address %s in place of %s; uid, name, settings and secrets stay", s.uid, s.g.spec.NewURL, s.g.spec.OldURL)
}

func (s *grafanaStep) preview(ctx context.Context, _ *Record) (string, error) {
	d, err := s.g.get(ctx, s.uid)
	if err != nil || sameURL(d.text("url"), s.g.spec.NewURL) {
		return "", err
	}
	if err := s.ours(d); err != nil {
		return "", err
	}
	diff := fmt.Sprintf("-url: %s\n+url: %s\n", d.text("url"), s.g.spec.NewURL)
	if d.readOnly() {
		if diff, err = s.provisioningDiff(d); err != nil {
			return diff, err
		}
	}
	return diff, s.answers(ctx)
}

// ours refuses a data source that belongs to something else.
func (s *grafanaStep) ours(d dataSource) error {
	if at := d.text("url"); !sameURL(at, s.g.spec.OldURL) && !sameURL(at, s.g.spec.NewURL) {
		return refuse(RuleDataSourceIsOurs, "data source %s (%s) has the address %s, neither the old one %s nor the new one %s",
			s.uid, server.Clip(d.text("name"), 60), shownURL(at), s.g.spec.OldURL, s.g.spec.NewURL)
	}
	return nil
}

// shownURL is an address without user and password.
func shownURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "that is no URL"
	}
	return server.Clip(u.Redacted(), 200)
}

// answers asks the new address from here. A server that wants credentials answers.
func (s *grafanaStep) answers(ctx context.Context) error {
	if s.r.Spec.overridden(RuleEndpointAnswers) {
		return nil
	}
	e := Endpoint{URL: s.g.spec.NewURL, CAFile: s.r.Spec.Target.CAFile}
	if sameURL(e.URL, s.r.Spec.Target.URL) {
		e = s.r.Spec.Target.Endpoint
	}
	p, err := newPrometheus("new address", Server{Endpoint: e})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = p.vector(ctx, "vector(1)")
	var status *server.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden) {
		return nil
	}
	if err != nil && ctx.Err() == nil {
		return refuse(RuleEndpointAnswers, "%s: %v", s.g.spec.NewURL, err)
	}
	return err
}

func (s *grafanaStep) do(ctx context.Context, rec *Record) error {
	d, err := s.g.get(ctx, s.uid)
	if err != nil {
		return err
	}
	if rec.Phase == Done {
		if !sameURL(d.text("url"), s.g.spec.NewURL) {
			return refuse(RuleUnchanged, "this was done, and somebody gave data source %s the address %s since", s.uid, shownURL(d.text("url")))
		}
		return nil
	}
	if err := s.ours(d); err != nil {
		return err
	}
	changed := sameURL(d.text("url"), s.g.spec.NewURL)
	if rec.Phase != Begun {
		if err := s.answers(ctx); err != nil {
			return err
		}
		rec.OldURL, rec.NewURL = d.text("url"), s.g.spec.NewURL
		if changed { // somebody did it before us; there is nothing to put back
			rec.OldURL = rec.NewURL
		}
	}
	if d.readOnly() && (!changed || rec.File != "") {
		err = s.provision(ctx, rec, d)
	} else {
		err = s.change(ctx, rec, d, changed)
	}
	if err != nil {
		return err
	}
	return s.r.mark(ctx, rec, Done)
}

func (s *grafanaStep) change(ctx context.Context, rec *Record, d dataSource, changed bool) error {
	if err := s.r.mark(ctx, rec, Begun); err != nil {
		return err
	}
	if !changed {
		if err := s.g.setURL(ctx, d, rec.NewURL); err != nil {
			return s.explain(err)
		}
	}
	err := s.healthy(ctx)
	if err == nil || ctx.Err() != nil || sameURL(rec.OldURL, rec.NewURL) {
		return err
	}
	s.r.does(StepGrafana, "putting the old address back: "+err.Error())
	if back := s.putBack(ctx, rec); back != nil {
		return errors.Join(err, fmt.Errorf("putting the old address back: %w", back))
	}
	return errors.Join(err, s.r.mark(ctx, rec, Planned))
}

func (s *grafanaStep) explain(err error) error {
	var status *server.StatusError
	if errors.As(err, &status) && (status.Code == http.StatusConflict || status.Code == http.StatusPreconditionFailed) {
		return fmt.Errorf("somebody changed data source %s at the same moment; look at it and run the same command again: %w", s.uid, err)
	}
	return err
}

// healthy asks Grafana a few times: the first question after a change may meet an old connection.
func (s *grafanaStep) healthy(ctx context.Context) error {
	if s.r.Spec.overridden(RuleDataSourceHealthy) {
		return nil
	}
	err := s.r.until(ctx, StepGrafana, "the health of data source "+s.uid, min(5*time.Second, s.r.Patience), func() error { return s.g.health(ctx, s.uid) })
	if err != nil && ctx.Err() == nil {
		return refuse(RuleDataSourceHealthy, "data source %s with the address %s: %v", s.uid, s.g.spec.NewURL, err)
	}
	return err
}

func (s *grafanaStep) previewUndo(ctx context.Context, rec *Record) (string, error) {
	if rec.File != "" {
		return s.r.previewPut(rec)
	}
	d, err := s.g.get(ctx, s.uid)
	if err != nil {
		return "", err
	}
	at := d.text("url")
	if at == rec.OldURL {
		return "", nil
	}
	diff := fmt.Sprintf("-url: %s\n+url: %s\n", shownURL(at), rec.OldURL)
	if !sameURL(at, rec.NewURL) {
		return diff, refuse(RuleUnchanged, "somebody gave data source %s the address %s since", s.uid, shownURL(at))
	}
	return diff, nil
}

func (s *grafanaStep) undo(ctx context.Context, rec *Record) error {
	if sameURL(rec.OldURL, rec.NewURL) && rec.File == "" {
		return nil
	}
	return s.putBack(ctx, rec)
}

// putBack gives the data source the address that it had, if it has the one that we gave it.
func (s *grafanaStep) putBack(ctx context.Context, rec *Record) error {
	if rec.File != "" {
		return s.unprovision(ctx, rec)
	}
	d, err := s.g.get(ctx, s.uid)
	if err != nil {
		return err
	}
	switch at := d.text("url"); {
	case at == rec.OldURL:
		return nil
	case !sameURL(at, rec.NewURL):
		return refuse(RuleUnchanged, "somebody gave data source %s another address since:\n-url: %s\n+url: %s", s.uid, rec.NewURL, shownURL(at))
	case d.readOnly():
		return refuse(RuleProvisioned, "data source %s is provisioned, and a person gave it its address; give it %s again, and run the same command", s.uid, rec.OldURL)
	}
	return s.explain(s.g.setURL(ctx, d, rec.OldURL))
}
