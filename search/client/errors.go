package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

var (
	// ErrTooLarge is an answer above the limit.
	ErrTooLarge = errors.New("the answer is larger than the limit")
	// ErrBroken is an answer that is not what the API promises: cut off, or not JSON.
	ErrBroken = errors.New("the answer is broken")
)

// Class is what to do about an error.
type Class string

// Classes.
const (
	// Retry is an accident: the same call may go through at once, perhaps at another endpoint.
	Retry Class = "Retry"
	// Wait is a cluster that cannot now: it is busy, has no master, works on another snapshot. Later.
	Wait Class = "Wait"
	// Human is what no repetition mends: a wrong password, a wrong name, a full disk, a certificate that nobody trusts.
	Human Class = "Human"
)

// CallError is a call that got no whole answer. Endpoint has no secrets in it, since an address with secrets is refused.
type CallError struct {
	Method, Endpoint, Path string
	Err                    error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("asking %s for %s %s: %v", e.Endpoint, e.Method, e.Path, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// ServerError is an answer that says no.
type ServerError struct {
	Status int
	// Type is the server's name for it, as index_not_found_exception; empty where something else answered, a proxy for one.
	Type string
	// Causes are the types below it.
	Causes []string
	Reason string
}

func (e *ServerError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("status %d: %s", e.Status, e.Reason)
	}
	return fmt.Sprintf("status %d, %s: %s", e.Status, e.Type, e.Reason)
}

// has says whether a type of an error is among those that the server names.
func (e *ServerError) has(types ...string) bool {
	for _, t := range types {
		if e.Type == t {
			return true
		}
		for _, c := range e.Causes {
			if c == t {
				return true
			}
		}
	}
	return false
}

// Class reads status and body. Elasticsearch 9 says 429 where older ones said 5xx for a task that took too long (elasticsearch#116026), and both say 503
// for a snapshot that runs beside another one, so neither alone is enough.
func (e *ServerError) Class() Class {
	switch {
	case e.has("process_cluster_event_timeout_exception", "receive_timeout_transport_exception", "failed_to_commit_cluster_state_exception",
		"node_closed_exception", "node_not_connected_exception", "connect_transport_exception"):
		return Retry
	case e.has("cluster_block_exception"):
		return e.blocked()
	case e.has("es_rejected_execution_exception", "opensearch_rejected_execution_exception", "rejected_execution_exception", "circuit_breaking_exception",
		"concurrent_snapshot_execution_exception", "snapshot_in_progress_exception", "master_not_discovered_exception",
		"cluster_manager_not_discovered_exception", "cluster_manager_throttling_exception", "no_shard_available_action_exception"):
		return Wait
	}
	switch e.Status {
	case http.StatusTooManyRequests:
		return Wait
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Retry
	}
	return Human
}

// blocked tells a cluster that is not ready yet (SERVICE_UNAVAILABLE/1 or /2 in the reason) from one that somebody or a full disk has blocked (FORBIDDEN, TOO_MANY_REQUESTS/12).
func (e *ServerError) blocked() Class {
	if strings.Contains(e.Reason, "SERVICE_UNAVAILABLE/") {
		return Wait
	}
	return Human
}

// ClassOf is what to do about an error of this package; an error that it does not know is for people.
func ClassOf(err error) Class {
	var server *ServerError
	var untrusted *tls.CertificateVerificationError
	var call *CallError
	switch {
	case errors.As(err, &server):
		return server.Class()
	case errors.As(err, &untrusted), errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, ErrTooLarge), errors.Is(err, context.Canceled):
		return Human
	case errors.As(err, &call):
		return Retry
	}
	return Human
}

// IsAbsent says that the server does not know what it was asked for: the path, or the object.
func IsAbsent(err error) bool {
	var server *ServerError
	return errors.As(err, &server) && (server.Status == http.StatusNotFound || server.Status == http.StatusMethodNotAllowed ||
		server.Status == http.StatusBadRequest && server.Type == "" && strings.Contains(server.Reason, "no handler found"))
}

// refusal takes the error out of an answer that says no.
func refusal(status int, body io.Reader) error {
	text, _ := io.ReadAll(io.LimitReader(body, 64<<10)) // what cannot be read of a refusal is left out
	var env struct {
		Error json.RawMessage `json:"error"`
	}
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	var detail struct {
		cause
		RootCause []cause `json:"root_cause"`
		CausedBy  *cause  `json:"caused_by"`
	}
	e := &ServerError{Status: status, Reason: clip(strings.TrimSpace(string(text)), 200)}
	if json.Unmarshal(text, &env) != nil || env.Error == nil {
		return e
	}
	var plain string
	switch {
	case json.Unmarshal(env.Error, &plain) == nil:
		e.Reason = clip(plain, 300)
	case json.Unmarshal(env.Error, &detail) == nil && detail.Type != "":
		e.Type, e.Reason = clip(detail.Type, 100), clip(detail.Reason, 300)
		if detail.CausedBy != nil {
			detail.RootCause = append(detail.RootCause, *detail.CausedBy)
		}
		for _, c := range detail.RootCause[:min(len(detail.RootCause), 10)] {
			e.Causes = append(e.Causes, clip(c.Type, 100))
		}
	}
	return e
}

// clip makes text of a server fit for a page and a terminal: one line, no control characters, at most n runes and an ellipsis.
func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return text
}
