package inventory

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	tests := map[string]struct{ base, patch, want string }{
		"a value replaces":                {`{"a":1,"b":2}`, `{"a":3}`, `{"a":3,"b":2}`},
		"null removes":                    {`{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		"objects are merged":              {`{"a":{"b":1,"c":2}}`, `{"a":{"c":null,"d":3}}`, `{"a":{"b":1,"d":3}}`},
		"an object replaces a value":      {`{"a":1}`, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		"lists are replaced":              {`{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		"arguments are merged by name":    {`{"extraArgs":[{"name":"a","value":"1"},{"name":"b","value":"1"}]}`, `{"extraArgs":[{"name":"a","value":"2"},{"name":"c","value":"3"}]}`, `{"extraArgs":[{"name":"b","value":"1"},{"name":"a","value":"2"},{"name":"c","value":"3"}]}`},
		"an argument may be there twice":  {`{"extraArgs":[{"name":"a","value":"1"}]}`, `{"extraArgs":[{"name":"a","value":"2"},{"name":"a","value":"3"}]}`, `{"extraArgs":[{"name":"a","value":"2"},{"name":"a","value":"3"}]}`},
		"names of certificates are added": {`{"certSANs":["a"]}`, `{"certSANs":["b","a"]}`, `{"certSANs":["a","b"]}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			base := decode(t, tc.base)
			if diff := cmp.Diff(decode(t, tc.want), merge(base, decode(t, tc.patch))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(decode(t, tc.base), base); diff != "" {
				t.Errorf("the base was changed:\n%s", diff)
			}
		})
	}
}

func decode(t *testing.T, text string) object {
	t.Helper()
	var out object
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever is merged: the same patch again changes nothing, and an empty one never does.
func FuzzMerge(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, `{"a":{"b":null}}`)
	f.Add(`{"extraArgs":[{"name":"a"},3,null]}`, `{"extraArgs":[{"name":"a","value":"x"},[]]}`)
	f.Add(`{"certSANs":["a"]}`, `{"certSANs":[1,"a"]}`)
	f.Fuzz(func(t *testing.T, baseText, patchText string) {
		var base, patch object
		if json.Unmarshal([]byte(baseText), &base) != nil || json.Unmarshal([]byte(patchText), &patch) != nil {
			t.Skip()
		}
		once := merge(base, patch)
		if diff := cmp.Diff(once, merge(once, patch)); diff != "" {
			t.Errorf("twice is not once:\n%s", diff)
		}
		if diff := cmp.Diff(len(base), len(merge(base, nil))); diff != "" {
			t.Errorf("nothing changes something:\n%s", diff)
		}
	})
}
