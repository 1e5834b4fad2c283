package client

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/slipway-dev/slipway/search/state"
)

func TestCapabilitiesComeFromProductVersionAndFlavour(t *testing.T) {
	elastic := func(version string, modules ...string) *About {
		return &About{Product: state.Elasticsearch, Version: version, Flavour: state.FlavourDefault, Modules: append([]string{"x"}, modules...), Plugins: []string{}}
	}
	open := func(version string, plugins ...string) *About {
		return &About{Product: state.OpenSearch, Version: version, Modules: []string{}, Plugins: append([]string{"x"}, plugins...)}
	}
	for name, test := range map[string]struct {
		about *About
		nodes []state.Node
		what  state.Capability
		want  state.Support
	}{
		"ILM with x-pack":                            {elastic("6.8.23", "x-pack-core", "x-pack-ilm"), nil, state.ILM, state.Yes},
		"no ILM where x-pack is its core alone":      {elastic("8.19.0", "x-pack-core"), nil, state.ILM, state.No},
		"tiers with the core of x-pack":              {elastic("8.19.0", "x-pack-core"), nil, state.DataTiers, state.Yes},
		"SLM is part of ILM in older ones":           {elastic("7.17.0", "x-pack-ilm"), nil, state.SLM, state.Yes},
		"freezing on 6.8":                            {elastic("6.8.23", "x-pack-core"), nil, state.Freeze, state.Yes},
		"no ILM without x-pack":                      {elastic("9.2.0"), nil, state.ILM, state.No},
		"no ILM in a build that says it is oss":      {&About{Product: state.Elasticsearch, Version: "7.10.2", Flavour: state.FlavourOSS}, nil, state.ILM, state.No},
		"unsure where modules were not told":         {&About{Product: state.Elasticsearch, Version: "8.15.0", Flavour: state.FlavourDefault}, nil, state.ILM, state.Unsure},
		"no ILM on OpenSearch":                       {open("2.19.0"), nil, state.ILM, state.No},
		"freezing until 7":                           {elastic("7.17.0", "frozen-indices"), nil, state.Freeze, state.Yes},
		"no freezing on 8":                           {elastic("8.0.0", "x-pack-core"), nil, state.Freeze, state.No},
		"composable templates from 7.8":              {elastic("7.8.0"), nil, state.ComposableTemplates, state.Yes},
		"none on 7.7":                                {elastic("7.7.1"), nil, state.ComposableTemplates, state.No},
		"ISM with its plugin":                        {open("1.3.20", "opensearch-index-management"), nil, state.ISM, state.Yes},
		"no ISM without":                             {open("3.3.0"), nil, state.ISM, state.No},
		"mapping types on OpenSearch 1":              {open("1.3.20"), nil, state.MappingTypes, state.Yes},
		"none on 2":                                  {open("2.0.0"), nil, state.MappingTypes, state.No},
		"none on Elasticsearch 8":                    {elastic("8.0.0"), nil, state.MappingTypes, state.No},
		"data streams with their module":             {elastic("8.19.0", "data-streams"), nil, state.DataStreams, state.Yes},
		"none without":                               {elastic("8.19.0"), nil, state.DataStreams, state.No},
		"mounting on nodes of 2 with the role":       {open("2.19.0"), []state.Node{{Roles: []string{"search"}}}, state.RemoteSnapshots, state.Yes},
		"3 has another name for it":                  {open("3.3.0"), []state.Node{{Roles: []string{"search"}}}, state.RemoteSnapshots, state.No},
		"unsure where nodes were not seen":           {open("3.3.0"), nil, state.RemoteSnapshots, state.Unsure},
		"security by its plugin":                     {open("2.19.0", "opensearch-security"), nil, state.Security, state.Yes},
		"no security in a build without":             {elastic("8.19.0"), nil, state.Security, state.No},
		"security that is installed has to be asked": {elastic("8.19.0", "x-pack-security"), nil, state.Security, state.Unsure},
	} {
		if got := baseline(test.about, test.nodes)[test.what]; got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestSecurityIsAskedFor(t *testing.T) {
	const broken, absent = `{"error":{"type":"illegal_state_exception","reason":"failed to find action"}}`, `{"error":"no handler found for uri [/_security/_authenticate] and method [GET]"}`
	for name, test := range map[string]struct {
		version  string
		features string
		status   int
		who      string
		whoIs    int
		want     state.Support
	}{
		"on, as the features say":                {"8.19.0", `{"features":{"security":{"enabled":true}}}`, 200, "", 500, state.Yes},
		"off, as the features say":               {"7.17.0", `{"features":{"security":{"enabled":false}}}`, 200, "", 500, state.No},
		"on, where only the user is told":        {"8.19.0", `{"error":{"type":"security_exception","reason":"unauthorized"}}`, 403, `{"username":"me"}`, 200, state.Yes},
		"off, where a feature is missing":        {"9.2.0", broken, 500, absent, 400, state.No},
		"unsure, where neither is told":          {"8.19.0", broken, 500, broken, 500, state.Unsure},
		"unsure on 6.8, which has no other call": {"6.8.23", broken, 500, absent, 400, state.Unsure},
		"unsure, where the cluster is busy":      {"8.19.0", `{"error":{"type":"circuit_breaking_exception"}}`, 429, absent, 400, state.Unsure},
	} {
		count := 0
		at := serving(t, &count, func(w http.ResponseWriter, r *http.Request) {
			status, text := test.status, test.features
			if r.URL.Path == "/_security/_authenticate" {
				status, text = test.whoIs, test.who
			}
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		})
		got, err := dial(t, Options{Endpoints: []string{at}}).secured(t.Context(), &About{Product: state.Elasticsearch, Version: test.version})
		if err != nil || got != test.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
