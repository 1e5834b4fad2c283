package config

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

func FuzzTakeOutAndPutBack(f *testing.F) {
	for _, text := range variants(odd) {
		f.Add([]byte(text))
	}
	for _, text := range []string{"a: |+\n  x\n\n\nb: 1\n", "a: \"x\n# y\"\nb: 1\n", "a: &x 1\nb: *x\n", "a:\n- b\n-\n  c: 1\n# d\n", "a: {b: [c,\n d]}\n\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, name := range file.Sections() {
			without, taken, err := file.TakeOut(name)
			if err != nil {
				continue
			}
			others(t, data, without.Bytes(), name)
			with, err := without.PutBack(taken)
			if err != nil {
				t.Fatalf("%s cannot be put back: %v\n%s", name, err, without.Bytes())
			}
			if string(with.Bytes()) != string(data) {
				t.Fatalf("%q became %q", data, with.Bytes())
			}
		}
	})
}

func FuzzEditsTouchNothingElse(f *testing.F) {
	for _, text := range variants(odd) {
		f.Add([]byte(text), "value: 1")
	}
	f.Add([]byte("global: # x\n  a: |\n    b\nscrape_configs:\n-\n  job_name: a\n- job_name: b\n  relabel_configs: []\n"), "a\nb")
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		file, err := Parse("f", data)
		if err != nil {
			return
		}
		if edited, err := file.SetKey(Path{"global"}, "key", value); err == nil {
			others(t, data, edited.Bytes(), "global")
		}
		if edited, err := file.Append(Path{"remote_read"}, map[string]string{"url": value}); err == nil {
			others(t, data, edited.Bytes(), "remote_read")
		}
		if edited, err := file.Append(Path{"scrape_configs", 0, "relabel_configs"}, map[string]string{"regex": value}); err == nil {
			others(t, data, edited.Bytes(), "scrape_configs")
		}
		if edited, err := file.SetText(Path{"global", "scrape_interval"}, value); err == nil {
			others(t, data, edited.Bytes(), "global")
		}
		Diff(file, file.Named("g"))
	})
}

// others compares all sections but one, as the library reads them without any help of ours.
func others(t *testing.T, before, after []byte, but string) {
	t.Helper()
	var b, a map[string]yaml.Node
	if err := yaml.Unmarshal(before, &b); err != nil {
		return // keys that are no text
	}
	if err := yaml.Unmarshal(after, &a); err != nil {
		t.Fatalf("%v\n%s", err, after)
	}
	delete(b, but)
	delete(a, but)
	if !slices.Equal(slices.Sorted(maps.Keys(b)), slices.Sorted(maps.Keys(a))) {
		t.Fatalf("sections of %q and %q differ", before, after)
	}
	for name, n := range b {
		m := a[name]
		var x, y any
		if n.Decode(&x) != nil || m.Decode(&y) != nil {
			continue
		}
		if !reflect.DeepEqual(x, y) && reflect.DeepEqual(x, x) {
			t.Fatalf("section %s was %v and is %v", name, x, y)
		}
	}
}
