package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SearchCluster is a cluster of Elasticsearch or OpenSearch: how it is reached, what it is made of, and what its owner wants kept.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=scl,categories=slipway
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.status.product`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.status.shards.open`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type SearchCluster struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says how the cluster is reached and what its owner wants kept.
	// +required
	Spec SearchClusterSpec `json:"spec,omitzero"`
	// status is what was seen. Written by the operator.
	// +optional
	Status SearchClusterStatus `json:"status,omitzero"`
}

// SearchClusterSpec says how the cluster is reached and what its owner wants kept.
type SearchClusterSpec struct {
	// endpoints are addresses of nodes, or of what stands before them. The first that answers is used until it does not. No password belongs into them.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=8
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^https?://[^@\s]+$`
	Endpoints []string `json:"endpoints,omitempty"`
	// auth says who asks. Default: nobody, for a cluster without security.
	// +optional
	Auth *Auth `json:"auth,omitempty"`
	// tls says whose certificates are trusted. Default: those that the system trusts.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
	// tiers are groups of nodes, the one that new indices are written to first. Default: one tier of all nodes with data.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Tiers []Tier `json:"tiers,omitempty"`
	// repositories are where snapshots lie.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Repositories []Repository `json:"repositories,omitempty"`
	// constraints are what no step and no remedy may break.
	// +optional
	Constraints Constraints `json:"constraints,omitzero"`
	// budgets are what the cluster may carry, and what work on it may cost.
	// +optional
	Budgets Budgets `json:"budgets,omitzero"`
}

// Auth says who asks.
// +kubebuilder:validation:XValidation:rule="[has(self.secretName), has(self.passwordFile), has(self.apiKeyFile)].filter(x, x).size() == 1 && has(self.user) == has(self.passwordFile)",message="give one of secretName (with the keys username and password, or apiKey), user with passwordFile, or apiKeyFile"
// +kubebuilder:validation:MinProperties=1
type Auth struct {
	// secretName names a Secret with the keys username and password, or with apiKey.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
	// user is for basic authentication, with passwordFile.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	User string `json:"user,omitempty"`
	// passwordFile holds the password of user, where there is no Kubernetes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	PasswordFile string `json:"passwordFile,omitempty"`
	// apiKeyFile holds an API key, where there is no Kubernetes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	APIKeyFile string `json:"apiKeyFile,omitempty"`
}

// TLS says whose certificates are trusted.
// +kubebuilder:validation:XValidation:rule="has(self.caSecretName) != has(self.caFile)",message="give caSecretName, or caFile where there is no Kubernetes"
// +kubebuilder:validation:MinProperties=1
type TLS struct {
	// caSecretName names a Secret with the key ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CASecretName string `json:"caSecretName,omitempty"`
	// caFile holds authorities as PEM, where there is no Kubernetes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	CAFile string `json:"caFile,omitempty"`
}

// Tier is a group of nodes.
// +kubebuilder:validation:XValidation:rule="has(self.nodeAttribute) != has(self.dataRole)",message="give nodeAttribute or dataRole"
type Tier struct {
	// name is how phases call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// nodeAttribute is the attribute that its nodes have (node.attr.NAME).
	// +optional
	NodeAttribute *NodeAttribute `json:"nodeAttribute,omitempty"`
	// dataRole is the role that its nodes have, on Elasticsearch since 7.10.
	// +optional
	// +kubebuilder:validation:Enum=data_hot;data_warm;data_cold
	DataRole string `json:"dataRole,omitempty"`
}

// NodeAttribute is an attribute of nodes.
type NodeAttribute struct {
	// name is the attribute without node.attr.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.-]*$`
	Name string `json:"name,omitempty"`
	// value is what it is on the nodes of this tier.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.-]*$`
	Value string `json:"value,omitempty"`
}

// RepositoryType says who made a repository.
// +kubebuilder:validation:Enum=Existing;S3
type RepositoryType string

// The types of repositories.
const (
	// RepositoryExisting is one that is there, of whatever type: COS, HDFS, S3, a shared file system.
	RepositoryExisting RepositoryType = "Existing"
	// RepositoryS3 is one that is made.
	RepositoryS3 RepositoryType = "S3"
)

// Repository is where snapshots lie.
// +kubebuilder:validation:XValidation:rule="(self.type == 'S3') == has(self.s3)",message="s3 belongs to the type S3, and no other type has it"
type Repository struct {
	// name is what the search cluster calls it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`
	// type says whether it is there already or is made. Default Existing.
	// +optional
	// +default="Existing"
	Type RepositoryType `json:"type,omitempty"`
	// s3 is where one of the type S3 lies. Its keys are in the keystores of the search servers, never here.
	// +optional
	S3 *S3 `json:"s3,omitempty"`
}

