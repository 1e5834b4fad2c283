package client

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/search/state"
)

// pools are the thread pools that tell about load.
func pools() []string { return []string{"write", "search", "generic", "management", "snapshot"} }

// poolFilter is filter_path for the pools.
func poolFilter() string {
	var parts []string
	for _, p := range pools() {
		parts = append(parts, "nodes.*.thread_pool."+p)
	}
	return strings.Join(parts, ",")
}

// nodeInfo is what a node says of itself.
type nodeInfo struct {
	Name       string            `json:"name"`
	Host       string            `json:"host"`
	IP         string            `json:"ip"`
	Version    string            `json:"version"`
	Roles      []string          `json:"roles"`
	Attributes map[string]string `json:"attributes"`
	Settings   map[string]any    `json:"settings"`
	OS         struct {
		Allocated int `json:"allocated_processors"`
	} `json:"os"`
	JVM struct {
		Version string   `json:"version"`
		Start   int64    `json:"start_time_in_millis"`
		Args    []string `json:"input_arguments"`
		Mem     struct {
			HeapMax int64 `json:"heap_max_in_bytes"`
		} `json:"mem"`
	} `json:"jvm"`
	Process struct {
		Locked bool `json:"mlockall"`
	} `json:"process"`
	Pools map[string]struct {
		Max  int `json:"max"`
		Size int `json:"size"`
	} `json:"thread_pool"`
}

// nodes asks every node what it is, and who is master.
func (l *look) nodes(ctx context.Context) error {
	params := l.nodeParams("nodes.*.name,nodes.*.host,nodes.*.ip,nodes.*.version,nodes.*.roles,nodes.*.attributes,nodes.*.settings.path.home," +
		"nodes.*.os.allocated_processors,nodes.*.jvm.version,nodes.*.jvm.start_time_in_millis,nodes.*.jvm.input_arguments," +
		"nodes.*.jvm.mem.heap_max_in_bytes,nodes.*.process.mlockall," + poolFilter())
	var got struct {
		Nodes map[string]nodeInfo `json:"nodes"`
	}
	if _, err := l.c.read(ctx, "/_nodes/settings,os,process,jvm,thread_pool", params, into(&got)); err != nil {
		return err
	}
	for id, n := range got.Nodes {
		l.found.Nodes = append(l.found.Nodes, n.state(id))
	}
	var master struct {
		ID string `json:"master_node"`
	}
	if _, err := l.c.read(ctx, "/_cluster/state/master_node", l.c.params(l.d, "master_node"), into(&master)); err != nil {
		return err
	}
	if i := slices.IndexFunc(l.found.Nodes, func(n state.Node) bool { return n.ID == master.ID }); i >= 0 {
		l.found.ElectedMaster = l.found.Nodes[i].Name
	}
	return nil
}

// nodeParams are those of calls that go to every node: one that does not answer in time is left out of the answer.
func (l *look) nodeParams(filter string) map[string][]string {
	return map[string][]string{"timeout": {millis(l.c.o.Timeout)}, "filter_path": {filter}}
}

func (n *nodeInfo) state(id string) state.Node {
	out := state.Node{ID: id, Name: n.Name, Host: n.Host, IP: n.IP, Version: n.Version, Roles: n.Roles, JavaVersion: n.JVM.Version,
		Processors: n.OS.Allocated, StartedMillis: n.JVM.Start, HeapMaxBytes: n.JVM.Mem.HeapMax, MemoryLocked: n.Process.Locked,
		Load1: -1, CPUPercent: -1, ProcessCPUPercent: -1, HomePath: flat(n.Settings)["path.home"]}
	slices.Sort(out.Roles)
	for key, value := range n.Attributes {
		if strings.HasPrefix(key, "xpack.") || strings.HasPrefix(key, "ml.") || strings.HasPrefix(key, "transform.") || key == "shard_indexing_pressure_enabled" {
			continue
		}
		if out.Attributes == nil {
			out.Attributes = map[string]string{}
		}
		out.Attributes[key] = value
	}
	for _, arg := range n.JVM.Args { // the last one counts
		if path, ok := strings.CutPrefix(arg, "-XX:HeapDumpPath="); ok {
			out.HeapDumpPath = path
		}
		switch arg {
		case "-XX:+HeapDumpOnOutOfMemoryError":
			out.HeapDumps = true
		case "-XX:-HeapDumpOnOutOfMemoryError":
			out.HeapDumps = false
		}
	}
	for name, p := range n.Pools {
		if out.Pools == nil {
			out.Pools = map[string]state.Pool{}
		}
		out.Pools[name] = state.Pool{Size: max(p.Max, p.Size)}
	}
	return out
}

