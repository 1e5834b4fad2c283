package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// seriesCount is how many series of hourly indices there are.
const seriesCount = 12

// cluster answers as Elasticsearch 7.17 with x-pack does: the shapes are those of the contract tests of search/client and, for ILM, of its
// documentation. Nothing is kept but numbers: answers are written as they are asked for.
type cluster struct {
	indices, primaries, nodes int
	now                       time.Time
	latency                   time.Duration

	mu    sync.Mutex
	calls int
	bytes int64
}

func newCluster(indices, primaries, nodes int, now time.Time) *cluster {
	return &cluster{indices: indices, primaries: primaries, nodes: nodes, now: now.Truncate(time.Hour)}
}

func (c *cluster) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.bytes = 0, 0
}

// asked is how often, and how many bytes went out before they were packed.
func (c *cluster) asked() (calls int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, c.bytes
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ServeHTTP answers one call, packed where that is asked for.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
		return
	case <-time.After(c.latency):
	}
	write := c.answer(r.URL.Path)
	if write == nil {
		w.WriteHeader(http.StatusNotFound)
		write = func(w io.Writer) {
			fmt.Fprint(w, `{"error":{"type":"resource_not_found_exception","reason":"no such thing"},"status":404}`)
		}
	}
	var out io.Writer = w
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		packed, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		defer func() { _ = packed.Close() }() // who asked may be gone
		out = packed
	}
	count := &counter{w: out}
	buffered := bufio.NewWriterSize(count, 64<<10)
	write(buffered)
	_ = buffered.Flush() // who asked may be gone
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.bytes = c.calls+1, c.bytes+count.n
}

// answer finds what is written for a path; nil for one that is not known.
func (c *cluster) answer(path string) func(io.Writer) {
	plain := map[string]string{
		"/":                           `{"cluster_name":"game-logs","cluster_uuid":"u","version":{"number":"7.17.0","build_flavor":"default"},"tagline":"You Know, for Search"}`,
		"/_nodes/_local":              `{"cluster_name":"game-logs","nodes":{"id-0":{"version":"7.17.0","build_flavor":"default","modules":[{"name":"x-pack-ilm","elasticsearch_version":"7.17.0"}],"plugins":[]}}}`,
		"/_cluster/state/master_node": `{"master_node":"id-0"}`,
		"/_cluster/settings": `{"persistent":{"cluster":{"routing":{"allocation":{"node_concurrent_recoveries":"50"}},"max_shards_per_node":"20000"}},"transient":{},` +
			`"defaults":{"cluster":{"routing":{"allocation":{"disk":{"watermark":{"low":"85%","high":"90%","flood_stage":"95%"}}}}}}}`,
		"/_template":              `{"game":{"order":1,"index_patterns":["game-*"],"settings":{"index":{"number_of_shards":"5","refresh_interval":"30s"}},"aliases":{"game":{}}}}`,
		"/_component_template":    `{"component_templates":[]}`,
		"/_index_template":        `{"index_templates":[]}`,
		"/_data_stream":           `{"data_streams":[]}`,
		"/_ilm/policy":            `{"logs":{"policy":{"phases":{"warm":{"min_age":"15d","actions":{"shrink":{}}},"delete":{"min_age":"365d","actions":{"delete":{}}}}}}}`,
		"/_slm/policy":            `{}`,
		"/_snapshot":              `{"cos":{"type":"s3","settings":{"bucket":"logs"}}}`,
		"/_cluster/pending_tasks": `{"tasks":[{"source":"create-index [game-01], cause [api]","time_in_queue_millis":400}]}`,
		"/_license":               `{"license":{"type":"basic","status":"active"}}`,
	}
	if text, ok := plain[path]; ok {
		return func(w io.Writer) { fmt.Fprint(w, text) }
	}
	lists := map[string]func(io.Writer){
		"/_cluster/health": c.health, "/_cat/allocation": c.allocation, "/_cat/indices": c.catIndices, "/_all/_settings": c.indexSettings, "/_alias": c.aliases,
		"/_snapshot/cos/_all": c.snapshots, "/*/_ilm/explain": c.explain, "/_nodes/settings,os,process,jvm,thread_pool": c.nodeInfo,
		"/_nodes/stats/indices,os,process,jvm,fs,thread_pool/indexing": c.nodeStats,
	}
	if write, ok := lists[path]; ok {
		return write
	}
	if names, ok := strings.CutPrefix(path, "/_cat/shards/"); ok {
		return func(w io.Writer) { c.catShards(w, strings.Split(names, ",")) }
	}
	return nil
}

