package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/lab/search"
)

func TestReadServers(t *testing.T) {
	for name, test := range map[string]struct {
		names []string
		all   bool
		want  []string
		says  string
	}{
		"finds those that are named":        {names: []string{"elasticsearch-6.8", "opensearch-2.19"}, want: []string{"elasticsearch 6.8.23", "opensearch 2.19.0"}},
		"takes a whole version":             {names: []string{"opensearch-3.3.0"}, want: []string{"opensearch 3.3.0"}},
		"refuses a server that is not had":  {names: []string{"elasticsearch-5.6"}, says: "there is no elasticsearch 5.6"},
		"refuses a product without version": {names: []string{"elasticsearch"}, says: "there is no elasticsearch  to practise on"},
		"refuses nothing":                   {says: "name a server"},
		"refuses names beside --all":        {names: []string{"opensearch-2.19"}, all: true, says: "not both"},
	} {
		t.Run(name, func(t *testing.T) {
			servers, err := readServers(test.names, test.all)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v; want %q", err, test.says)
			}
			var got []string
			for _, s := range servers {
				got = append(got, s.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if all, err := readServers(nil, true); err != nil || len(all) != len(search.Servers()) {
		t.Errorf("%v, %v", all, err)
	}
}
