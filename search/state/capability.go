package state

// Capability is something that not every server can do. It is probed from product, version and flavour, never from the version alone.
type Capability string

// Capabilities that a plan chooses by; research of the products' documentation and of their servers says since when each is there.
const (
	ILM                 Capability = "ilm"                 // Elasticsearch 6.6, with x-pack
	SLM                 Capability = "slm"                 // Elasticsearch 7.4, with x-pack
	ISM                 Capability = "ism"                 // OpenSearch, with its plugin
	SM                  Capability = "sm"                  // OpenSearch 2.1, with its plugin
	Freeze              Capability = "freeze"              // Elasticsearch 6.6 to 7, with x-pack
	SearchableSnapshots Capability = "searchableSnapshots" // Elasticsearch 7.10, Enterprise
	RemoteSnapshots     Capability = "remoteSnapshots"     // OpenSearch 2.4, nodes with the role search or warm
	DataTiers           Capability = "dataTiers"           // data_hot and _tier_preference: Elasticsearch 7.10, with x-pack
	DataStreams         Capability = "dataStreams"         // Elasticsearch 7.9, with x-pack; OpenSearch 1.0
	ModifyDataStream    Capability = "modifyDataStream"    // Elasticsearch 7.16
	ComposableTemplates Capability = "composableTemplates" // Elasticsearch 7.8, OpenSearch
	WriteBlockAPI       Capability = "writeBlockAPI"       // Elasticsearch 7.9, OpenSearch
	ShrinkBySize        Capability = "shrinkBySize"        // Elasticsearch 7.12, OpenSearch 2.5
	CloneIndex          Capability = "cloneIndex"          // Elasticsearch 7.4, OpenSearch
	ConcurrentSnapshots Capability = "concurrentSnapshots" // Elasticsearch 7.9, OpenSearch
	CreateIndexBlock    Capability = "createIndexBlock"    // cluster.blocks.create_index: OpenSearch 2
	NodeShutdown        Capability = "nodeShutdown"        // Elasticsearch 7.15, with x-pack
	MappingTypes        Capability = "mappingTypes"        // Elasticsearch 6, 7 with include_type_name
	Security            Capability = "security"            // users and roles are asked for
)

// Support says whether a capability is there.
type Support string

// Supports.
const (
	Yes Support = "Yes"
	No  Support = "No"
	// Unsure is what was looked for and not found out.
	Unsure Support = "Unsure"
)

// Can says whether the cluster has a capability for certain.
func (c *Cluster) Can(what Capability) bool { return c.Capabilities[what] == Yes }