// name is an index: the newest hours of all series first.
func (c *cluster) name(i int) string {
	return fmt.Sprintf("game-%02d-%s", i%seriesCount+1, c.start(i).Format("2006.01.02.15"))
}

func (c *cluster) start(i int) time.Time {
	return c.now.Add(-time.Duration(i/seriesCount) * time.Hour)
}

// created: indices were made an hour ahead up to now, and the next ones are missing.
func (c *cluster) created(i int) int64 { return c.start(i).Add(-time.Hour).UnixMilli() }

// each writes a list or the fields of an object, with commas between.
func each(w io.Writer, open string, n int, closing string, one func(int)) {
	fmt.Fprint(w, open)
	for i := range n {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		one(i)
	}
	fmt.Fprint(w, closing)
}

func (c *cluster) health(w io.Writer) {
	shards := c.indices * c.primaries * 2
	fmt.Fprintf(w, `{"cluster_name":"game-logs","status":"green","number_of_nodes":%d,"number_of_data_nodes":%d,"active_primary_shards":%d,"active_shards":%d,"number_of_pending_tasks":1,`,
		c.nodes+3, c.nodes, shards/2, shards)
	each(w, `"indices":{`, c.indices, "}}", func(i int) {
		fmt.Fprintf(w, `"%s":{"status":"green","number_of_shards":%d,"number_of_replicas":1,"active_primary_shards":%d,"active_shards":%d,"relocating_shards":0,"initializing_shards":0,"unassigned_shards":0}`,
			c.name(i), c.primaries, c.primaries, c.primaries*2)
	})
}

func (c *cluster) catIndices(w io.Writer) {
	each(w, "[", c.indices, "]", func(i int) {
		fmt.Fprintf(w, `{"index":"%s","uuid":"uuid-%018d","health":"green","status":"open","pri":"%d","rep":"1","docs.count":"%d","store.size":"%d","pri.store.size":"%d","creation.date":"%d"}`,
			c.name(i), i, c.primaries, 40_000_000+i%1000, int64(60e9), int64(30e9), c.created(i))
	})
}

// indexSettings sends newer indices to hot nodes, older ones to warm ones, and leaves a filter of a shrink behind in some.
func (c *cluster) indexSettings(w io.Writer) {
	each(w, "{", c.indices, "}", func(i int) {
		filter := `"require":{"tier":"warm"}`
		if i < c.indices/20 {
			filter = `"require":{"tier":"hot"}`
		}
		if i%997 == 996 {
			filter = `"require":{"tier":"warm","_name":"gone-1"}`
		}
		fmt.Fprintf(w, `"%s":{"settings":{"index":{"number_of_shards":"%d","number_of_replicas":"1","lifecycle":{"name":"logs"},"routing":{"allocation":{%s,"include":{"_tier_preference":"data_content"}}}}}}`,
			c.name(i), c.primaries, filter)
	})
}

func (c *cluster) aliases(w io.Writer) {
	each(w, "{", c.indices, "}", func(i int) { fmt.Fprintf(w, `"%s":{"aliases":{"game-%02d":{}}}`, c.name(i), i%seriesCount+1) })
}

func (c *cluster) explain(w io.Writer) {
	each(w, `{"indices":{`, c.indices, "}}", func(i int) {
		fmt.Fprintf(w, `"%s":{"policy":"logs","lifecycle_date_millis":%d,"phase":"hot","action":"complete","step":"complete"}`, c.name(i), c.created(i))
	})
}

