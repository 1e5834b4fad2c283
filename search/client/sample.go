package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
)

// Sampling says which documents are read: from each shard some windows, at places that the seed and the highest sequence number choose.
type Sampling struct {
	Seed uint64
	// Windows per shard, and documents in each; 0: 3 and 50.
	Windows, Documents int
}

// Sample is what was read. Sums of two copies of an index that read the same are equal: IDs, sequence numbers and sources of the sampled documents.
type Sample struct {
	Docs int64  `json:"docs"` // that were read
	Sum  string `json:"sum"`
}

// Sample reads documents of an index in the order of their sequence numbers, which a restored copy keeps. maxSeqNos are those of the original, by shard.
func (s *Session) Sample(ctx context.Context, index string, maxSeqNos []int64, o Sampling) (Sample, error) {
	if o.Windows <= 0 {
		o.Windows = 3
	}
	if o.Documents <= 0 {
		o.Documents = 50
	}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	sum := sha256.New()
	var read Sample
	for shard, top := range maxSeqNos {
		for window := range o.Windows {
			from := int64(0)
			if window > 0 && top > 0 { // the first window begins at the first document
				from = random.Int64N(top + 1)
			}
			hits, err := s.window(ctx, index, shard, from, o.Documents)
			if err != nil {
				return Sample{}, err
			}
			for _, h := range hits {
				fmt.Fprintf(sum, "%d %q %s %q %d ", shard, h.ID, h.Sort, h.Routing, len(h.Source))
				sum.Write(h.Source)
			}
			read.Docs += int64(len(hits))
		}
	}
	read.Sum = hex.EncodeToString(sum.Sum(nil))
	return read, nil
}

type hit struct {
	ID      string          `json:"_id"`
	Routing string          `json:"_routing"`
	Sort    json.RawMessage `json:"sort"`
	Source  json.RawMessage `json:"_source"`
}

// window reads documents of one shard from a sequence number on. A search that a shard has no part in is an error, never an empty window.
func (s *Session) window(ctx context.Context, index string, shard int, from int64, n int) ([]hit, error) {
	var got struct {
		TimedOut bool `json:"timed_out"`
		Shards   struct {
			Successful int `json:"successful"`
			Failed     int `json:"failed"`
		} `json:"_shards"`
		Hits struct {
			Hits []hit `json:"hits"`
		} `json:"hits"`
	}
	path := list([]string{index}) + "/_search"
	params := url.Values{"preference": {fmt.Sprintf("_shards:%d", shard)}, "allow_partial_search_results": {"false"}}
	body := map[string]any{"size": n, "sort": []any{map[string]string{"_seq_no": "asc"}}, "query": map[string]any{"range": map[string]any{"_seq_no": map[string]any{"gte": from}}}}
	if err := s.c.Call(ctx, http.MethodPost, path, params, body, &got); err != nil {
		return nil, err
	}
	if got.TimedOut || got.Shards.Failed > 0 || got.Shards.Successful != 1 {
		return nil, fmt.Errorf("reading shard %d of %s: %d of 1 shards answered (timed out: %t): %w", shard, clip(index, 200), got.Shards.Successful, got.TimedOut, ErrBroken)
	}
	return got.Hits.Hits, nil
}
