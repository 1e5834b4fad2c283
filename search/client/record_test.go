package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/search/state"
	"github.com/slipway-dev/slipway/test/golden"
)

// record is what the contract test saw on one server; a file in testdata/seen holds it.
type record struct {
	Product state.Product `json:"product"`
	Version string        `json:"version"`
	Flavour state.Flavour `json:"flavour"`
	// Root says whether GET / answers.
	Root bool `json:"root"`
	// Proxied says whether it was reached through nginx with TLS, a password and an API key.
	Proxied bool `json:"proxied"`
	// Tried is what happened when a capability was used.
	Tried map[state.Capability]state.Support `json:"tried"`
	// Calls are what one look asked for.
	Calls []string `json:"calls"`
}

func readRecords(t *testing.T) []record {
	t.Helper()
	files, err := filepath.Glob("testdata/seen/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no record of a server: %v", err)
	}
	var all []record
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b record) int {
		va, _ := parseVersion(a.Version)
		vb, _ := parseVersion(b.Version)
		return strings.Compare(string(a.Product), string(b.Product))*1000 + slices.Compare(va[:], vb[:])
	})
	return all
}

// wholeServer is what a server of that version can do, with all that its vendor offers.
func wholeServer(r record) map[state.Capability]state.Support {
	a := &About{Product: r.Product, Version: r.Version, Flavour: state.FlavourDefault, Modules: wholeXPack(), Plugins: []string{"opensearch-index-management"}}
	return baseline(a, []state.Node{{Roles: []string{"search", "warm"}}})
}

// wholeXPack are the modules that the vendor's distribution has and capabilities stand on.
func wholeXPack() []string {
	modules := []string{"data-streams"}
	for _, n := range needs() {
		modules = append(modules, n.modules...)
	}
	return modules
}

// TestCompatibilityPage holds the page against what was seen on servers, and against what the client claims of whole ones.
func TestCompatibilityPage(t *testing.T) {
	records := readRecords(t)
	var page strings.Builder
	page.WriteString("# Search servers: what can be done on which\n\nWritten by the contract test of `search/client`; do not edit. Run it with `go run ./test/suite search`, " +
		"on all servers with `go test -tags long -run TestContract ./search/client`; `-update` writes the records, then the unit test this page.\n\n" +
		"**seen**: tried on that very server, as `slipway lab search` starts it. by contract: said of the vendor's whole distribution by its documentation, and not seen, because the servers that " +
		"can be started have no plugins and at most the core of x-pack. What a cluster of yours can do is asked of it, not read from this table.\n\n|")
	for _, r := range records {
		fmt.Fprintf(&page, " | %s %s", r.Product, r.Version)
	}
	page.WriteString(" |\n|---" + strings.Repeat("|---", len(records)) + "|\n")
	for _, what := range slices.Sorted(maps.Keys(needs())) {
		fmt.Fprintf(&page, "| `%s`", what)
		for _, r := range records {
			page.WriteString(" | " + cell(wholeServer(r)[what], r.Tried[what]))
		}
		page.WriteString(" |\n")
	}
	page.WriteString("| `GET /`")
	for _, r := range records {
		page.WriteString(" | " + map[bool]string{true: "answers, **seen**", false: "missing, **seen**"}[r.Root])
	}
	page.WriteString(" |\n| TLS, password, API key, all behind nginx")
	for _, r := range records {
		page.WriteString(" | " + map[bool]string{true: "yes, **seen**", false: "by contract"}[r.Proxied])
	}
	page.WriteString(" |\n\nOne look (`Observe`) asks, on each of them:\n\n")
	for _, r := range records {
		fmt.Fprintf(&page, "- %s %s: %d calls\n", r.Product, r.Version, len(r.Calls))
	}
	golden.Check(t, "../../docs/search-compatibility.md", page.String())
}

func cell(claimed, tried state.Support) string {
	word := strings.ToLower(string(claimed))
	if claimed == tried {
		return word + ", **seen**"
	}
	return word + ", by contract"
}
