package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// IndexLifecycle is the life of indices that are cut by time: how they are made, what becomes of them and when.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ilc,categories=slipway
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Indices",type=integer,JSONPath=`.status.indices`
// +kubebuilder:printcolumn:name="Overdue",type=integer,JSONPath=`.status.overdue`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Progressing")].message`
type IndexLifecycle struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the life of the indices.
	// +required
	Spec IndexLifecycleSpec `json:"spec,omitzero"`
	// status counts where they stand. Written by the operator.
	// +optional
	Status IndexLifecycleStatus `json:"status,omitzero"`
}

// Write says who decides which slot a document goes to.
// +kubebuilder:validation:Enum=Alias;ByName
type Write string

// Who decides.
const (
	// WriteAlias has all writers write to one alias, which is flipped to the next slot at its boundary.
	WriteAlias Write = "Alias"
	// WriteByName has every writer make the name from the document's time, as Logstash does.
	WriteByName Write = "ByName"
)

// IndexLifecycleSpec is the life of indices that are cut by time.
// +kubebuilder:validation:XValidation:rule="self.write != 'ByName' || !has(self.aliases) || !has(self.aliases.write)",message="aliases.write is for write: Alias; writers by name need none"
type IndexLifecycleSpec struct {
	// clusterName names the SearchCluster, in the same namespace or file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClusterName string `json:"clusterName,omitempty"`
	// indices says which indices these are.
	// +required
	Indices Indices `json:"indices,omitzero"`
	// template is what new indices get.
	// +optional
	Template Template `json:"template,omitzero"`
	// write says who decides which slot a document goes to. Slots of several hours need Alias. Default Alias.
	// +optional
	// +default="Alias"
	Write Write `json:"write,omitempty"`
	// aliases are what searches and writers use.
	// +optional
	Aliases *Aliases `json:"aliases,omitempty"`
	// closing says when nothing writes to a slot any more.
	// +optional
	Closing Closing `json:"closing,omitzero"`
	// phases are done one after the other for each index.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(i, p, i == 0 || self[i-1].afterHours <= p.afterHours)",message="phases are done in their order: afterHours of one may not be less than that of the one before it"
	Phases []Phase `json:"phases,omitempty"`
	// spreadOverHours is the span over which indices that come due at once are begun, by their name, always in the same way. Default: the length of a slot.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=744
	SpreadOverHours *int32 `json:"spreadOverHours,omitempty"`
	// budget is what the work of this policy may cost.
	// +optional
	Budget Budget `json:"budget,omitzero"`
	// overrides are names of rules that may not refuse the policy; each use is told.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Overrides []string `json:"overrides,omitempty"`
}

// Indices says which indices these are.
type Indices struct {
	// pattern matches all of them, as the template says it: game-log-*.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=255
	Pattern string `json:"pattern,omitempty"`
	// slot is the span of time that one index holds, and how its name says it.
	// +required
	Slot Slot `json:"slot,omitzero"`
	// createAheadSlots is how many slots are made before they begin. 0 makes none, for a cluster whose writers make them. Default 6.
	// +optional
	// +default=6
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=96
	CreateAheadSlots *int32 `json:"createAheadSlots,omitempty"`
}

