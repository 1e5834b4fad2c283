package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/state"
)

// Session is a client that knows what answers, and can therefore change something. It is good as long as the cluster is not upgraded.
type Session struct {
	c   *Client
	d   dialect
	can map[state.Capability]state.Support
	// About is what the cluster was at the beginning.
	About *About
}

// Open finds out what answers.
func (c *Client) Open(ctx context.Context) (*Session, error) {
	about, err := c.About(ctx)
	if err != nil {
		return nil, err
	}
	can := baseline(about, nil)
	return &Session{c: c, d: dialectOf(about, can), can: can, About: about}, nil
}

// Can says whether the cluster has a capability that product and version tell for certain.
func (s *Session) Can(what state.Capability) bool { return s.can[what] == state.Yes }

// Request is a call that changes something, before it is sent: what a dry run prints is what is sent.
type Request struct {
	Method string     `json:"method"`
	Path   string     `json:"path"`
	Query  url.Values `json:"query,omitempty"`
	Body   any        `json:"body,omitempty"`
}

// String is one line that a console for the cluster takes.
func (r Request) String() string {
	line := r.Method + " " + r.Path
	if len(r.Query) > 0 {
		line += "?" + r.Query.Encode()
	}
	if r.Body == nil {
		return line
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		return line + " " + err.Error()
	}
	return line + " " + string(body)
}

// ErrNotAcknowledged is a change that some nodes have not heard of in time. It may come to be: look again.
var ErrNotAcknowledged = errors.New("not all nodes have acknowledged it in time")