// nodeNumbers is how a node is.
type nodeNumbers struct {
	Indices struct {
		Indexing struct {
			Total int64 `json:"index_total"`
		} `json:"indexing"`
	} `json:"indices"`
	OS struct {
		CPU struct {
			Percent *int               `json:"percent"`
			Load    map[string]float64 `json:"load_average"`
		} `json:"cpu"`
		Mem struct {
			Total int64 `json:"total_in_bytes"`
			Used  int64 `json:"used_in_bytes"`
		} `json:"mem"`
		Swap struct {
			Used int64 `json:"used_in_bytes"`
		} `json:"swap"`
	} `json:"os"`
	Process struct {
		MaxFiles int64 `json:"max_file_descriptors"`
		CPU      struct {
			Percent *int `json:"percent"`
		} `json:"cpu"`
	} `json:"process"`
	JVM struct {
		Mem struct {
			HeapUsed int64 `json:"heap_used_in_bytes"`
		} `json:"mem"`
		GC struct {
			Collectors struct {
				Old struct {
					Count  int64 `json:"collection_count"`
					Millis int64 `json:"collection_time_in_millis"`
				} `json:"old"`
			} `json:"collectors"`
		} `json:"gc"`
	} `json:"jvm"`
	FS struct {
		Total struct {
			Total     int64 `json:"total_in_bytes"`
			Available int64 `json:"available_in_bytes"`
		} `json:"total"`
		Data []struct {
			Path      string `json:"path"`
			Mount     string `json:"mount"`
			Type      string `json:"type"`
			Total     int64  `json:"total_in_bytes"`
			Available int64  `json:"available_in_bytes"`
		} `json:"data"`
	} `json:"fs"`
	Pools map[string]struct {
		Queue    int   `json:"queue"`
		Active   int   `json:"active"`
		Rejected int64 `json:"rejected"`
	} `json:"thread_pool"`
}

// nodeStats asks every node how it is. Of its shards only the counter of indexing is asked; what they take on disk comes from _cat/allocation, which
// nodes keep for some seconds.
func (l *look) nodeStats(ctx context.Context) error {
	params := l.nodeParams("nodes.*.indices.indexing.index_total,nodes.*.os.cpu,nodes.*.os.mem.total_in_bytes,nodes.*.os.mem.used_in_bytes," +
		"nodes.*.os.swap.used_in_bytes,nodes.*.process.max_file_descriptors,nodes.*.process.cpu.percent,nodes.*.jvm.mem.heap_used_in_bytes," +
		"nodes.*.jvm.gc.collectors.old,nodes.*.fs.total,nodes.*.fs.data," + poolFilter())
	var got struct {
		Nodes map[string]nodeNumbers `json:"nodes"`
	}
	if _, err := l.c.read(ctx, "/_nodes/stats/indices,os,process,jvm,fs,thread_pool/indexing", params, into(&got)); err != nil {
		return err
	}
	byName := map[string]*state.Node{}
	for i := range l.found.Nodes {
		n := &l.found.Nodes[i]
		byName[n.Name] = n
		if s, ok := got.Nodes[n.ID]; ok {
			s.fill(n)
		}
	}
	type row struct {
		Node   string `json:"node"`
		Shards number `json:"shards"`
		Bytes  number `json:"disk.indices"`
	}
	catParams := map[string][]string{"format": {"json"}, "bytes": {"b"}, "h": {"node,shards,disk.indices"}}
	_, err := l.c.read(ctx, "/_cat/allocation", catParams, each(func(r row) {
		if n := byName[r.Node]; n != nil { // the row UNASSIGNED is no node
			n.Shards, n.ShardBytes = int(r.Shards.or(0)), r.Bytes.or(0)
		}
	}))
	return err
}

func (s *nodeNumbers) fill(n *state.Node) {
	n.HeapUsedBytes, n.MemTotalBytes, n.MemUsedBytes, n.SwapUsedBytes = s.JVM.Mem.HeapUsed, s.OS.Mem.Total, s.OS.Mem.Used, s.OS.Swap.Used
	n.OldGCCount, n.OldGCMillis = s.JVM.GC.Collectors.Old.Count, s.JVM.GC.Collectors.Old.Millis
	n.MaxOpenFiles, n.IndexedDocs = s.Process.MaxFiles, s.Indices.Indexing.Total
	n.DiskTotalBytes, n.DiskFreeBytes = s.FS.Total.Total, s.FS.Total.Available
	if load, ok := s.OS.CPU.Load["1m"]; ok {
		n.Load1 = load
	}
	if s.OS.CPU.Percent != nil {
		n.CPUPercent = *s.OS.CPU.Percent
	}
	if s.Process.CPU.Percent != nil {
		n.ProcessCPUPercent = *s.Process.CPU.Percent
	}
	for _, d := range s.FS.Data {
		n.DataPaths = append(n.DataPaths, state.DataPath{Path: d.Path, Mount: d.Mount, Type: d.Type, TotalBytes: d.Total, FreeBytes: d.Available})
	}
	for name, p := range s.Pools {
		if n.Pools == nil {
			n.Pools = map[string]state.Pool{}
		}
		n.Pools[name] = state.Pool{Size: n.Pools[name].Size, Active: p.Active, Queue: p.Queue, Rejected: p.Rejected}
	}
}

// number is one of _cat: a text, a number, or null where there is none.
type number struct {
	value int64
	known bool
}

// UnmarshalJSON takes what is not a whole number for not told.
func (n *number) UnmarshalJSON(data []byte) error {
	value, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	*n = number{value: value, known: err == nil}
	return nil
}

// or is the number, or what stands for none.
func (n number) or(none int64) int64 {
	if n.known {
		return n.value
	}
	return none
}

var _ json.Unmarshaler = (*number)(nil)
