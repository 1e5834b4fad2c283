package inventory

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
)

// object is a JSON object.
type object = map[string]any

// listsByName are the lists whose items a user's part replaces by name instead of as a whole.
var listsByName = []string{"extraArgs", "extraEnvs", "extraVolumes"}

// merge lays a patch over a base as RFC 7386 says (null removes), but lists of named items item by item, and certSANs
// as a union. Neither argument is changed.
func merge(base, patch object) object {
	out := make(object, len(base)+len(patch))
	for k, v := range base {
		out[k] = v
	}
	for k, v := range patch {
		switch value := v.(type) {
		case nil:
			delete(out, k)
		case object:
			below, _ := out[k].(object)
			out[k] = merge(below, value)
		case []any:
			out[k] = mergeList(k, out[k], value)
		default:
			out[k] = v
		}
	}
	return out
}

func mergeList(key string, base any, patch []any) []any {
	have, _ := base.([]any)
	switch {
	case key == "certSANs":
		out := slices.Clone(have)
		for _, item := range patch {
			if !slices.Contains(out, item) {
				out = append(out, item)
			}
		}
		return out
	case slices.Contains(listsByName, key):
		named := map[any]bool{}
		for _, item := range patch {
			named[nameOf(item)] = true
		}
		out := slices.DeleteFunc(slices.Clone(have), func(item any) bool { return named[nameOf(item)] })
		return append(out, patch...)
	}
	return patch
}

func nameOf(item any) any {
	if o, ok := item.(object); ok {
		return o["name"]
	}
	return nil
}

// part decodes a user's part of a kind; none is empty.
func part(path string, raw *runtime.RawExtension) (object, error) {
	if raw == nil || len(raw.Raw) == 0 {
		return nil, nil
	}
	var out object
	if err := json.Unmarshal(raw.Raw, &out); err != nil {
		return nil, fmt.Errorf("reading %s: it is not a JSON object: %w", path, err)
	}
	return out, nil
}

// layers lays the user's part over the defaults, and what Slipway owns over both.
func layers(defaults, user, owned object) object { return merge(merge(defaults, user), owned) }