// snapshots are one a day, each with the indices of its day.
func (c *cluster) snapshots(w io.Writer) {
	const perDay = 24 * seriesCount
	each(w, `{"snapshots":[`, c.indices/perDay, "]}", func(day int) {
		fmt.Fprintf(w, `{"snapshot":"daily-%d","uuid":"s%d","state":"SUCCESS",`, day, day)
		each(w, `"indices":[`, perDay, "]}", func(i int) { fmt.Fprintf(w, `"%s"`, c.name((day+1)*perDay-1-i)) })
	})
}

// nodeName is a master below 3, then a tenth of hot nodes, then warm ones.
func (c *cluster) nodeName(i int) (name, tier string) {
	switch {
	case i < 3:
		return fmt.Sprintf("master-%d", i+1), ""
	case i < 3+max(c.nodes/5, 1):
		return fmt.Sprintf("hot-%d", i-2), "hot"
	}
	return fmt.Sprintf("warm-%d", i-2), "warm"
}

func (c *cluster) nodeInfo(w io.Writer) {
	each(w, `{"nodes":{`, c.nodes+3, "}}", func(i int) {
		name, tier := c.nodeName(i)
		role := "data"
		if tier == "" {
			role = "master"
		}
		fmt.Fprintf(w, `"id-%d":{"name":"%s","host":"10.0.0.%d","ip":"10.0.0.%d","version":"7.17.0","roles":["%s"],"attributes":{"tier":"%s"},"settings":{"path":{"home":"/usr/share/es"}},`+
			`"os":{"allocated_processors":16},"jvm":{"version":"17","start_time_in_millis":1760000000000,"input_arguments":["-XX:+HeapDumpOnOutOfMemoryError","-XX:HeapDumpPath=/data/es"],`+
			`"mem":{"heap_max_in_bytes":33285996544}},"process":{"mlockall":true},"thread_pool":{"write":{"size":16},"generic":{"max":128},"search":{"size":25},"management":{"max":5},"snapshot":{"max":5}}}`,
			i, name, i, i, role, tier)
	})
}

func (c *cluster) nodeStats(w io.Writer) {
	each(w, `{"nodes":{`, c.nodes+3, "}}", func(i int) {
		fmt.Fprintf(w, `"id-%d":{"indices":{"indexing":{"index_total":%d}},"os":{"cpu":{"percent":40,"load_average":{"1m":3.5}},"mem":{"total_in_bytes":67436032000,"used_in_bytes":60436032000},`+
			`"swap":{"used_in_bytes":0}},"process":{"max_file_descriptors":65536,"cpu":{"percent":38}},"jvm":{"mem":{"heap_used_in_bytes":17285996544},"gc":{"collectors":{"old":{"collection_count":3,"collection_time_in_millis":900}}}},`+
			`"fs":{"total":{"total_in_bytes":72000000000000,"available_in_bytes":20000000000000},"data":[{"path":"/data/es/nodes/0","mount":"/data (/dev/vdb)","type":"ext4","total_in_bytes":72000000000000,"available_in_bytes":20000000000000}]},`+
			`"thread_pool":{"write":{"queue":0,"active":3,"rejected":0},"generic":{"queue":0,"active":9,"rejected":0}}}`, i, 1_000_000+i)
	})
}

func (c *cluster) allocation(w io.Writer) {
	each(w, "[", c.nodes, "]", func(i int) {
		name, _ := c.nodeName(i + 3)
		fmt.Fprintf(w, `{"node":"%s","shards":"%d","disk.indices":"51000000000000"}`, name, c.indices*c.primaries*2/c.nodes)
	})
}

func (c *cluster) catShards(w io.Writer, names []string) {
	shards := c.primaries * 2
	each(w, "[", len(names)*shards, "]", func(i int) {
		kind := "p"
		if i%2 == 1 {
			kind = "r"
		}
		node, _ := c.nodeName(3 + i%max(c.nodes/5, 1))
		fmt.Fprintf(w, `{"index":"%s","prirep":"%s","state":"STARTED","store":"6000000000","node":"%s"}`, names[i/shards], kind, node)
	})
}
