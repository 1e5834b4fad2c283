package search

import (
	"strings"
	"testing"
)

func TestSpecIsRefused(t *testing.T) {
	for want, spec := range map[string]Spec{
		"there is no":         {Product: OpenSearch, Version: "6.8", Nodes: 1},
		"at least one data":   {Product: Elasticsearch, Version: "6.8", Masters: 3},
		"no number below 0":   {Product: Elasticsearch, Version: "6.8", Nodes: 2, Masters: -1},
		"more than 20":        {Product: Elasticsearch, Version: "6.8", Nodes: 21},
		"less than 256":       {Product: Elasticsearch, Version: "6.8", Nodes: 1, HeapMiB: 100},
		`tier "Hot"`:          {Product: Elasticsearch, Version: "6.8", Tiers: []Tier{{"Hot", 1}}},
		`tier "hot" with 2`:   {Product: Elasticsearch, Version: "6.8", Tiers: []Tier{{"hot", 1}, {"hot", 2}}},
		"that mount snapshot": {Product: Elasticsearch, Version: "8.19", Nodes: 1, Searchers: 1},
	} {
		if _, err := spec.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
