package state

import (
	"slices"
	"time"
)

// Schema is the form of a recorded state; it grows when a reader of an older one would misunderstand it.
const Schema = 1

// Product is who wrote the server.
type Product string

// Products.
const (
	Elasticsearch Product = "Elasticsearch"
	OpenSearch    Product = "OpenSearch"
)

// Flavour is what was built of it: version.build_flavor of Elasticsearch, or what stands in its place.
type Flavour string

// Flavours.
const (
	FlavourDefault    Flavour = "default"    // Elasticsearch with x-pack, under whatever licence
	FlavourOSS        Flavour = "oss"        // Elasticsearch without x-pack, up to 7.10
	FlavourUnknown    Flavour = "unknown"    // a build that does not say, such as the zip of integration tests
	FlavourOpenSearch Flavour = "opensearch" // OpenSearch has one; its plugins differ
)

// Cluster is one look at a search cluster.
type Cluster struct {
	// Schema is the form of this value, for recorded ones.
	Schema int `json:"schema"`
	// TakenAt is when the look began, by the clock of who looked.
	TakenAt time.Time `json:"takenAt"`
	Name    string    `json:"name"`
	UUID    string    `json:"uuid,omitempty"`
	Product Product   `json:"product"`
	// Version is the true one, such as 6.8.23, also where an OpenSearch is told to say 7.10.2 and that could be found out.
	Version string  `json:"version"`
	Flavour Flavour `json:"flavour,omitempty"`
	// Capabilities say what was probed; one that is not listed was not looked for.
	Capabilities map[Capability]Support `json:"capabilities,omitempty"`
	Health       Health                 `json:"health"`
	// ElectedMaster is the name of the node that is master now; empty when there is none.
	ElectedMaster string `json:"electedMaster,omitempty"`
	Nodes         []Node `json:"nodes"`
	// Indices holds every index, system and closed ones too, by name.
	Indices []Index `json:"indices"`
	// Shards says where shards lie. At scale only some indices are listed (those of the newest slots, those that are not green); an index that
	// occurs here is listed whole.
	Shards       []ShardGroup `json:"shards,omitempty"`
	Settings     Settings     `json:"settings"`
	Templates    []Template   `json:"templates,omitempty"`
	Aliases      []Alias      `json:"aliases,omitempty"`
	DataStreams  []DataStream `json:"dataStreams,omitempty"`
	Policies     []Policy     `json:"policies,omitempty"`
	Repositories []Repository `json:"repositories,omitempty"`
	Snapshots    []Snapshot   `json:"snapshots,omitempty"`
	Tasks        Tasks        `json:"tasks"`
	// Recoveries are those under way now.
	Recoveries []Recovery `json:"recoveries,omitempty"`
	// Unseen is what could not be asked, and why.
	Unseen []Unseen `json:"unseen,omitempty"`
}

// Part is a part of a look that can fail by itself.
type Part string

// Parts of a look.
const (
	PartNodes        Part = "nodes"
	PartNodeStats    Part = "nodeStats"
	PartIndices      Part = "indices"
	PartIndexConfig  Part = "indexSettings"
	PartShards       Part = "shards"
	PartSettings     Part = "settings"
	PartTemplates    Part = "templates"
	PartAliases      Part = "aliases"
	PartDataStreams  Part = "dataStreams"
	PartPolicies     Part = "policies"
	PartPolicyState  Part = "policyState"
	PartRepositories Part = "repositories"
	PartSnapshots    Part = "snapshots"
	PartTasks        Part = "tasks"
	PartRecoveries   Part = "recoveries"
)

// Unseen is a part that could not be asked.
type Unseen struct {
	Part Part `json:"part"`
	// Why is one sentence, without secrets: the status and the reason of the server, or that the product has no such thing.
	Why string `json:"why"`
}

// WhyUnseen says why a part is missing; false when it was seen.
func (c *Cluster) WhyUnseen(p Part) (string, bool) {
	i := slices.IndexFunc(c.Unseen, func(u Unseen) bool { return u.Part == p })
	if i < 0 {
		return "", false
	}
	return c.Unseen[i].Why, true
}

// Health is _cluster/health.
type Health struct {
	// Status is green, yellow or red.
	Status              string `json:"status"`
	Nodes               int    `json:"nodes"`
	DataNodes           int    `json:"dataNodes"`
	ActivePrimaries     int    `json:"activePrimaries"`
	ActiveShards        int    `json:"activeShards"`
	RelocatingShards    int    `json:"relocatingShards"`
	InitializingShards  int    `json:"initializingShards"`
	UnassignedShards    int    `json:"unassignedShards"`
	DelayedShards       int    `json:"delayedShards"`
	PendingTasks        int    `json:"pendingTasks"`
	InFlightFetches     int    `json:"inFlightFetches"`
	MaxTaskWaitedMillis int64  `json:"maxTaskWaitedMillis"`
}

// Settings are the settings of the cluster, flat (cluster.routing.allocation.enable), values as the server writes them. Lists are joined by commas.
type Settings struct {
	Persistent map[string]string `json:"persistent,omitempty"`
	Transient  map[string]string `json:"transient,omitempty"`
	// Defaults are those that are in force where nobody set anything: of elasticsearch.yml, and of the program. It may be empty.
	Defaults map[string]string `json:"defaults,omitempty"`
}

// Source is where a value of a setting comes from.
type Source string

// Sources of a setting, the strongest first.
const (
	FromTransient  Source = "transient"
	FromPersistent Source = "persistent"
	FromDefaults   Source = "default"
	FromNowhere    Source = ""
)

// Get is the value that is in force and where it comes from.
func (s Settings) Get(key string) (string, Source) {
	for _, of := range []struct {
		values map[string]string
		source Source
	}{{s.Transient, FromTransient}, {s.Persistent, FromPersistent}, {s.Defaults, FromDefaults}} {
		if v, ok := of.values[key]; ok {
			return v, of.source
		}
	}
	return "", FromNowhere
}
