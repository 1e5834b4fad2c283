package search

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for version, want := range map[string]string{"6.8": "6.8.23", "6.8.23": "6.8.23", "9": "9.2.0"} {
		if s, err := Find(Elasticsearch, version); err != nil || s.Version != want {
			t.Errorf("%s: %v, %v", version, s, err)
		}
	}
	for _, version := range []string{"", "6.8.2", "2.19"} {
		if _, err := Find(Elasticsearch, version); err == nil || !strings.Contains(err.Error(), "elasticsearch 6.8.23") {
			t.Errorf("%q: %v; it must name what there is", version, err)
		}
	}
	s, err := Find(OpenSearch, "2.19")
	if err != nil || s.Artifact() != "org.opensearch.distribution.integ-test-zip:opensearch:2.19.0:zip" {
		t.Errorf("%s, %v", s.Artifact(), err)
	}
}
