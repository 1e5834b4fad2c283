package client

import (
	"context"
	"net/url"

	"github.com/slipway-dev/slipway/search/state"
)

// dialect is how one product line is spoken to. Each role is small; a line puts together the ones that fit.
type dialect struct {
	// line is as Elasticsearch 6.
	line string
	// masterTimeout is the name of the parameter that says how long the elected master may take.
	masterTimeout string
	// everything is the value of expand_wildcards that reaches hidden and closed indices too; catEverything is that of _cat/indices, which knows no
	// such parameter before there were hidden ones, and refuses what it does not know.
	everything, catEverything string
	templates                 templateReader
	policies                  policyReader
	streams                   streamReader
}

// templateReader reads what new indices get.
type templateReader interface {
	readTemplates(ctx context.Context, c *Client) ([]state.Template, error)
}

// policyReader reads the lifecycle policies of the server's own engine, and attaches them to the indices that are under one.
type policyReader interface {
	readPolicies(ctx context.Context, c *Client) ([]state.Policy, error)
	attach(ctx context.Context, c *Client, indices map[string]*state.Index) error
}

// streamReader reads data streams.
type streamReader interface {
	readStreams(ctx context.Context, c *Client) ([]state.DataStream, error)
}

// dialectOf puts the roles together for a product, its version, and what it was found to be able to.
func dialectOf(a *About, can map[state.Capability]state.Support) dialect {
	v, _ := parseVersion(a.Version) // About has parsed it
	d := dialect{line: string(a.Product) + " " + string(rune('0'+v[0]%10)), masterTimeout: "master_timeout", everything: "all", catEverything: "all",
		templates: legacyTemplates{}, policies: noPolicies{}, streams: noStreams{}}
	if a.Product == state.OpenSearch && v.atLeast(2, 0) {
		d.masterTimeout = "cluster_manager_timeout"
	}
	if a.Product == state.Elasticsearch && !v.atLeast(7, 7) {
		d.everything, d.catEverything = "open,closed", "" // hidden came with 7.7
	}
	if can[state.ComposableTemplates] == state.Yes {
		d.templates = bothTemplates{}
	}
	// What is unsure is asked: the answer, or its refusal, tells.
	if can[state.ILM] != state.No {
		d.policies = ilm{withSLM: can[state.SLM] != state.No}
	} else if can[state.ISM] != state.No {
		d.policies = ism{}
	}
	if can[state.DataStreams] != state.No {
		d.streams = dataStreams{}
	}
	return d
}

// params are a call's parameters: the parts of the answer that are wanted, and the time that the master may take.
func (c *Client) params(d dialect, filter string) url.Values {
	v := url.Values{d.masterTimeout: {millis(c.o.Timeout)}}
	if filter != "" {
		v.Set("filter_path", filter)
	}
	return v
}

type (
	noPolicies struct{}
	noStreams  struct{}
)

func (noPolicies) readPolicies(context.Context, *Client) ([]state.Policy, error) { return nil, nil }

func (noPolicies) attach(context.Context, *Client, map[string]*state.Index) error { return nil }

func (noStreams) readStreams(context.Context, *Client) ([]state.DataStream, error) { return nil, nil }
