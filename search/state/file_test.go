package state

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() *Cluster {
	return &Cluster{
		Schema: Schema, TakenAt: time.Date(2026, 11, 22, 19, 49, 0, 0, time.UTC), Name: "game-logs", Product: Elasticsearch, Version: "6.8.23",
		Capabilities: map[Capability]Support{Freeze: Yes, ILM: No},
		Nodes:        []Node{{ID: "a", Name: "hot-1", Roles: []string{"data"}, Pools: map[string]Pool{"write": {Size: 8}}}},
		Indices:      []Index{{Name: "a-1", Primaries: 6, Replicas: 1, Docs: 10}, {Name: "a-2", Primaries: 1, Filters: map[string]string{"require._name": "hot-1"}}},
		Shards:       []ShardGroup{{Index: "a-1", Node: "hot-1", State: Started, Primaries: 6}},
		Unseen:       []Unseen{{Part: PartPolicies, Why: "403"}},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, example()); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(example(), got); diff != "" {
		t.Errorf("read otherwise (-want +got):\n%s", diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"nothing":                       {"", "EOF"},
		"a list":                        {"[]", "is this a state that slipway recorded?"},
		"an answer of a server":         {`{"name":"x","cluster_name":"y"}`, `"name" is none of`},
		"half a file":                   {`{"indices":[{"name":"a"}`, "EOF"},
		"an index that is there twice":  {`{"indices":[{"name":"a"},{"name":"a"}],"cluster":{"schema":1,"takenAt":"2026-01-01T00:00:00Z","product":"OpenSearch"}}`, "twice"},
		"shards that cannot be counted": {`{"indices":[{"name":"a","primaries":-1}],"cluster":{"schema":1,"takenAt":"2026-01-01T00:00:00Z","product":"OpenSearch"}}`, "-1 primaries"},
		"an older schema":               {`{"cluster":{"schema":0}}`, "record it again"},
		"a newer schema, before all":    {`{"cluster":{"schema":7,"nodes":"many"},"index":{}}`, "schema 7, this program reads 1: a newer slipway"},
		"a state without a time":        {`{"cluster":{"schema":1}}`, "takenAt"},
		"another product":               {`{"cluster":{"schema":1,"takenAt":"2026-01-01T00:00:00Z","product":"Solr"}}`, "Solr"},
		"nodes of one name":             {`{"cluster":{"schema":1,"takenAt":"2026-01-01T00:00:00Z","product":"OpenSearch","nodes":[{"name":"a"},{"name":"a"}]}}`, `node "a"`},
	} {
		if _, err := Read(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestWriteSaysThatTheDiskIsFull(t *testing.T) {
	if err := Write(full{}, example()); err == nil || !strings.Contains(err.Error(), "game-logs: no space left") {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, example()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"cluster":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := Write(&again, c); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&again); err != nil {
			t.Errorf("what was read and written cannot be read: %v", err)
		}
	})
}
