package target

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/migration/config"
)

// The readers of nodes follow aliases; config has bounded them.

func value(n *yaml.Node, key string) *yaml.Node {
	n = followed(n)
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return followed(n.Content[i+1])
		}
	}
	return nil
}

// text is a scalar's value, empty where there is none.
func text(n *yaml.Node, key string) string {
	if v := value(n, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// items are the elements of a list, none for anything else.
func items(n *yaml.Node, key string) []*yaml.Node {
	list := value(n, key)
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]*yaml.Node, len(list.Content))
	for i, c := range list.Content {
		all[i] = followed(c)
	}
	return all
}

func followed(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// visit calls for every scalar with the path that leads to it; what an alias stands for is visited where it stands itself.
func visit(n *yaml.Node, at config.Path, call func(*yaml.Node, config.Path)) {
	switch {
	case n == nil:
	case n.Kind == yaml.ScalarNode && len(at) > 0:
		call(n, at)
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			visit(n.Content[i+1], append(slices.Clone(at), n.Content[i].Value), call)
		}
	case n.Kind == yaml.SequenceNode:
		for i, c := range n.Content {
			visit(c, append(slices.Clone(at), i), call)
		}
	}
}

// keys are the names in a mapping, none for anything else.
func keys(n *yaml.Node) []string {
	var all []string
	n = followed(n)
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		all = append(all, n.Content[i].Value)
	}
	return all
}
