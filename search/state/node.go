package state

import (
	"slices"
	"strings"
)

// Node is one server of the cluster.
type Node struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Host    string `json:"host,omitempty"`
	IP      string `json:"ip,omitempty"`
	Version string `json:"version"`
	// Roles in the words of the server: master or cluster_manager, data, data_hot, ingest, search, warm, voting_only.
	Roles []string `json:"roles"`
	// Attributes are node.attr.*, without those that the server sets itself (xpack.*, ml.*, transform.*, shard_indexing_pressure_enabled).
	Attributes  map[string]string `json:"attributes,omitempty"`
	JavaVersion string            `json:"javaVersion,omitempty"`
	// Processors is what the server counts with; it may be set lower than the machine has.
	Processors     int   `json:"processors"`
	StartedMillis  int64 `json:"startedMillis,omitempty"` // since 1970
	HeapMaxBytes   int64 `json:"heapMaxBytes"`
	HeapUsedBytes  int64 `json:"heapUsedBytes"`
	MemTotalBytes  int64 `json:"memTotalBytes"`
	MemUsedBytes   int64 `json:"memUsedBytes"`
	SwapUsedBytes  int64 `json:"swapUsedBytes"`
	OldGCMillis    int64 `json:"oldGCMillis"` // all collections of the old generation since the start
	OldGCCount     int64 `json:"oldGCCount"`
	MemoryLocked   bool  `json:"memoryLocked"`
	MaxOpenFiles   int64 `json:"maxOpenFiles"`
	DiskTotalBytes int64 `json:"diskTotalBytes"`
	// DiskFreeBytes is what is available to the server's user.
	DiskFreeBytes int64 `json:"diskFreeBytes"`
	// ShardBytes is what the shards of this node take on disk; the rest of what is used is something else.
	ShardBytes int64 `json:"shardBytes"`
	// Shards is the count of shards that lie here, in any state.
	Shards int `json:"shards"`
	// Load1 is the load average of one minute; -1 where the server does not tell.
	Load1 float64 `json:"load1"`
	// CPUPercent is of the whole machine, ProcessCPUPercent of the server alone, both of all processors; -1 where not told.
	CPUPercent        int `json:"cpuPercent"`
	ProcessCPUPercent int `json:"processCPUPercent"`
	// DataPaths are where the data lie.
	DataPaths []DataPath `json:"dataPaths,omitempty"`
	// HeapDumpPath is -XX:HeapDumpPath, HeapDumps whether -XX:+HeapDumpOnOutOfMemoryError is given. Other arguments are not kept: some hold secrets.
	HeapDumpPath string `json:"heapDumpPath,omitempty"`
	HeapDumps    bool   `json:"heapDumps"`
	// HomePath is where a relative HeapDumpPath begins (path.home); empty when not told.
	HomePath string `json:"homePath,omitempty"`
	// Pools are the thread pools write, search, generic, management and snapshot.
	Pools map[string]Pool `json:"pools,omitempty"`
	// IndexedDocs is the count of index operations since the start, for rates between two looks.
	IndexedDocs int64 `json:"indexedDocs"`
}

// DataPath is one directory of data and the file system that it lies on.
type DataPath struct {
	Path       string `json:"path"`
	Mount      string `json:"mount,omitempty"`
	Type       string `json:"type,omitempty"`
	TotalBytes int64  `json:"totalBytes"`
	FreeBytes  int64  `json:"freeBytes"`
}

// Pool is a thread pool of a node.
type Pool struct {
	// Size is the largest number of threads.
	Size     int   `json:"size"`
	Active   int   `json:"active"`
	Queue    int   `json:"queue"`
	Rejected int64 `json:"rejected"` // since the start
}

// MasterEligible says whether the node can be elected.
func (n *Node) MasterEligible() bool {
	return (n.has("master") || n.has("cluster_manager")) && !n.has("voting_only")
}

// HoldsData says whether ordinary shards can lie here.
func (n *Node) HoldsData() bool {
	return slices.ContainsFunc(n.Roles, func(r string) bool {
		return r == "data" || strings.HasPrefix(r, "data_") && r != "data_frozen"
	})
}

func (n *Node) has(role string) bool { return slices.Contains(n.Roles, role) }

// HasRole says whether a node has a role by its name.
func (n *Node) HasRole(role string) bool { return n.has(role) }
