package state

// PolicyKind is which engine runs a policy.
type PolicyKind string

// Kinds of policies.
const (
	KindILM PolicyKind = "ILM"
	KindISM PolicyKind = "ISM"
	KindSLM PolicyKind = "SLM"
	KindSM  PolicyKind = "SM"
)

// Policy is a lifecycle or snapshot policy of the server's own engines.
type Policy struct {
	Kind PolicyKind `json:"kind"`
	Name string     `json:"name"`
	// Steps are its phases or states with the age at which each begins; none for SLM and SM.
	Steps []PolicyStep `json:"steps,omitempty"`
	// Patterns are the indices that it takes by itself (ism_template) or snapshots (SLM, SM).
	Patterns []string `json:"patterns,omitempty"`
	// Schedule and Repository are of SLM and SM.
	Schedule   string `json:"schedule,omitempty"`
	Repository string `json:"repository,omitempty"`
	// LastFailureMillis and LastSuccessMillis, since 1970, are of SLM and SM; 0 when there was none.
	LastFailureMillis int64 `json:"lastFailureMillis,omitempty"`
	LastSuccessMillis int64 `json:"lastSuccessMillis,omitempty"`
}

// PolicyStep is a phase of ILM or a state of ISM.
type PolicyStep struct {
	Name string `json:"name"`
	// AfterMillis is min_age; -1 when it begins by something else than age (rollover, size, documents).
	AfterMillis int64 `json:"afterMillis"`
	// Actions in the server's words: rollover, shrink, forcemerge, allocate, migrate, searchable_snapshot, freeze, delete, replica_count.
	Actions []string `json:"actions,omitempty"`
}

// Repository is where snapshots lie. Its settings are not kept but for what names the place: some hold secrets.
type Repository struct {
	Name string `json:"name"`
	// Type is fs, s3, cos, hdfs, azure, gcs, url, source.
	Type string `json:"type"`
	// Place is bucket and base_path, or location.
	Place    string `json:"place,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Snapshot is one snapshot, lightly: nobody asked for its shards.
type Snapshot struct {
	Repository string `json:"repository"`
	Name       string `json:"name"`
	UUID       string `json:"uuid,omitempty"`
	// State is SUCCESS, PARTIAL, FAILED, IN_PROGRESS, INCOMPATIBLE.
	State         string `json:"state"`
	StartedMillis int64  `json:"startedMillis"`
	EndedMillis   int64  `json:"endedMillis,omitempty"`
	ShardsTotal   int    `json:"shardsTotal"`
	ShardsFailed  int    `json:"shardsFailed"`
	// Indices is how many it holds, IndexNames which; none where names were not asked for.
	Indices    int      `json:"indices"`
	IndexNames []string `json:"indexNames,omitempty"`
}