// S3 is a bucket.
type S3 struct {
	// bucket is its name.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	Bucket string `json:"bucket,omitempty"`
	// basePath is the folder within the bucket. Default: its root.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	BasePath string `json:"basePath,omitempty"`
	// endpoint is the address where it is not Amazon's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Endpoint string `json:"endpoint,omitempty"`
	// region is that of the bucket; Elasticsearch needs it from 9.1 on.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`
}

// SnapshotAsCopy says whether a proved snapshot is one of the copies.
// +kubebuilder:validation:Enum=Counted;NotCounted
type SnapshotAsCopy string

// Whether a proved snapshot counts.
const (
	SnapshotCounted    SnapshotAsCopy = "Counted"
	SnapshotNotCounted SnapshotAsCopy = "NotCounted"
)

// Searching says whether data may be away from searches.
// +kubebuilder:validation:Enum=Always;Interruptible
type Searching string

// Whether data may be away from searches.
const (
	// SearchingAlways allows no phase that takes data from searches, but for delete.
	SearchingAlways        Searching = "Always"
	SearchingInterruptible Searching = "Interruptible"
)

// Constraints are what no step and no remedy may break.
// +kubebuilder:validation:MinProperties=1
type Constraints struct {
	// copies is how many copies of every document there are at least. Default 2.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8
	Copies int32 `json:"copies,omitempty"`
	// snapshotAsCopy says whether a proved snapshot is one of the copies. Default Counted.
	// +optional
	// +default="Counted"
	SnapshotAsCopy SnapshotAsCopy `json:"snapshotAsCopy,omitempty"`
	// searching says whether data may be away from searches. Default Always.
	// +optional
	// +default="Always"
	Searching Searching `json:"searching,omitempty"`
}

// Budgets are what the cluster may carry, and what work on it may cost.
// +kubebuilder:validation:MinProperties=1
type Budgets struct {
	// maxShards is how many open shards there may be, replicas included. Default: no limit of ours.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	MaxShards int32 `json:"maxShards,omitempty"`
	// maxMasterHeapPercent is how much of the smallest master's heap a full restart may need. Default 50.
	// +optional
	// +default=50
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=90
	MaxMasterHeapPercent int32 `json:"maxMasterHeapPercent,omitempty"`
	// relocationBytesPerSecond is what all moves, shrinks and restores together may bring, such as 400Mi. Default: what the servers' own recovery limit allows.
	// +optional
	RelocationBytesPerSecond *resource.Quantity `json:"relocationBytesPerSecond,omitempty"`
}

// SearchClusterStatus is what was seen.
// +kubebuilder:validation:MinProperties=1
type SearchClusterStatus struct {
	// conditions are Connected, WithinBudget and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// product is Elasticsearch or OpenSearch.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Product string `json:"product,omitempty"`
	// version is that of the servers.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
	// shards are counted against the budget.
	// +optional
	Shards *ShardStatus `json:"shards,omitempty"`
	// disk says for each tier how long it lasts.
	// +optional
	// +listType=map
	// +listMapKey=tier
	// +kubebuilder:validation:MaxItems=8
	Disk []DiskStatus `json:"disk,omitempty"`
	// foreignPolicies are policies of the servers' own engines that hold indices of ours: they are not fought with.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	ForeignPolicies []ForeignPolicy `json:"foreignPolicies,omitempty"`
}

// ShardStatus counts shards against the budget.
type ShardStatus struct {
	// open is how many there are, replicas included.
	// +required
	// +kubebuilder:validation:Minimum=0
	Open *int64 `json:"open,omitempty"`
	// budget is spec.budgets.maxShards.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Budget int64 `json:"budget,omitempty"`
	// forecastBreach is the day on which the budget is passed, as 2027-08-11; none when it is not.
	// +optional
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	ForecastBreach string `json:"forecastBreach,omitempty"`
}

// DiskStatus says how long the disks of a tier last.
type DiskStatus struct {
	// tier is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Tier string `json:"tier,omitempty"`
	// daysLeft is how many days there are until its disks are full.
	// +required
	// +kubebuilder:validation:Minimum=0
	DaysLeft *int32 `json:"daysLeft,omitempty"`
}

// ForeignPolicy is a policy of ILM, ISM, SLM or SM.
type ForeignPolicy struct {
	// kind is ILM, ISM, SLM or SM.
	// +required
	// +kubebuilder:validation:Enum=ILM;ISM;SLM;SM
	Kind string `json:"kind,omitempty"`
	// name is what the servers call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name,omitempty"`
	// indices is how many it holds.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Indices *int32 `json:"indices,omitempty"`
}

// SearchClusterList is a list of SearchClusters.
// +kubebuilder:object:root=true
type SearchClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SearchCluster `json:"items"`
}