// Slot is the span of time that one index holds, and how its name says it.
type Slot struct {
	// format is the name with its time in braces, in the letters of Joda: game-log-{yyyy.MM.dd.HH}. Weeks are {xxxx.ww}.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=255
	Format string `json:"format,omitempty"`
	// hours is the length of a slot whose name has an hour. Default 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Enum=1;2;3;4;6;8;12
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=12
	Hours int32 `json:"hours,omitempty"`
	// timeZone is the zone that names are in, such as Asia/Shanghai; none with daylight saving. Default UTC.
	// +optional
	// +default="UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// Template is what new indices get.
// +kubebuilder:validation:MinProperties=1
type Template struct {
	// shards is Auto, or the number of primaries. Auto takes what the fullest slot of the last seven days held, and spreads it over the first tier. Default Auto.
	// +optional
	// +default="Auto"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 1024 : self == 'Auto'",message="shards is Auto, or a number of primaries from 1 to 1024"
	Shards *intstr.IntOrString `json:"shards,omitempty"`
	// bytesPerSlot is what one slot holds, without replicas, where no slot was full yet: Auto begins with it.
	// +optional
	BytesPerSlot *resource.Quantity `json:"bytesPerSlot,omitempty"`
	// maxShardBytes is the largest primary that Auto makes. Default 50G.
	// +optional
	MaxShardBytes *resource.Quantity `json:"maxShardBytes,omitempty"`
	// replicas of new indices. Default 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=7
	Replicas *int32 `json:"replicas,omitempty"`
	// settings of new indices, without index. before them: refresh_interval, codec.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Settings map[string]string `json:"settings,omitempty"`
}

// Aliases are what searches and writers use.
// +kubebuilder:validation:MinProperties=1
type Aliases struct {
	// read is on every slot that can be searched. Default: the format's text before the time, without the sign at its end.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Read string `json:"read,omitempty"`
	// write is on the slot that is now. Default: that of read with -write behind it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Write string `json:"write,omitempty"`
}

// Closing says when nothing writes to a slot any more.
// +kubebuilder:validation:MinProperties=1
type Closing struct {
	// quietForMinutes is how long no document may have arrived. Default 120.
	// +optional
	// +default=120
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=43200
	QuietForMinutes int32 `json:"quietForMinutes,omitempty"`
	// kafka is where the documents come from: a slot closes only when the group has passed its end.
	// +optional
	Kafka *Kafka `json:"kafka,omitempty"`
}

// Kafka is where the documents come from.
type Kafka struct {
	// group is the consumers' group.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Group string `json:"group,omitempty"`
}

// Phase is one thing that becomes of an index.
// +kubebuilder:validation:XValidation:rule="[has(self.shrink), has(self.forceMerge), has(self.snapshot), has(self.replicas), has(self.move), has(self.mount), has(self.freeze), has(self.close), has(self.delete)].filter(x, x).size() == 1",message="a phase does one thing: shrink, forceMerge, snapshot, replicas, move, mount, freeze, close or delete"
type Phase struct {
	// name is how plan, explain and the ledger call it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// afterHours is the age at which it is due, counted from the end of the slot that the name says, never from the creation.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=876000
	AfterHours *int32 `json:"afterHours,omitempty"`
	// shrink makes fewer primaries of many.
	// +optional
	Shrink *Shrink `json:"shrink,omitempty"`
	// forceMerge makes fewer segments.
	// +optional
	ForceMerge *ForceMerge `json:"forceMerge,omitempty"`
	// snapshot takes one and proves it whole.
	// +optional
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	// replicas sets their number.
	// +optional
	Replicas *Replicas `json:"replicas,omitempty"`
	// move brings the index to another tier.
	// +optional
	Move *Move `json:"move,omitempty"`
	// mount makes the index searchable from its proved snapshot, and lets its own bytes go.
	// +optional
	Mount *Mount `json:"mount,omitempty"`
	// freeze keeps the index open at the cost of a closed one; Elasticsearch 6.6 to 7.
	// +optional
	Freeze *Freeze `json:"freeze,omitempty"`
	// close makes the index unsearchable until a person opens it.
	// +optional
	Close *Close `json:"close,omitempty"`
	// delete takes the index away.
	// +optional
	Delete *Delete `json:"delete,omitempty"`
}

// ReplicaMode says what becomes of the replica while an index is shrunk.
// +kubebuilder:validation:Enum=Keep;DropProved
type ReplicaMode string

// What becomes of the replica.
const (
	// ReplicaKeep gathers one copy of each shard and leaves the other where it is: it needs no snapshot, and more room.
	ReplicaKeep ReplicaMode = "Keep"
	// ReplicaDropProved lets the replica go first, when a proved snapshot holds the index; the shrunk one gets it back.
	ReplicaDropProved ReplicaMode = "DropProved"
)

// Shrink makes fewer primaries of many.
// +kubebuilder:validation:XValidation:rule="has(self.maxShardBytes) != has(self.shards)",message="give maxShardBytes or shards"
// +kubebuilder:validation:MinProperties=1
type Shrink struct {
	// maxShardBytes is the largest primary that may come of it; the smallest number of primaries that divides theirs is taken.
	// +optional
	MaxShardBytes *resource.Quantity `json:"maxShardBytes,omitempty"`
	// shards is the number of primaries; it must divide theirs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Shards int32 `json:"shards,omitempty"`
	// replica says what becomes of the replica meanwhile. Default Keep.
	// +optional
	// +default="Keep"
	Replica ReplicaMode `json:"replica,omitempty"`
}

// ForceMerge makes fewer segments.
// +kubebuilder:validation:MinProperties=1
type ForceMerge struct {
	// segments of each shard. Default 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Segments int32 `json:"segments,omitempty"`
}

// ReadBack says how much of a snapshot is read again.
// +kubebuilder:validation:Enum=None;Sampled;Full
type ReadBack string

// How much is read again.
const (
	ReadBackNone    ReadBack = "None"
	ReadBackSampled ReadBack = "Sampled"
	ReadBackFull    ReadBack = "Full"
)

// Snapshot takes one and proves it whole.
type Snapshot struct {
	// repositoryName names one of the cluster's repositories.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	RepositoryName string `json:"repositoryName,omitempty"`
	// readBack says how much of it is restored and compared before it counts. Default Sampled.
	// +optional
	// +default="Sampled"
	ReadBack ReadBack `json:"readBack,omitempty"`
}

// Requirement says what must be before replicas may go.
// +kubebuilder:validation:Enum=VerifiedSnapshot;Nothing
type Requirement string

// What must be.
const (
	RequireVerifiedSnapshot Requirement = "VerifiedSnapshot"
	// RequireNothing is refused where the cluster's constraints do not allow it.
	RequireNothing Requirement = "Nothing"
)

// Replicas sets their number.
type Replicas struct {
	// count is how many there are beside the primary.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=7
	Count *int32 `json:"count,omitempty"`
	// requires says what must be before replicas may go. Default VerifiedSnapshot.
	// +optional
	// +default="VerifiedSnapshot"
	Requires Requirement `json:"requires,omitempty"`
}

// Move brings the index to another tier.
type Move struct {
	// tier names one of the cluster's tiers.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Tier string `json:"tier,omitempty"`
}

// Storage says where a mounted index keeps what was read.
// +kubebuilder:validation:Enum=FullCopy;SharedCache
type Storage string

// Where it keeps what was read.
const (
	StorageFullCopy    Storage = "FullCopy"
	StorageSharedCache Storage = "SharedCache"
)

// Mount makes the index searchable from its proved snapshot.
// +kubebuilder:validation:MinProperties=1
type Mount struct {
	// storage says where what was read is kept; OpenSearch knows SharedCache alone. Default SharedCache.
	// +optional
	// +default="SharedCache"
	Storage Storage `json:"storage,omitempty"`
}

// Hidden says whether data may be hidden from searches that do not ask for it.
// +kubebuilder:validation:Enum=Accepted
type Hidden string

// HiddenAccepted is the owner's word for it.
const HiddenAccepted Hidden = "Accepted"

// Freeze keeps the index open at the cost of a closed one.
type Freeze struct {
	// hiddenFromDefaultSearch must be Accepted: searches find frozen indices only with ignore_throttled=false.
	// +required
	HiddenFromDefaultSearch Hidden `json:"hiddenFromDefaultSearch,omitempty"`
}

// Close makes the index unsearchable until a person opens it.
// +kubebuilder:validation:MinProperties=1
type Close struct {
	// requires says what must be before it. Default VerifiedSnapshot: closed indices are not replicated by every version.
	// +optional
	// +default="VerifiedSnapshot"
	Requires Requirement `json:"requires,omitempty"`
}

// SnapshotFate says what becomes of the snapshot of a deleted index.
// +kubebuilder:validation:Enum=Keep;Delete
type SnapshotFate string

// What becomes of it.
const (
	SnapshotKeep   SnapshotFate = "Keep"
	SnapshotDelete SnapshotFate = "Delete"
)

// Delete takes the index away.
// +kubebuilder:validation:MinProperties=1
type Delete struct {
	// snapshot says what becomes of its snapshot. With Keep the index goes only while a proved one stands. Default Keep.
	// +optional
	// +default="Keep"
	Snapshot SnapshotFate `json:"snapshot,omitempty"`
}

// Budget is what the work of a policy may cost.
// +kubebuilder:validation:MinProperties=1
type Budget struct {
	// concurrentIndices is how many indices are worked on at once. Default 2.
	// +optional
	// +default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	ConcurrentIndices int32 `json:"concurrentIndices,omitempty"`
	// bytesPerSecond is how fast work is begun: an index of 400 GB takes 400 GB of it. Default: the cluster's relocationBytesPerSecond.
	// +optional
	BytesPerSecond *resource.Quantity `json:"bytesPerSecond,omitempty"`
	// windows are the times of day in which work may begin. Default: any time. The making of slots knows no window.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	Windows []Window `json:"windows,omitempty"`
}

// Window is a time of day; it may go over midnight.
type Window struct {
	// from is when it opens, as 00:00.
	// +required
	// +kubebuilder:validation:MinLength=5
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	From string `json:"from,omitempty"`
	// to is when it closes.
	// +required
	// +kubebuilder:validation:MinLength=5
	// +kubebuilder:validation:MaxLength=5
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	To string `json:"to,omitempty"`
	// timeZone is its name in the time zone database, such as Asia/Shanghai. Default UTC.
	// +optional
	// +default="UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// IndexLifecycleStatus counts where indices stand.
// +kubebuilder:validation:MinProperties=1
type IndexLifecycleStatus struct {
	// conditions are Accepted, Progressing and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// indices is how many there are.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Indices *int32 `json:"indices,omitempty"`
	// overdue is how many of them have a phase that is due and not done.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Overdue *int32 `json:"overdue,omitempty"`
	// observedGeneration is the generation of the spec that was planned last.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// IndexLifecycleList is a list of IndexLifecycles.
// +kubebuilder:object:root=true
type IndexLifecycleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IndexLifecycle `json:"items"`
}
