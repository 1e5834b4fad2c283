package schemagen

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type mode string

type inner struct {
	Labels map[string]string `json:"labels,omitempty"`
	Data   []byte            `json:"data"`
}

type shared struct {
	Verbose bool `json:"verbose"`
}

type sample struct {
	metav1.TypeMeta `json:",inline"`
	shared          `json:",inline"`

	Mode    mode            `json:"mode"`
	Max     *int32          `json:"max,omitempty"`
	Ports   []uint16        `json:"ports"`
	Timeout metav1.Duration `json:"timeout"`
	Inner   inner           `json:"inner"`
	Share   float64         `json:"share"`
	Secret  string          `json:"-"`
	NoTag   bool
}

const want = `{
 "$schema": "https://json-schema.org/draft/2020-12/schema",
 "title": "Sample",
 "type": "object",
 "properties": {
  "NoTag": {"type": "boolean"},
  "apiVersion": {"type": "string", "enum": ["sample/v1"]},
  "inner": {
   "type": "object",
   "properties": {
    "data": {"type": ["string", "null"], "format": "byte"},
    "labels": {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
   },
   "additionalProperties": false
  },
  "kind": {"type": "string", "enum": ["Sample"]},
  "max": {"type": ["integer", "null"]},
  "mode": {"type": "string"},
  "ports": {"type": ["array", "null"], "items": {"type": "integer", "minimum": 0}},
  "share": {"type": "number"},
  "timeout": {"type": ["string", "null"], "format": "duration"},
  "verbose": {"type": "boolean"}
 },
 "additionalProperties": false
}`

func TestDocument(t *testing.T) {
	node, err := Document(reflect.TypeFor[sample](), "sample/v1", "Sample")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, want), decode(t, string(data))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

type loop struct {
	Next []loop `json:"next"`
}

type odd struct{ text string }

func (o *odd) UnmarshalJSON(data []byte) error { o.text = string(data); return nil }

func TestDocumentRefuses(t *testing.T) {
	tests := map[string]struct {
		kind reflect.Type
		want string
	}{
		"a type that contains itself":       {kind: reflect.TypeFor[loop](), want: "contains itself"},
		"a type that decodes itself":        {kind: reflect.TypeFor[struct{ Field odd }](), want: "decodes itself"},
		"a map whose keys are numbers":      {kind: reflect.TypeFor[struct{ Field map[int]string }](), want: "keys are not strings"},
		"a field that JSON cannot hold":     {kind: reflect.TypeFor[struct{ Field chan int }](), want: "no schema for a chan"},
		"a configuration that is no struct": {kind: reflect.TypeFor[map[string]string](), want: "not a struct"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Document(test.kind, "v1", "Kind"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
