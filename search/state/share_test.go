package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatIsSharedIsEqual(t *testing.T) {
	made := func() []Index {
		return []Index{
			{Name: "a", Health: "green", Filters: map[string]string{"require.tier": "hot", "require._name": "n"}, Policy: &Attachment{Kind: KindILM, Policy: "logs", Step: "complete"}},
			{Name: "b", Health: "green", Filters: map[string]string{"require._name": "n", "require.tier": "hot"}, Policy: &Attachment{Kind: KindILM, Policy: "logs", Step: "ERROR"}},
			{Name: "c", Health: "red", Filters: map[string]string{"require.tier": "hot"}},
			{Name: "d"},
		}
	}
	var s Sharer
	got := made()
	for i := range got {
		s.Index(&got[i])
	}
	if diff := cmp.Diff(made(), got); diff != "" {
		t.Error(diff)
	}
	if len(s.filters) != 2 {
		t.Errorf("%d maps for two kinds of filters", len(s.filters))
	}
	got[0].Filters["x"] = "y" // shows that they are one
	if got[1].Filters["x"] != "y" || got[2].Filters["x"] != "" {
		t.Error("equal filters are not shared, or others are")
	}
}
