package state

import "strings"

// Index is one index, by whatever name; its slot is not parsed.
type Index struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
	// Health is green, yellow or red; empty for a closed index of a server that does not replicate closed ones.
	Health string `json:"health,omitempty"`
	// Closed indices have no documents and bytes to tell.
	Closed bool `json:"closed,omitempty"`
	Frozen bool `json:"frozen,omitempty"`
	// Mounted is the repository that the index is searched from; empty for an index of its own bytes.
	Mounted string `json:"mounted,omitempty"`
	// Hidden is index.hidden; system indices of older servers begin with a dot instead.
	Hidden    bool `json:"hidden,omitempty"`
	Primaries int  `json:"primaries"`
	Replicas  int  `json:"replicas"`
	// AutoExpandReplicas is index.auto_expand_replicas such as 0-1; empty for false.
	AutoExpandReplicas string `json:"autoExpandReplicas,omitempty"`
	// Docs counts those of the primaries, without deleted ones; -1 when not told.
	Docs int64 `json:"docs"`
	// Bytes is of all copies, PrimaryBytes of the primaries; -1 when not told.
	Bytes        int64 `json:"bytes"`
	PrimaryBytes int64 `json:"primaryBytes"`
	// CreatedMillis is the creation date, milliseconds since 1970. A restored or shrunk index has one of its own.
	CreatedMillis int64 `json:"createdMillis"`
	// Counts of shards by their state; all zero where they were not told.
	Counts ShardCounts `json:"counts"`
	// Filters are the settings below index.routing.allocation: require._name, include.tier, exclude._ip, total_shards_per_node.
	Filters map[string]string `json:"filters,omitempty"`
	// TierPreference is index.routing.allocation.include._tier_preference, which is not in Filters.
	TierPreference string `json:"tierPreference,omitempty"`
	// Blocks are those settings below index.blocks that are true: write, read_only, read_only_allow_delete, metadata.
	Blocks []string `json:"blocks,omitempty"`
	// ResizedFrom is index.resize.source.name or index.shrink.source.name; empty for an index that is no shrunk, split or cloned one.
	ResizedFrom string `json:"resizedFrom,omitempty"`
	// Policy is the lifecycle policy that is attached by somebody else.
	Policy *Attachment `json:"policy,omitempty"`
}

// ShardCounts are shards by their state. A relocating one counts once, as relocating.
type ShardCounts struct {
	Started      int `json:"started"`
	Relocating   int `json:"relocating,omitempty"`
	Initializing int `json:"initializing,omitempty"`
	Unassigned   int `json:"unassigned,omitempty"`
}

// Shards is how many shards the index has by its settings, replicas included.
func (i *Index) Shards() int { return i.Primaries * (1 + i.Replicas) }

// System says that the index is one of the server's or of a plugin's, which no policy for logs should touch.
func (i *Index) System() bool {
	return i.Name == "security-auditlog" || strings.HasPrefix(i.Name, ".") && !strings.HasPrefix(i.Name, ".ds-")
}

// Attachment is an index under a lifecycle policy of ILM or ISM, and where it stands.
type Attachment struct {
	Kind   PolicyKind `json:"kind"`
	Policy string     `json:"policy"`
	// Phase, Action and Step (ILM), or State, Action and Step (ISM); empty where they were not asked.
	Phase  string `json:"phase,omitempty"`
	Action string `json:"action,omitempty"`
	Step   string `json:"step,omitempty"`
	// Failed says that it stands on an error; Why is the server's reason.
	Failed bool   `json:"failed,omitempty"`
	Why    string `json:"why,omitempty"`
	// OriginMillis is the time from which ages are counted, since 1970; 0 where it was not told (then it is the creation date).
	OriginMillis int64 `json:"originMillis,omitempty"`
}

// ShardState is the state of a shard.
type ShardState string

// States of shards, as the servers write them.
const (
	Started      ShardState = "STARTED"
	Relocating   ShardState = "RELOCATING"
	Initializing ShardState = "INITIALIZING"
	Unassigned   ShardState = "UNASSIGNED"
)

// ShardGroup is all shards of one index on one node in one state.
type ShardGroup struct {
	Index string `json:"index"`
	// Node is a name; empty for unassigned shards.
	Node      string     `json:"node,omitempty"`
	State     ShardState `json:"state"`
	Primaries int        `json:"primaries,omitempty"`
	Replicas  int        `json:"replicas,omitempty"`
	Bytes     int64      `json:"bytes,omitempty"`
}

// Alias is one alias of one index.
type Alias struct {
	Name  string `json:"name"`
	Index string `json:"index"`
	// WriteIndex is is_write_index.
	WriteIndex bool `json:"writeIndex,omitempty"`
	// Filtered aliases show a part of their index.
	Filtered bool `json:"filtered,omitempty"`
}

// DataStream is a data stream with its backing indices, the one that is written last.
type DataStream struct {
	Name    string   `json:"name"`
	Indices []string `json:"indices"`
	// Template is the index template that made it.
	Template string `json:"template,omitempty"`
}

// Template is what new indices get.
type Template struct {
	Name string `json:"name"`
	// Legacy templates are those of _template; Composable ones hide them.
	Legacy   bool     `json:"legacy,omitempty"`
	Patterns []string `json:"patterns"`
	// Priority is priority, or order of a legacy one.
	Priority int64 `json:"priority"`
	// Settings are flat, with index. before them. Of a composable one those of its components are merged in.
	Settings map[string]string `json:"settings,omitempty"`
	// Aliases that new indices join.
	Aliases []string `json:"aliases,omitempty"`
	// DataStream says that new names become data streams.
	DataStream bool `json:"dataStream,omitempty"`
}
