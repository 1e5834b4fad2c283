package skew

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kind is what a file was taken for.
type Kind string

// The kinds of files that are read.
const (
	Configuration Kind = "configuration"
	RuleFile      Kind = "rules"
	Dashboard     Kind = "dashboard"
)

func (k Kind) order() int { return slices.Index([]Kind{Configuration, RuleFile, Dashboard}, k) }

// recognise finds out by its content what a file is; none where it is nothing of Prometheus or Grafana.
func recognise(src *source, most int) ([]document, error) {
	if len(src.data) > most {
		return nil, fmt.Errorf("the file has %d bytes, more than the %d that are read", len(src.data), most)
	}
	trimmed := bytes.TrimSpace(src.data)
	if len(trimmed) > 0 && trimmed[0] == '{' || strings.HasSuffix(src.name, ".json") {
		return recogniseJSON(src)
	}
	return recogniseYAML(src)
}

func recogniseJSON(src *source) ([]document, error) {
	n, err := readJSON(src)
	switch {
	case err != nil && strings.HasSuffix(src.name, ".json"):
		return nil, err
	case err != nil: // a mapping of YAML in braces
		return recogniseYAML(src)
	case isDashboard(n):
		return []document{{kind: Dashboard, src: src, json: n}}, nil
	case n.get("groups") != nil || n.get("kind") != nil || n.get("scrape_configs") != nil:
		return recogniseYAML(src) // JSON is YAML
	}
	return nil, nil
}

// isDashboard knows dashboards as Grafana exports and stores them, those of its HTTP API with a wrapper, and those of its
// resource API.
func isDashboard(n *jsonNode) bool {
	for _, in := range []*jsonNode{n, n.get("dashboard"), n.get("spec")} {
		for _, key := range []string{"panels", "rows", "elements"} {
			if v := in.get(key); v != nil && v.kind != '"' && v.kind != 0 {
				return true
			}
		}
		if in.get("templating").get("list") != nil {
			return true
		}
	}
	return false
}

func recogniseYAML(src *source) ([]document, error) {
	docs, err := readYAML(src)
	if err != nil {
		return nil, err
	}
	var found []document
	var errs []error
	for _, doc := range docs {
		for _, n := range append([]*yamlNode{doc}, items(get(doc, "items"))...) { // a List of Kubernetes has items
			if k, ok := yamlKind(n); ok {
				found = append(found, document{kind: k, src: src, yaml: n})
			}
			if src.outer == nil && str(get(n, "kind")) == "ConfigMap" {
				inner, err := recogniseEntries(src, get(n, "data"))
				found, errs = append(found, inner...), append(errs, err)
			}
		}
	}
	return found, errors.Join(errs...)
}

// recogniseEntries looks at the entries of a ConfigMap that are named as files of these kinds are.
func recogniseEntries(src *source, data *yamlNode) ([]document, error) {
	if data == nil || data.Kind != yaml.MappingNode {
		return nil, nil
	}
	var found []document
	var errs []error
	for i := 0; i+1 < len(data.Content); i += 2 {
		key, value := data.Content[i].Value, resolve(data.Content[i+1])
		if !slices.Contains([]string{".json", ".yml", ".yaml", ".rules"}, filepath.Ext(key)) || value.Kind != yaml.ScalarNode {
			continue
		}
		inner, err := recognise(within(yamlText(src, value)), len(value.Value))
		if err != nil {
			errs = append(errs, fmt.Errorf("entry %s: %w", key, err))
		}
		found = append(found, inner...)
	}
	return found, errors.Join(errs...)
}

func yamlKind(n *yamlNode) (Kind, bool) {
	switch {
	case get(n, "tests") != nil || get(n, "route") != nil: // a test of rules for promtool; a configuration of Alertmanager
		return "", false
	case str(get(n, "kind")) == "PrometheusRule":
		return RuleFile, true
	case isRules(get(n, "groups")):
		return RuleFile, true
	}
	for _, key := range []string{"scrape_configs", "rule_files", "remote_write", "remote_read", "scrape_config_files"} {
		if v := get(n, key); v != nil && v.Kind == yaml.SequenceNode {
			return Configuration, true
		}
	}
	for _, path := range [][]string{
		{"global", "scrape_interval"}, {"global", "evaluation_interval"}, {"global", "external_labels"},
		{"alerting", "alertmanagers"}, {"alerting", "alert_relabel_configs"},
	} {
		if get(n, path...) != nil {
			return Configuration, true
		}
	}
	return "", false
}

// isRules tells groups of rules from what Grafana provisions under the same key.
func isRules(groups *yamlNode) bool {
	if groups == nil || groups.Kind != yaml.SequenceNode {
		return false
	}
	for _, g := range items(groups) {
		if get(g, "orgId") != nil || get(g, "folder") != nil || get(g, "rules") == nil && get(g, "name") == nil {
			return false
		}
	}
	return true
}
