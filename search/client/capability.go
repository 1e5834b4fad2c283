package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/state"
)

// need is what a capability stands on. A product that is not named cannot.
type need struct {
	elastic, open version  // the first that can; zero: never
	until         version  // of Elasticsearch, the first that no longer can; zero: none
	modules       []string // of Elasticsearch, the parts of x-pack of which one has to be there; none: it needs no x-pack
	plugin        string   // of OpenSearch, this plugin has to be there
}

// needs say since when each capability is there; the documentation of the products is the source, the contract test the check.
func needs() map[state.Capability]need {
	const indexManagement = "opensearch-index-management"
	return map[state.Capability]need{
		state.ILM:                 {elastic: version{6, 6}, modules: []string{"x-pack-ilm"}},
		state.SLM:                 {elastic: version{7, 4}, modules: []string{"x-pack-slm", "x-pack-ilm"}},
		state.ISM:                 {open: version{1, 0}, plugin: indexManagement},
		state.SM:                  {open: version{2, 1}, plugin: indexManagement},
		state.Freeze:              {elastic: version{6, 6}, until: version{8, 0}, modules: []string{"frozen-indices", "x-pack-core"}},
		state.SearchableSnapshots: {elastic: version{7, 10}, modules: []string{"searchable-snapshots"}}, // and a licence
		state.RemoteSnapshots:     {open: version{2, 4}},                                                // and nodes with the role
		state.DataTiers:           {elastic: version{7, 10}, modules: []string{"x-pack-core"}},
		state.DataStreams:         {elastic: version{7, 9}, open: version{1, 0}}, // and the module
		state.ModifyDataStream:    {elastic: version{7, 16}},                     // and the module
		state.ComposableTemplates: {elastic: version{7, 8}, open: version{1, 0}},
		state.WriteBlockAPI:       {elastic: version{7, 9}, open: version{1, 0}},
		state.ShrinkBySize:        {elastic: version{7, 12}, open: version{2, 5}},
		state.CloneIndex:          {elastic: version{7, 4}, open: version{1, 0}},
		state.ConcurrentSnapshots: {elastic: version{7, 9}, open: version{1, 0}},
		state.CreateIndexBlock:    {open: version{2, 0}},
		state.NodeShutdown:        {elastic: version{7, 15}, modules: []string{"x-pack-shutdown"}},
		state.MappingTypes:        {elastic: version{6, 0}, open: version{1, 0}},
	}
}

// supportOf answers by product, version and what is installed; pure. What nobody told is Unsure.
func supportOf(a *About, n need) state.Support {
	v, _ := parseVersion(a.Version) // About has parsed it
	since := n.elastic
	if a.Product == state.OpenSearch {
		since = n.open
	}
	switch {
	case since == version{}, !v.atLeast(since[0], since[1]):
		return state.No
	case a.Product == state.Elasticsearch && n.until != version{} && v.atLeast(n.until[0], n.until[1]):
		return state.No
	case a.Product == state.Elasticsearch && len(n.modules) > 0:
		return a.xpack(n.modules)
	case a.Product == state.OpenSearch && n.plugin != "":
		return has(a.Plugins, func(p string) bool { return p == n.plugin })
	}
	return state.Yes
}

// xpack says whether Elasticsearch has one of some parts of x-pack. Its core alone says nothing: there are builds with the core, and without lifecycles.
func (a *About) xpack(parts []string) state.Support {
	if a.Flavour == state.FlavourOSS {
		return state.No
	}
	return has(a.Modules, func(m string) bool { return slices.Contains(parts, m) })
}

func has(list []string, is func(string) bool) state.Support {
	switch {
	case list == nil:
		return state.Unsure
	case slices.ContainsFunc(list, is):
		return state.Yes
	}
	return state.No
}

