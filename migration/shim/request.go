package shim

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

const (
	maxRequest = 1 << 20
	maxQueries = 1000
)

// errRequest is a request that no Prometheus makes.
var errRequest = errors.New("the request is broken")

// question is a request, cut to what the source may be asked.
type question struct {
	queries  int // in the request
	streamed bool
	// ask is what is left for the source; nil: nothing. from gives for each of its queries the one of the request.
	ask  *prompb.ReadRequest
	from []int
	away int // queries that lie behind the boundary
}

func readQuestion(body io.Reader, at int64, external map[string]string) (*question, error) {
	packed, err := io.ReadAll(io.LimitReader(body, maxRequest+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(packed) > maxRequest {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errRequest, maxRequest)
	}
	return parseQuestion(packed, at, external)
}

func parseQuestion(packed []byte, at int64, external map[string]string) (*question, error) {
	n, err := snappy.DecodedLen(packed)
	if err != nil || n > 4*maxRequest {
		return nil, fmt.Errorf("%w: it is not compressed as it should, or larger than %d bytes", errRequest, 4*maxRequest)
	}
	data, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	var req prompb.ReadRequest
	if err := req.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(req.Queries) > maxQueries {
		return nil, fmt.Errorf("%w: it holds %d queries, more than %d", errRequest, len(req.Queries), maxQueries)
	}
	q := &question{queries: len(req.Queries), streamed: slices.Contains(req.AcceptedResponseTypes, prompb.ReadRequest_STREAMED_XOR_CHUNKS)}
	types := []prompb.ReadRequest_ResponseType{prompb.ReadRequest_SAMPLES}
	if q.streamed {
		types = []prompb.ReadRequest_ResponseType{prompb.ReadRequest_STREAMED_XOR_CHUNKS, prompb.ReadRequest_SAMPLES}
	}
	ask := &prompb.ReadRequest{AcceptedResponseTypes: types}
	for i, query := range req.Queries {
		if !cutQuery(query, at) {
			q.away++
			continue
		}
		askStored(query.Matchers, external)
		ask.Queries, q.from = append(ask.Queries, query), append(q.from, i)
	}
	if len(ask.Queries) > 0 {
		q.ask = ask
	}
	return q, nil
}

// cutQuery ends a query before the boundary; false: nothing of it is left. The hints too: a server reads by them
// (tsdb/querier.go, blockQuerier.Select).
func cutQuery(q *prompb.Query, at int64) bool {
	q.EndTimestampMs = min(q.EndTimestampMs, at-1)
	if h := q.Hints; h != nil && (h.StartMs != 0 || h.EndMs != 0) {
		h.EndMs = min(h.EndMs, at-1)
		if h.StartMs > h.EndMs {
			return false
		}
	}
	return q.StartTimestampMs <= q.EndTimestampMs
}

// askStored has a matcher ask for what is stored: a server takes {cluster="a"} as {cluster=""} where that is its external label
// (storage/remote/read_handler.go, filterExtLabelsFromMatchers), and only for equality.
func askStored(matchers []*prompb.LabelMatcher, external map[string]string) {
	for _, m := range matchers {
		if value, ok := external[m.Name]; ok && m.Type == prompb.LabelMatcher_EQ && m.Value == value && value != "" {
			m.Type, m.Value = prompb.LabelMatcher_RE, regexp.QuoteMeta(value)
		}
	}
}
