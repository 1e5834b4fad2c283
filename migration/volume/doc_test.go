package volume

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryRuleIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/prometheus-volume.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, m[1])
	}
	if diff := cmp.Diff(Rules(), documented); diff != "" {
		t.Error(diff)
	}
}
