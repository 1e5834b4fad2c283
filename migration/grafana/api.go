package grafana

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

// Client asks one Grafana through its HTTP API (https://grafana.com/docs/grafana/latest/developers/http_api/). It reads only.
type Client struct {
	*server.Client
	// administrator says that it logs in as a server administrator, who sees every organisation.
	administrator bool
}

// NewClient makes a client. Options with a user and a password are those of a server administrator.
func NewClient(o server.Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	c, err := server.New(o)
	if err != nil {
		return nil, err
	}
	return &Client{Client: c, administrator: o.User != ""}, nil
}

// get reads JSON, as an organisation where that is not 0.
func (c *Client) get(ctx context.Context, org int64, path string, into any) error {
	header := http.Header{}
	if org != 0 {
		header.Set("X-Grafana-Org-Id", strconv.FormatInt(org, 10))
	}
	return c.Ask(ctx, http.MethodGet, path, header, nil, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(body, 4096)) // what cannot be read of a refusal is left out
			var said struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(text, &said) != nil || said.Message == "" {
				said.Message = string(text)
			}
			return &server.StatusError{Code: res.StatusCode, Text: server.Clip(said.Message, 300)}
		}
		if into == nil {
			_, err := io.Copy(io.Discard, body)
			return err
		}
		if err := json.NewDecoder(body).Decode(into); err != nil {
			return fmt.Errorf("%w: %w", err, server.ErrBroken)
		}
		return nil
	})
}

// Seen is what a Grafana tells of itself. Users is -1 where only one organisation was seen.
type Seen struct {
	Version string
	Users   int
	Orgs    []Org
}

// Org is an organisation: logins of its members, and titles by uid. Rules is nil where this Grafana has no such API.
type Org struct {
	ID                         int64
	Name                       string
	Members                    map[string]string
	Folders, Dashboards, Rules map[string]string
	Sources                    map[string]Source
}

// Source is a data source.
type Source struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
	Type string `json:"type"`
	URL  string `json:"url"`
}

// Health asks whether it runs and has its database; it gives the version. Nobody has to log in for that.
func (c *Client) Health(ctx context.Context) (string, error) {
	var said struct {
		Database string `json:"database"`
		Version  string `json:"version"`
	}
	if err := c.get(ctx, 0, "/api/health", &said); err != nil {
		return "", err
	}
	if said.Database != "ok" {
		return "", fmt.Errorf("asking %s: its database is %q", c.Name(), server.Clip(said.Database, 40))
	}
	return server.Clip(said.Version, 40), nil
}

// Look reads all that is compared.
func (c *Client) Look(ctx context.Context) (s Seen, err error) {
	if s.Version, err = c.Health(ctx); err != nil {
		return s, err
	}
	s.Users = -1
	orgs := []Org{{}}
	if c.administrator {
		if s.Users, orgs, err = c.everyOrg(ctx); err != nil {
			return s, err
		}
	} else if err := c.get(ctx, 0, "/api/org", &orgs[0]); err != nil {
		return s, err
	}
	for i := range orgs {
		if err := c.lookAt(ctx, &orgs[i]); err != nil {
			return s, fmt.Errorf("looking at organisation %d: %w", orgs[i].ID, err)
		}
	}
	s.Orgs = orgs
	return s, nil
}

func (c *Client) everyOrg(ctx context.Context) (users int, orgs []Org, err error) {
	var found struct {
		TotalCount int `json:"totalCount"`
	}
	if err := c.get(ctx, 0, "/api/users/search?perpage=1&page=1", &found); err != nil {
		return 0, nil, err
	}
	err = c.pages(func(page int) (int, error) {
		var some []Org
		err := c.get(ctx, 0, "/api/orgs?perpage="+strconv.Itoa(perPage)+"&page="+strconv.Itoa(page), &some) // its first page is 0
		orgs = append(orgs, some...)
		return len(some), err
	}, 0)
	return found.TotalCount, orgs, err
}

// How much is read at once, and how much at most.
const (
	perPage  = 1000
	maxPages = 1000
)

func (c *Client) pages(read func(page int) (int, error), first int) error {
	for page := first; page < first+maxPages; page++ {
		n, err := read(page)
		if err != nil || n < perPage {
			return err
		}
	}
	return fmt.Errorf("asking %s: more than %d entries: %w", c.Name(), perPage*maxPages, server.ErrBroken)
}

func (c *Client) lookAt(ctx context.Context, o *Org) (err error) {
	if o.Dashboards, err = c.titles(ctx, o.ID, "dash-db"); err != nil {
		return err
	}
	if o.Folders, err = c.titles(ctx, o.ID, "dash-folder"); err != nil {
		return err
	}
	var members []struct {
		Login string `json:"login"`
		Role  string `json:"role"`
	}
	if err := c.get(ctx, o.ID, "/api/org/users", &members); err != nil {
		return err
	}
	o.Members = map[string]string{}
	for _, m := range members {
		o.Members[m.Login] = m.Role
	}
	var sources []Source
	if err := c.get(ctx, o.ID, "/api/datasources", &sources); err != nil {
		return err
	}
	o.Sources = map[string]Source{}
	for _, s := range sources {
		o.Sources[s.UID] = s
	}
	return c.lookAtRules(ctx, o)
}

// lookAtRules reads the rules of unified alerting, since 9.1; before that, and with legacy alerting, there is no such page.
func (c *Client) lookAtRules(ctx context.Context, o *Org) error {
	var rules []struct {
		UID   string `json:"uid"`
		Title string `json:"title"`
	}
	err := c.get(ctx, o.ID, "/api/v1/provisioning/alert-rules", &rules)
	if server.IsAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	o.Rules = map[string]string{}
	for _, r := range rules {
		o.Rules[r.UID] = r.Title
	}
	return nil
}

func (c *Client) titles(ctx context.Context, org int64, kind string) (map[string]string, error) {
	all := map[string]string{}
	err := c.pages(func(page int) (int, error) {
		var found []struct {
			UID   string `json:"uid"`
			Title string `json:"title"`
		}
		q := url.Values{"type": {kind}, "limit": {strconv.Itoa(perPage)}, "page": {strconv.Itoa(page)}}
		if err := c.get(ctx, org, "/api/search?"+q.Encode(), &found); err != nil {
			return 0, err
		}
		for _, f := range found {
			all[f.UID] = f.Title
		}
		return len(found), nil
	}, 1)
	return all, err
}

// Healthy asks a data source's plugin, which asks the server. Grafana before 9.0 has no such question and gets a query.
func (c *Client) Healthy(ctx context.Context, org int64, uid string) error {
	var said struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	err := c.get(ctx, org, "/api/datasources/uid/"+url.PathEscape(uid)+"/health", &said)
	if server.IsAbsent(err) {
		return c.get(ctx, org, "/api/datasources/proxy/uid/"+url.PathEscape(uid)+"/api/v1/query?query=1", nil)
	}
	if err == nil && said.Status != "OK" {
		err = fmt.Errorf("its health is %q: %s", server.Clip(said.Status, 40), server.Clip(said.Message, 200))
	}
	return err
}

// denied says that who logs in may not see something.
func denied(err error) bool {
	var status *server.StatusError
	return errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden)
}
