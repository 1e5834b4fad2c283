package doctor

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

// TestGuideListsEveryRule keeps the list of rules in the guide true; -update writes it.
func TestGuideListsEveryRule(t *testing.T) {
	const guide, begin, end = "../../docs/search-doctor.md", "<!-- rules: written by go test ./search/doctor -update -->\n", "<!-- end of rules -->"
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, hasBegin := strings.Cut(string(data), begin)
	_, after, hasEnd := strings.Cut(rest, end)
	if !hasBegin || !hasEnd {
		t.Fatalf("%s has no place for the rules", guide)
	}
	var list strings.Builder
	list.WriteString("| rule | is fine when | needs |\n|---|---|---|\n")
	for _, c := range checks() {
		needs := "health"
		if len(c.needs) > 0 {
			needs = ""
			for i, part := range c.needs {
				if i > 0 {
					needs += ", "
				}
				needs += string(part)
			}
		}
		fmt.Fprintf(&list, "| `%s` | %s | %s |\n", c.name, c.says, needs)
	}
	golden.Check(t, guide, before+begin+list.String()+end+after)
}
