package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestClassComesFromStatusAndBody(t *testing.T) {
	body := func(kind, reason string) string {
		return fmt.Sprintf(`{"error":{"root_cause":[{"type":%[1]q,"reason":"x"}],"type":%[1]q,"reason":%[2]q},"status":0}`, kind, reason)
	}
	for name, test := range map[string]struct {
		status int
		body   string
		class  Class
		says   string
	}{
		"a task that took too long":           {503, body("process_cluster_event_timeout_exception", "failed to process"), Retry, "status 503, process_cluster"},
		"the same on Elasticsearch 9":         {429, body("process_cluster_event_timeout_exception", "failed to process"), Retry, "429"},
		"a full queue":                        {429, body("es_rejected_execution_exception", "rejected"), Wait, "rejected"},
		"a full queue within another error":   {429, `{"error":{"type":"search_phase_execution_exception","reason":"all shards failed","root_cause":[{"type":"es_rejected_execution_exception"}]}}`, Wait, ""},
		"the breaker":                         {429, body("circuit_breaking_exception", "[parent] Data too large"), Wait, ""},
		"another snapshot runs":               {503, body("concurrent_snapshot_execution_exception", "cannot snapshot"), Wait, ""},
		"no master":                           {503, body("master_not_discovered_exception", ""), Wait, ""},
		"a cluster that is not recovered":     {503, body("cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized];"), Wait, ""},
		"a disk that is full":                 {429, body("cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];"), Human, ""},
		"an index that nobody may write":      {403, body("cluster_block_exception", "blocked by: [FORBIDDEN/8/index write (api)];"), Human, ""},
		"a wrong password":                    {401, body("security_exception", "unable to authenticate"), Human, ""},
		"a wrong name":                        {404, body("index_not_found_exception", "no such index"), Human, "no such index"},
		"a proxy with nobody behind":          {502, "<html>\x1b[31mBad Gateway</html>", Retry, "status 502: <html> [31mBad Gateway</html>"},
		"a proxy that limits":                 {429, "slow down", Wait, ""},
		"a refusal in one sentence":           {405, `{"error":"Incorrect HTTP method for uri [/]","status":405}`, Human, "Incorrect HTTP method"},
		"an error of a kind that nobody told": {500, `{"error":{"type":"null_pointer_exception","reason":null}}`, Human, "null_pointer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refusal(test.status, strings.NewReader(test.body))
			if ClassOf(&CallError{Err: err}) != test.class || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: %q", ClassOf(err), err)
			}
		})
	}
}

func TestClassOfWhatNoServerSaid(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want Class
	}{
		"a connection that broke": {&CallError{Err: errors.New("connection reset by peer")}, Retry},
		"an answer that is cut":   {&CallError{Err: ErrBroken}, Retry},
		"an answer too large":     {&CallError{Err: ErrTooLarge}, Human},
		"a call that was ended":   {&CallError{Err: context.Canceled}, Human},
		"something else":          {errors.New("other"), Human},
	} {
		if got := ClassOf(test.err); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func FuzzRefusal(f *testing.F) {
	f.Add(`{"error":{"type":"a","reason":"b","root_cause":[{"type":"c"}],"caused_by":{"type":"d"}}}`)
	f.Add(`{"error":"text"}`)
	f.Add(`{"error":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		err := refusal(500, strings.NewReader(body))
		if text := err.Error(); len(text) > 5000 || strings.ContainsAny(text, "\n\r\x1b") {
			t.Errorf("%q", text)
		}
	})
}