// Capabilities says what a cluster can do; nodes are those of a look, whose roles matter.
func (c *Client) Capabilities(ctx context.Context, a *About, nodes []state.Node) (map[state.Capability]state.Support, error) {
	can, err := baseline(a, nodes), error(nil)
	if can[state.SearchableSnapshots] != state.No {
		if can[state.SearchableSnapshots], err = c.licensed(ctx); err != nil {
			return nil, err
		}
	}
	if can[state.Security] == state.Unsure {
		if can[state.Security], err = c.secured(ctx, a); err != nil {
			return nil, err
		}
	}
	return can, nil
}

// baseline is what product, version, modules, plugins and roles tell; pure.
func baseline(a *About, nodes []state.Node) map[state.Capability]state.Support {
	can := map[state.Capability]state.Support{}
	for what, n := range needs() {
		can[what] = supportOf(a, n)
	}
	v, _ := parseVersion(a.Version)
	if a.Product == state.OpenSearch {
		if v.atLeast(2, 0) {
			can[state.MappingTypes] = state.No
		}
		can[state.RemoteSnapshots] = mounts(can[state.RemoteSnapshots], v, nodes)
		can[state.Security] = has(a.Plugins, func(p string) bool { return p == "opensearch-security" })
		return can
	}
	if v.atLeast(8, 0) {
		can[state.MappingTypes] = state.No
	}
	streams := has(a.Modules, func(m string) bool { return strings.Contains(m, "data-stream") })
	for _, what := range []state.Capability{state.DataStreams, state.ModifyDataStream} {
		if can[what] == state.Yes {
			can[what] = streams
		}
	}
	if can[state.Security] = has(a.Modules, func(m string) bool { return m == "x-pack-security" }); can[state.Security] == state.Yes {
		can[state.Security] = state.Unsure // it is installed; whether it is on has to be asked
	}
	return can
}

// mounts says whether OpenSearch has nodes that mount snapshots: the role search of 2, warm of 3.
func mounts(can state.Support, v version, nodes []state.Node) state.Support {
	role := "search"
	if v.atLeast(3, 0) {
		role = "warm"
	}
	switch {
	case can != state.Yes:
		return can
	case nodes == nil:
		return state.Unsure
	case slices.ContainsFunc(nodes, func(n state.Node) bool { return n.HasRole(role) }):
		return state.Yes
	}
	return state.No
}

// licensed asks for the licence: mounting snapshots wants Enterprise or a trial.
func (c *Client) licensed(ctx context.Context) (state.Support, error) {
	var got struct {
		License struct{ Type, Status string }
	}
	_, err := c.read(ctx, "/_license", url.Values{"filter_path": {"license.type,license.status"}}, into(&got))
	switch {
	case err == nil && got.License.Status == "active" && (got.License.Type == "enterprise" || got.License.Type == "trial"):
		return state.Yes, nil
	case err == nil:
		return state.No, nil
	}
	return unsure(err)
}

// secured asks whether users are checked.
func (c *Client) secured(ctx context.Context, a *About) (state.Support, error) {
	if a.Product == state.OpenSearch {
		return state.Unsure, nil // plugins were not told
	}
	var got struct {
		Features struct {
			Security struct{ Enabled bool }
		}
	}
	_, err := c.read(ctx, "/_xpack", url.Values{"categories": {"features"}, "filter_path": {"features.security.enabled"}}, into(&got))
	switch {
	case err == nil && got.Features.Security.Enabled:
		return state.Yes, nil
	case err == nil:
		return state.No, nil
	}
	if v, _ := parseVersion(a.Version); !v.atLeast(7, 0) || ClassOf(err) != Human {
		return unsure(err)
	}
	// This user may not see the features, or one of them is missing, which the call takes ill (500). Who am I? is for everybody, and gone with security.
	switch _, err = c.read(ctx, "/_security/_authenticate", url.Values{"filter_path": {"username"}}, into(&struct{}{})); {
	case err == nil:
		return state.Yes, nil
	case IsAbsent(err):
		return state.No, nil
	}
	return unsure(err)
}

// unsure is what a refusal leaves; only a cluster that does not answer is an error.
func unsure(err error) (state.Support, error) {
	var server *ServerError
	if errors.As(err, &server) {
		return state.Unsure, nil
	}
	return state.Unsure, err
}

// millis is a duration as the servers read it.
func millis(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
