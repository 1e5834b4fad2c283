package search

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindJava(t *testing.T) {
	root := t.TempDir()
	for name, version := range map[string]string{"java-8": "1.8.0_292", "java-17": "17.0.15", "java-21": "21.0.1", "java-25": "25.0.3"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name, "release"), []byte("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\""+version+"\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		low, high    int
		given, want  string
		refusal      string
		withoutRoots bool
	}{
		"the newest that fits":        {low: 11, high: 23, want: "java-21"},
		"an old one has another name": {low: 8, high: 8, want: "java-8"},
		"none that fits is refused":   {low: 22, high: 24, refusal: "17, 21, 25, 8"},
		"none at all is refused":      {low: 17, high: 17, withoutRoots: true, refusal: "none"},
		"a given one that fits":       {low: 11, high: 17, given: "java-17", want: "java-17"},
		"a given one that does not":   {low: 11, high: 17, given: "java-25", refusal: "is 25"},
		"a given one that is no Java": {low: 11, high: 17, given: "other", refusal: "no Java"},
	} {
		t.Run(name, func(t *testing.T) {
			roots, given := []string{root}, test.given
			if test.withoutRoots {
				roots = []string{filepath.Join(root, "absent")}
			}
			if given != "" {
				given = filepath.Join(root, given)
			}
			got, err := findJava(Server{Product: OpenSearch, Version: "1.0.0", JavaMin: test.low, JavaMax: test.high}, given, roots)
			if test.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("%v; want %q", err, test.refusal)
				}
				return
			}
			if err != nil || filepath.Base(got) != test.want {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}
