package client

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/state"
)

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		root, local, header string
		want                About
		refused             bool
	}{
		"Elasticsearch 6.8 without x-pack": {`{"cluster_name":"a","cluster_uuid":"u","version":{"number":"6.8.23","build_flavor":"oss"},"tagline":"You Know, for Search"}`,
			`{"nodes":{"x":{"version":"6.8.23","build_flavor":"oss","modules":[{"name":"transport-netty4","elasticsearch_version":"6.8.23"}]}}}`, "",
			About{Name: "a", UUID: "u", Product: state.Elasticsearch, Version: "6.8.23", Flavour: state.FlavourOSS, Modules: []string{"transport-netty4"}, Plugins: []string{}}, false},
		"a zip of Elasticsearch 8, where the root is missing": {`{}`, `{"cluster_name":"a","nodes":{"x":{"version":"8.19.0","modules":[{"name":"aggregations","elasticsearch_version":"8.19.0"}]}}}`,
			"", About{Name: "a", Product: state.Elasticsearch, Version: "8.19.0", Flavour: state.FlavourUnknown, Modules: []string{"aggregations"}, Plugins: []string{}}, false},
		"one that may not be asked for its nodes": {`{"cluster_name":"a","version":{"number":"8.15.0","build_flavor":"default"},"tagline":"You Know, for Search"}`, `{}`, "Elasticsearch",
			About{Name: "a", Product: state.Elasticsearch, Version: "8.15.0", Flavour: state.FlavourDefault}, false},
		"OpenSearch": {`{"cluster_name":"a","version":{"distribution":"opensearch","number":"2.19.0"},"tagline":"The OpenSearch Project: https://opensearch.org/"}`, `{}`, "",
			About{Name: "a", Product: state.OpenSearch, Version: "2.19.0", Flavour: state.FlavourOpenSearch}, false},
		"OpenSearch that is told to say 7.10.2": {`{"cluster_name":"a","version":{"number":"7.10.2"},"tagline":"The OpenSearch Project: https://opensearch.org/"}`,
			`{"nodes":{"x":{"version":"1.3.20","plugins":[{"name":"opensearch-security","opensearch_version":"1.3.20"}]}}}`, "",
			About{Name: "a", Product: state.OpenSearch, Version: "1.3.20", Flavour: state.FlavourOpenSearch, Modules: []string{}, Plugins: []string{"opensearch-security"}}, false},
		"something else":        {`{"version":{"number":"1.2.3"},"tagline":"hello"}`, `{}`, "", About{}, true},
		"a version that is odd": {`{"version":{"number":"new"},"tagline":"You Know, for Search"}`, `{}`, "", About{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var r root
			var l local
			if err := json.Unmarshal([]byte(test.root), &r); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(test.local), &l); err != nil {
				t.Fatal(err)
			}
			got, err := judge(r, l, test.header)
			if test.refused {
				if err == nil {
					t.Errorf("%+v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("6.8.23")
	f.Add("3.0.0-beta1")
	f.Add("99999.1.1")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := parseVersion(text); err == nil && (v[0] < 0 || !v.atLeast(0, 0)) {
			t.Errorf("%q is %v", text, v)
		}
	})
}
