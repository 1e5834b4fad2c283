package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/search/ledger"
	"github.com/slipway-dev/slipway/search/state"
)

const webLogs = `apiVersion: search.slipway.dev/v1alpha1
kind: SearchCluster
metadata: {name: web-logs}
spec:
  endpoints: ["http://127.0.0.1:1"]
  repositories: [{name: cos}]
---
apiVersion: search.slipway.dev/v1alpha1
kind: IndexLifecycle
metadata: {name: web}
spec:
  clusterName: web-logs
  indices: {pattern: "web-*", slot: {format: "web-{yyyy.MM.dd}"}, createAheadSlots: 2}
  phases:
    - {name: backup, afterHours: 24, snapshot: {repositoryName: cos}}
    - {name: drop-replica, afterHours: 360, replicas: {count: 0}}
    - {name: delete, afterHours: 720, delete: {}}
`

// webLedger is what was done for one index: it was proved.
func webLedger(t *testing.T) string {
	t.Helper()
	at := time.Date(2026, 11, 22, 19, 0, 0, 0, time.UTC)
	var b strings.Builder
	err := ledger.WriteLines(&b, []ledger.Entry{{Lifecycle: "web", Index: "web-2026.11.01", UpdatedAt: at, Proofs: []ledger.Proof{{Repository: "cos", Snapshot: "slipway-web-1", Index: "web-2026.11.01",
		IndexUUID: "uuid-21", Shards: 3, Docs: 90_000_000, TakenAt: at, ProvedAt: at, CheckedAt: at}}}})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSearchLifecycle(t *testing.T) {
	closed := func(c *state.Cluster) {
		c.Snapshots = []state.Snapshot{{Repository: "cos", Name: "slipway-web-1", State: "SUCCESS"}}
		for i := range c.Indices {
			c.Indices[i].UUID = fmt.Sprintf("uuid-%d", i)
			if i > 1 {
				c.Indices[i].Blocks = []string{"write"}
			}
			c.Indices[i].Counts.Started = c.Indices[i].Shards()
		}
	}
	whole := func(c *state.Cluster) {
		closed(c)
		c.Unseen = nil
	}
	transcript{golden: "search_lifecycle", files: map[string]string{
		"logs.yaml": webLogs, "web.json": searchState(t, whole), "blind.json": searchState(t, closed), "ledger.jsonl": webLedger(t),
		"edited.yaml":  strings.Replace(webLogs, "name: delete, afterHours: 720", "name: delete, afterHours: 480", 1),
		"refused.yaml": strings.Replace(webLogs, "    - {name: backup, afterHours: 24, snapshot: {repositoryName: cos}}\n", "", 1),
		"wrong.yaml":   strings.Replace(webLogs, "afterHours: 360", "afterHour: 360", 1),
		"secret.yaml":  strings.Replace(webLogs, "  repositories", "  auth: {secretName: es-admin}\n  repositories", 1),
	}, steps: []step{
		{name: "shows what the policy means and does now", line: "search lifecycle plan -f logs.yaml --from web.json --ledger ledger.jsonl"},
		{name: "shows what an edit changes", line: "search lifecycle plan -f edited.yaml --was logs.yaml --from web.json --ledger ledger.jsonl"},
		{name: "holds what needs snapshots that it could not see", line: "search explain web-2026.11.01 -f logs.yaml --from blind.json --ledger ledger.jsonl"},
		{name: "tells where an index stands", line: "search explain web-2026.11.01 web-2026.11.20 -f logs.yaml --from web.json --ledger ledger.jsonl"},
		{name: "tells it to machines", line: "search explain web-2026.11.20 -f logs.yaml --from web.json -o yaml"},
		{name: "refuses a policy that loses data", line: "search lifecycle plan -f refused.yaml --from web.json"},
		{name: "names line and field of a mistake", line: "search lifecycle plan -f wrong.yaml --from web.json"},
		{name: "says that a secret of Kubernetes cannot be read", line: "search lifecycle plan -f secret.yaml"},
		{name: "knows no such index", line: "search explain other-2026.11.01 -f logs.yaml --from web.json"},
		{name: "knows no such policy", line: "search lifecycle plan -f logs.yaml --name other --from web.json"},
		{name: "asks for the file", line: "search lifecycle plan"},
	}}.test(t)
}
