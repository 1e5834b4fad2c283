package client

import (
	"context"
	"maps"
	"net/url"
	"slices"

	"github.com/slipway-dev/slipway/search/state"
)

// legacyTemplates are those of _template, which every server has.
type legacyTemplates struct{}

// bothTemplates are composable ones, which hide the legacy ones that match too.
type bothTemplates struct{}

func (legacyTemplates) readTemplates(ctx context.Context, c *Client) ([]state.Template, error) {
	type entry struct {
		Order    number         `json:"order"`
		Patterns []string       `json:"index_patterns"`
		Settings map[string]any `json:"settings"`
		Aliases  map[string]any `json:"aliases"`
	}
	var list []state.Template
	_, err := c.read(ctx, "/_template", url.Values{"filter_path": {"*.order,*.index_patterns,*.settings,*.aliases"}}, eachField(func(name string, e entry) {
		list = append(list, state.Template{Name: name, Legacy: true, Patterns: e.Patterns, Priority: e.Order.or(0), Settings: flatIndex(e.Settings),
			Aliases: slices.Sorted(maps.Keys(e.Aliases))})
	}))
	return list, err
}

// inner is what a composable template or a component gives to new indices.
type inner struct {
	Settings map[string]any `json:"settings"`
	Aliases  map[string]any `json:"aliases"`
}

func (bothTemplates) readTemplates(ctx context.Context, c *Client) ([]state.Template, error) {
	list, err := legacyTemplates{}.readTemplates(ctx, c)
	if err != nil {
		return nil, err
	}
	components, err := readComponents(ctx, c)
	if err != nil {
		return nil, err
	}
	var got struct {
		Templates []struct {
			Name string `json:"name"`
			Body struct {
				Patterns   []string        `json:"index_patterns"`
				Priority   number          `json:"priority"`
				ComposedOf []string        `json:"composed_of"`
				Template   inner           `json:"template"`
				DataStream *map[string]any `json:"data_stream"`
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	// An empty data_stream would vanish under a filter, so mappings are left out by name.
	params := url.Values{"filter_path": {"-index_templates.index_template.template.mappings"}}
	if _, err := c.read(ctx, "/_index_template", params, into(&got)); err != nil {
		return nil, err
	}
	for _, t := range got.Templates {
		settings, aliases := map[string]string{}, map[string]any{}
		for _, part := range append(partsOf(t.Body.ComposedOf, components), t.Body.Template) { // the later one wins
			maps.Copy(settings, flatIndex(part.Settings))
			maps.Copy(aliases, part.Aliases)
		}
		list = append(list, state.Template{Name: t.Name, Patterns: t.Body.Patterns, Priority: t.Body.Priority.or(0), Settings: settings,
			Aliases: slices.Sorted(maps.Keys(aliases)), DataStream: t.Body.DataStream != nil})
	}
	return list, nil
}

func partsOf(names []string, components map[string]inner) []inner {
	var parts []inner
	for _, name := range names {
		parts = append(parts, components[name]) // one that is missing gives nothing
	}
	return parts
}

func readComponents(ctx context.Context, c *Client) (map[string]inner, error) {
	var got struct {
		Components []struct {
			Name string `json:"name"`
			Body struct {
				Template inner `json:"template"`
			} `json:"component_template"`
		} `json:"component_templates"`
	}
	params := url.Values{"filter_path": {"component_templates.name,component_templates.component_template.template.settings," +
		"component_templates.component_template.template.aliases"}}
	if _, err := c.read(ctx, "/_component_template", params, into(&got)); err != nil {
		return nil, err
	}
	all := map[string]inner{}
	for _, t := range got.Components {
		all[t.Name] = t.Body.Template
	}
	return all, nil
}

// flatIndex is flat settings of an index with index. before them, however they were written.
func flatIndex(settings map[string]any) map[string]string {
	out := map[string]string{}
	for key, value := range flat(settings) {
		if len(key) < 6 || key[:6] != "index." {
			key = "index." + key
		}
		out[key] = value
	}
	return out
}

// dataStreams are read where they are.
type dataStreams struct{}

func (dataStreams) readStreams(ctx context.Context, c *Client) ([]state.DataStream, error) {
	var got struct {
		Streams []struct {
			Name     string `json:"name"`
			Template string `json:"template"`
			Indices  []struct {
				Name string `json:"index_name"`
			} `json:"indices"`
		} `json:"data_streams"`
	}
	params := url.Values{"filter_path": {"data_streams.name,data_streams.template,data_streams.indices.index_name"}}
	if _, err := c.read(ctx, "/_data_stream", params, into(&got)); err != nil {
		return nil, err
	}
	var list []state.DataStream
	for _, s := range got.Streams {
		one := state.DataStream{Name: s.Name, Template: s.Template}
		for _, i := range s.Indices {
			one.Indices = append(one.Indices, i.Name)
		}
		list = append(list, one)
	}
	return list, nil
}
