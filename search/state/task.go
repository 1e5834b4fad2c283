package state

// Tasks are what waits for the elected master (_cluster/pending_tasks).
type Tasks struct {
	Count int `json:"count"`
	// MaxWaitMillis is how long the oldest waits.
	MaxWaitMillis int64 `json:"maxWaitMillis"`
	// OldestCreateIndexMillis and OldestPutMappingMillis are the waits of the oldest of these; 0 when none waits.
	OldestCreateIndexMillis int64 `json:"oldestCreateIndexMillis"`
	OldestPutMappingMillis  int64 `json:"oldestPutMappingMillis"`
	// Kinds counts them by the first word of their source: create-index, shard-started, put-mapping, ilm-…
	Kinds map[string]int `json:"kinds,omitempty"`
}

// Recovery is a shard that is on its way.
type Recovery struct {
	Index string `json:"index"`
	Shard int    `json:"shard"`
	// Type is peer, snapshot, local_shards, empty_store, existing_store.
	Type  string `json:"type"`
	Stage string `json:"stage,omitempty"`
	// Source and Target are names of nodes.
	Source     string `json:"source,omitempty"`
	Target     string `json:"target,omitempty"`
	BytesTotal int64  `json:"bytesTotal"`
	BytesDone  int64  `json:"bytesDone"`
	Millis     int64  `json:"millis"`
}