// Send sends a request once. An error whose class is Retry does not say that nothing happened: whoever sends it again has to look first.
func (s *Session) Send(ctx context.Context, r Request) error {
	var got struct {
		Acknowledged *bool `json:"acknowledged"`
		Accepted     *bool `json:"accepted"`
		Shards       struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	if err := s.c.Call(ctx, r.Method, r.Path, r.Query, r.Body, &got); err != nil {
		return err
	}
	switch {
	case got.Acknowledged != nil && !*got.Acknowledged, got.Accepted != nil && !*got.Accepted:
		return fmt.Errorf("sending %s %s: %w", r.Method, r.Path, ErrNotAcknowledged)
	case got.Shards.Failed > 0:
		return &CallError{Method: r.Method, Path: r.Path, Endpoint: s.c.endpoints[s.c.endpoint()].Host,
			Err: &ServerError{Status: http.StatusOK, Reason: fmt.Sprintf("%d shards did not do it", got.Shards.Failed)}}
	}
	return nil
}

// params are those of a change: how long the elected master and the other nodes may take.
func (s *Session) params() url.Values { return s.c.params(s.d, "") }

func (s *Session) acknowledged() url.Values {
	v := s.params()
	v.Set("timeout", millis(s.c.o.Timeout))
	return v
}

// list is names as a part of a path. A name that begins with a minus, or is a pattern, would mean something else.
func list(names []string) string {
	escaped := make([]string, 0, len(names))
	for _, n := range names {
		escaped = append(escaped, url.PathEscape(n))
	}
	return "/" + strings.Join(escaped, ",")
}

// CheckNames refuses names of indices that the servers would take for patterns, and more than fit into one line of a request.
func CheckNames(names []string) error {
	for _, n := range names {
		if n == "" || n == "_all" || n == "." || n == ".." || strings.ContainsAny(n, `*?,"<>|\/ #:%&$`) || strings.ContainsAny(n[:1], "-_+") || n != strings.ToLower(n) {
			return fmt.Errorf("%q is not the name of an index: want one name in lower case, no pattern", n)
		}
	}
	if n := len(list(names)); n > maxPath {
		return fmt.Errorf("%d names of indices take %d bytes of one request, which may have %d: take fewer at once", len(names), n, maxPath)
	}
	return nil
}

// BlockWrites keeps documents out of indices. Where the server has a call for it, that waits for writes that are under way; elsewhere they may still
// land after the answer, so sequence numbers have to be looked at again.
func (s *Session) BlockWrites(names []string) Request {
	if s.Can(state.WriteBlockAPI) {
		return Request{Method: http.MethodPut, Path: list(names) + "/_block/write", Query: s.acknowledged()}
	}
	return s.SetIndex(names, map[string]any{"index.blocks.write": true})
}

// SetIndex changes settings of indices.
func (s *Session) SetIndex(names []string, settings map[string]any) Request {
	return Request{Method: http.MethodPut, Path: list(names) + "/_settings", Query: s.acknowledged(), Body: settings}
}

// Replicas sets how many copies beside the primaries there are.
func (s *Session) Replicas(names []string, n int) Request {
	return s.SetIndex(names, map[string]any{"index.number_of_replicas": n})
}

// Flush writes all documents into files; Refresh makes all of them count.
func (s *Session) Flush(names []string) Request {
	return Request{Method: http.MethodPost, Path: list(names) + "/_flush", Query: url.Values{"wait_if_ongoing": {"true"}}}
}

// Refresh makes all documents searchable, so that counts are exact.
func (s *Session) Refresh(names []string) Request {
	return Request{Method: http.MethodPost, Path: list(names) + "/_refresh"}
}

// DeleteIndex deletes one index.
func (s *Session) DeleteIndex(name string) Request {
	return Request{Method: http.MethodDelete, Path: list([]string{name}), Query: s.acknowledged()}
}

// Copy is one index as it is now, as far as its data goes.
type Copy struct {
	Name, UUID string
	Created    time.Time
	Primaries  int
	Replicas   int
	// Started are the primaries that answered; fewer than Primaries where the index is red.
	Started int
	// Docs and MaxSeqNos are of the primaries, by shard; -1 for one that did not answer.
	Docs      []int64
	MaxSeqNos []int64
	// Blocked says that the write block stands.
	Blocked bool
}

// Total counts the documents of all shards that answered.
func (x *Copy) Total() (n int64) {
	for _, d := range x.Docs {
		n += max(d, 0)
	}
	return n
}

// Copies looks at indices by their names; one that is not there is not in the answer. A closed one answers for no shard.
func (s *Session) Copies(ctx context.Context, names []string) (map[string]*Copy, error) {
	found := map[string]*Copy{}
	type entry struct {
		Settings struct {
			Index map[string]any `json:"index"`
		} `json:"settings"`
	}
	const of = "*.settings.index."
	params := s.c.params(s.d, of+"uuid,"+of+"creation_date,"+of+"number_of_shards,"+of+"number_of_replicas,"+of+"blocks")
	params.Set("ignore_unavailable", "true")
	params.Set("expand_wildcards", s.d.everything)
	_, err := s.c.read(ctx, list(names)+"/_settings", params, eachField(func(name string, e entry) {
		if x := newCopy(name, flat(e.Settings.Index)); x != nil {
			found[name] = x
		}
	}))
	if err != nil || len(found) == 0 {
		return found, err
	}
	return found, s.count(ctx, names, found)
}

// maxShardsOfIndex is what servers allow (es.index.max_number_of_shards).
const maxShardsOfIndex = 1024

func newCopy(name string, settings map[string]string) *Copy {
	var created int64
	x := &Copy{Name: name, UUID: settings["uuid"], Blocked: settings["blocks.write"] == "true" || settings["blocks.read_only"] == "true"}
	_, err1 := fmt.Sscan(settings["number_of_shards"], &x.Primaries)
	_, err2 := fmt.Sscan(settings["number_of_replicas"], &x.Replicas)
	_, err3 := fmt.Sscan(settings["creation_date"], &created)
	if errors.Join(err1, err2, err3) != nil || x.UUID == "" || x.Primaries < 1 || x.Primaries > maxShardsOfIndex {
		return nil
	}
	x.Created = time.UnixMilli(created).UTC()
	for range x.Primaries {
		x.Docs, x.MaxSeqNos = append(x.Docs, -1), append(x.MaxSeqNos, -1)
	}
	return x
}

// count asks the shards of a few named indices for their documents and sequence numbers.
func (s *Session) count(ctx context.Context, names []string, found map[string]*Copy) error {
	var got struct {
		Indices map[string]struct {
			UUID   string `json:"uuid"`
			Shards map[string][]struct {
				Routing struct {
					State   string `json:"state"`
					Primary bool   `json:"primary"`
				} `json:"routing"`
				Docs struct {
					Count int64 `json:"count"`
				} `json:"docs"`
				SeqNo struct {
					Max *int64 `json:"max_seq_no"`
				} `json:"seq_no"`
			} `json:"shards"`
		} `json:"indices"`
	}
	params := url.Values{"level": {"shards"}, "ignore_unavailable": {"true"}, "filter_path": {"indices.*.uuid,indices.*.shards.*.routing.primary," +
		"indices.*.shards.*.routing.state,indices.*.shards.*.docs.count,indices.*.shards.*.seq_no.max_seq_no"}}
	if _, err := s.c.read(ctx, list(names)+"/_stats/docs", params, into(&got)); err != nil {
		return err
	}
	for name, x := range found {
		for number, copies := range got.Indices[name].Shards {
			var n int
			if _, err := fmt.Sscan(number, &n); err != nil || n < 0 || n >= x.Primaries {
				return fmt.Errorf("%s has no shard %s: %w", name, clip(number, 20), ErrBroken)
			}
			for _, c := range copies {
				if !c.Routing.Primary || c.SeqNo.Max == nil || c.Routing.State != "STARTED" && c.Routing.State != "RELOCATING" {
					continue
				}
				x.Started++
				x.Docs[n], x.MaxSeqNos[n] = c.Docs.Count, *c.SeqNo.Max
			}
		}
	}
	return nil
}
