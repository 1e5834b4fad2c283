package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
	"github.com/slipway-dev/slipway/charts"
)

// kind is what the CRD of a kind says.
type kind struct {
	document map[string]any
	schema   *jsonschema.Schema
}

// definition is the part of a CRD that is read.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				Document map[string]any `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// loadKinds reads the CRDs that the program carries.
func loadKinds() (map[string]*kind, error) {
	names, err := fs.Glob(charts.CRDs, "slipway/crds/"+v1alpha1.GroupVersion.Group+"_*.yaml")
	if err != nil {
		return nil, fmt.Errorf("finding the kinds of %s: %w", v1alpha1.GroupVersion.Group, err)
	}
	kinds := map[string]*kind{}
	for _, name := range names {
		data, err := fs.ReadFile(charts.CRDs, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		var d definition
		if err := yaml.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		for _, v := range d.Spec.Versions {
			if v.Name != v1alpha1.GroupVersion.Version {
				continue
			}
			if kinds[d.Spec.Names.Kind], err = compile(name, v.Schema.Document); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
		}
	}
	return kinds, nil
}

func compile(name string, document map[string]any) (*kind, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4) // what OpenAPI 3.0 stands on
	if err := c.AddResource(name, document); err != nil {
		return nil, err
	}
	s, err := c.Compile(name)
	return &kind{document: document, schema: s}, err
}

// fill writes defaults where nothing stands, as the API server does.
func (k *kind) fill(value map[string]any) { fill(k.document, value) }

func fill(schema map[string]any, value any) {
	switch v := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, below := range properties {
			s, _ := below.(map[string]any)
			if _, there := v[name]; !there && s["default"] != nil {
				v[name] = s["default"]
			}
			if v[name] != nil {
				fill(s, v[name])
			}
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for _, one := range v {
			fill(items, one)
		}
	}
}

// validate tells what the schema refuses, and fields that it does not have.
func (k *kind) validate(d *reading, value map[string]any) {
	d.unknown(k.document, value, nil)
	data, err := json.Marshal(value)
	if err != nil {
		d.say(d.root, "", "%v", err)
		return
	}
	plain, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		d.say(d.root, "", "%v", err)
		return
	}
	var failure *jsonschema.ValidationError
	if err := k.schema.Validate(plain); errors.As(err, &failure) {
		d.failures(failure)
	} else if err != nil {
		d.say(d.root, "", "%v", err)
	}
}

// failures walks to the leaves of what the schema refuses. Of several ways that are all refused, as a number or a text, the first speaks for all.
func (d *reading) failures(failure *jsonschema.ValidationError) {
	if len(failure.Causes) > 0 {
		path := failure.ErrorKind.KeywordPath()
		for _, cause := range failure.Causes {
			d.failures(cause)
			if len(path) > 0 && path[0] == "anyOf" {
				return
			}
		}
		return
	}
	text := failure.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	d.say(d.find(failure.InstanceLocation), dotted(failure.InstanceLocation), "%s", text)
}

// unknown tells fields that the schema does not have. metadata is held by its type.
func (d *reading) unknown(schema map[string]any, value any, path []string) {
	switch v := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		if properties == nil {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := append(slices.Clone(path), name)
			below, there := properties[name].(map[string]any)
			if !there {
				d.say(d.find(at), dotted(at), "there is no such field; there are %s", strings.Join(slices.Sorted(maps.Keys(properties)), ", "))
				continue
			}
			d.unknown(below, v[name], at)
		}
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, one := range v {
			d.unknown(items, one, append(slices.Clone(path), strconv.Itoa(i)))
		}
	}
}
