// Package schemagen makes JSON schemas from Go types by reflection.
//
// It uses the standard library only: its source is embedded in the bundle package and compiled
// in the scratch module of a Kubernetes minor, beside that minor's types. Unknown fields are
// refused by the schemas it makes, nothing is required, and there are no references: each schema
// is one self-contained tree, so that any validator, or a plain walk, can use it.
package schemagen

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Node is a JSON schema, as far as component configurations need it.
type Node struct {
	Schema     string           `json:"$schema,omitempty"`
	Title      string           `json:"title,omitempty"`
	Type       any              `json:"type,omitempty"` // a string, or a list of strings
	Format     string           `json:"format,omitempty"`
	Enum       []string         `json:"enum,omitempty"`
	Minimum    *int64           `json:"minimum,omitempty"`
	Items      *Node            `json:"items,omitempty"`
	Properties map[string]*Node `json:"properties,omitempty"`
	// AdditionalProperties is false for a struct and the schema of the values for a map.
	AdditionalProperties any `json:"additionalProperties,omitempty"`
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

// Document returns the schema of a configuration kind. apiVersion and kind are fixed to the given
// values, and TypeMeta in the type is replaced by them.
func Document(t reflect.Type, apiVersion, kind string) (*Node, error) {
	node, err := generate(t, nil)
	if err != nil {
		return nil, fmt.Errorf("making schema of %s: %w", kind, err)
	}
	if node.Properties == nil {
		return nil, fmt.Errorf("making schema of %s: %s is not a struct", kind, t)
	}
	node.Schema, node.Title = dialect, kind
	node.Properties["apiVersion"] = &Node{Type: "string", Enum: []string{apiVersion}}
	node.Properties["kind"] = &Node{Type: "string", Enum: []string{kind}}
	return node, nil
}

// known are the types whose JSON form is not that of their Go kind.
func known(t reflect.Type) (*Node, bool) {
	switch t.PkgPath() + "." + t.Name() {
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Duration":
		return &Node{Type: []string{"string", "null"}, Format: "duration"}, true
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Time", "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":
		return &Node{Type: []string{"string", "null"}, Format: "date-time"}, true
	case "k8s.io/apimachinery/pkg/api/resource.Quantity", "k8s.io/apimachinery/pkg/api/resource.QuantityValue":
		return &Node{Type: []string{"string", "number", "null"}}, true
	case "k8s.io/apimachinery/pkg/util/intstr.IntOrString":
		return &Node{Type: []string{"string", "integer", "null"}}, true
	case "k8s.io/apimachinery/pkg/runtime.RawExtension":
		return &Node{Type: "object"}, true
	case "k8s.io/kubernetes/cmd/kubeadm/app/apis/bootstraptoken/v1.BootstrapTokenString":
		return &Node{Type: []string{"string", "null"}}, true
	case "k8s.io/component-base/logs/api/v1.TimeOrMetaDuration":
		return &Node{Type: []string{"string", "integer"}}, true
	}
	return nil, false
}

// generate makes the schema of a type; above are the structs that it stands in.
func generate(t reflect.Type, above []reflect.Type) (*Node, error) {
	if t.Kind() == reflect.Pointer {
		node, err := generate(t.Elem(), above)
		if err != nil {
			return nil, err
		}
		return nullable(node), nil
	}
	if node, ok := known(t); ok {
		return node, nil
	}
	if t.Implements(unmarshaler()) || reflect.PointerTo(t).Implements(unmarshaler()) {
		return nil, fmt.Errorf("%s.%s decodes itself and its form is not known here", t.PkgPath(), t.Name())
	}
	switch t.Kind() {
	case reflect.Slice:
		return generateSlice(t, above)
	case reflect.Map:
		return generateMap(t, above)
	case reflect.Struct:
		return generateStruct(t, above)
	}
	return scalar(t)
}

func scalar(t reflect.Type) (*Node, error) {
	switch t.Kind() {
	case reflect.Bool:
		return &Node{Type: "boolean"}, nil
	case reflect.String:
		return &Node{Type: "string"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Node{Type: "integer"}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Node{Type: "integer", Minimum: new(int64)}, nil
	case reflect.Float32, reflect.Float64:
		return &Node{Type: "number"}, nil
	}
	return nil, fmt.Errorf("%s: no schema for a %s", t, t.Kind())
}

func unmarshaler() reflect.Type { return reflect.TypeFor[json.Unmarshaler]() }

// nullable adds null to the types that a node accepts.
func nullable(node *Node) *Node {
	switch types := node.Type.(type) {
	case string:
		node.Type = []string{types, "null"}
	case []string:
		for _, name := range types {
			if name == "null" {
				return node
			}
		}
		node.Type = append(append([]string{}, types...), "null")
	}
	return node
}

func generateSlice(t reflect.Type, above []reflect.Type) (*Node, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return &Node{Type: []string{"string", "null"}, Format: "byte"}, nil
	}
	items, err := generate(t.Elem(), above)
	if err != nil {
		return nil, err
	}
	return &Node{Type: []string{"array", "null"}, Items: items}, nil
}

func generateMap(t reflect.Type, above []reflect.Type) (*Node, error) {
	if t.Key().Kind() != reflect.String {
		return nil, fmt.Errorf("%s: keys are not strings", t)
	}
	values, err := generate(t.Elem(), above)
	if err != nil {
		return nil, err
	}
	return &Node{Type: []string{"object", "null"}, AdditionalProperties: values}, nil
}

func generateStruct(t reflect.Type, above []reflect.Type) (*Node, error) {
	for _, outer := range above {
		if outer == t {
			return nil, fmt.Errorf("%s contains itself", t)
		}
	}
	node := &Node{Type: "object", Properties: map[string]*Node{}, AdditionalProperties: false}
	if err := addFields(node, t, append(above, t)); err != nil {
		return nil, err
	}
	return node, nil
}

func addFields(node *Node, t reflect.Type, above []reflect.Type) error {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || (!field.IsExported() && !field.Anonymous):
			continue
		case field.Anonymous && name == "" || strings.Contains(options, "inline"):
			embedded := field.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if err := addFields(node, embedded, above); err != nil {
				return err
			}
			continue
		case name == "":
			name = field.Name
		}
		child, err := generate(field.Type, above)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		node.Properties[name] = child
	}
	return nil
}
