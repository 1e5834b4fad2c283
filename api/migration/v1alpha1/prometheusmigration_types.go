package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PrometheusMigration moves a running Prometheus server with its history into a cluster. The server goes on until the move is final.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pmig,categories=slipway
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Blocks",type=string,JSONPath=`.status.blocks.text`
// +kubebuilder:printcolumn:name="ETA",type=string,JSONPath=`.status.transfer.eta`
// +kubebuilder:printcolumn:name="Proof",type=string,JSONPath=`.status.proof.verdict`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Progressing")].message`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name is a prefix of the names of Jobs and Services: at most 45 small letters, digits and dashes that begin with a letter"
type PrometheusMigration struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec says what moves where, and how a person speaks.
	// +required
	Spec PrometheusMigrationSpec `json:"spec,omitzero"`
	// status is how far the move is. Written by the operator.
	// +optional
	Status PrometheusMigrationStatus `json:"status,omitzero"`
}

// Seed says how the blocks come to the target's volume.
// +kubebuilder:validation:Enum=Network;MountedOnSource;Existing
type Seed string

// The seeds.
const (
	// SeedNetwork brings every block over the network.
	SeedNetwork Seed = "Network"
	// SeedMountedOnSource finds blocks that were copied while the volume was attached to the old host; the difference travels.
	SeedMountedOnSource Seed = "MountedOnSource"
	// SeedExisting finds blocks on a volume made from a snapshot or clone of the old disk; the difference travels.
	SeedExisting Seed = "Existing"
)

// Goal is where a migration is to end.
// +kubebuilder:validation:Enum=Finalized;RolledBack
type Goal string

// The goals.
const (
	GoalFinalized  Goal = "Finalized"
	GoalRolledBack Goal = "RolledBack"
)

// Approval is a word with which a person lets something pass.
// +kubebuilder:validation:Enum=Cutover;Finalize;SourceAlertingOff;SourceRemoteWriteOff
type Approval string

// The approvals. The last two are the only edits of the source.
const (
	ApprovalCutover              Approval = "Cutover"
	ApprovalFinalize             Approval = "Finalize"
	ApprovalSourceAlertingOff    Approval = "SourceAlertingOff"
	ApprovalSourceRemoteWriteOff Approval = "SourceRemoteWriteOff"
)

// PrometheusMigrationSpec says what moves where.
// +kubebuilder:validation:XValidation:rule="has(self.target.statefulSet) == has(oldSelf.target.statefulSet) && (!has(self.target.statefulSet) || self.target.statefulSet.name == oldSelf.target.statefulSet.name) && (!has(self.target.prometheus) || self.target.prometheus.name == oldSelf.target.prometheus.name) && self.source.url == oldSelf.source.url && (!has(self.grafana) || !has(oldSelf.grafana) || self.grafana.name == oldSelf.grafana.name)",message="source.url and the names of the target and of its Grafana cannot be changed once the migration is made; delete it and make another"
type PrometheusMigrationSpec struct {
	// source is the old server.
	// +required
	Source Source `json:"source,omitzero"`
	// seed is how the blocks come to the target's volume. Default Network.
	// +optional
	// +default="Network"
	Seed Seed `json:"seed,omitempty"`
	// target is the new server.
	// +required
	Target Target `json:"target,omitzero"`
	// grafana is a Grafana beside the target. Unset: none is made.
	// +optional
	Grafana *GrafanaTarget `json:"grafana,omitempty"`
	// tools is the image whose pods do the work.
	// +required
	Tools Tools `json:"tools,omitzero"`
	// transfer limits the copy.
	// +optional
	Transfer Transfer `json:"transfer,omitzero"`
	// coverage says what the target need not scrape.
	// +optional
	Coverage Coverage `json:"coverage,omitzero"`
	// cutover says when and how users come to the target.
	// +optional
	Cutover Cutover `json:"cutover,omitzero"`
	// gates say where a person is waited for.
	// +optional
	Gates Gates `json:"gates,omitzero"`
	// approved are the words of a person that let pass what waits for it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Approved []Approval `json:"approved,omitempty"`
	// goal is where the migration is to end. RolledBack puts everything back, from any phase before Finalized. Default Finalized.
	// +optional
	// +default="Finalized"
	Goal Goal `json:"goal,omitempty"`
	// observeForSeconds is how long the old server stays the way back after the cutover. Default 21600, six hours.
	// +optional
	// +default=21600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	ObserveForSeconds *int32 `json:"observeForSeconds,omitempty"`
	// overrides are names of rules that may not refuse; each use is an event.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Overrides []string `json:"overrides,omitempty"`
}

// Transfer limits the copy.
// +kubebuilder:validation:MinProperties=1
type Transfer struct {
	// maxBytesPerSecond is the ceiling, such as 200Mi; below it the source's own pain decides. Default: none.
	// +optional
	MaxBytesPerSecond *resource.Quantity `json:"maxBytesPerSecond,omitempty"`
	// sourceLatencyBudgetPercent is how much slower the source's queries may become by the copy. An agent that runs already has its own. Default 20.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	SourceLatencyBudgetPercent int32 `json:"sourceLatencyBudgetPercent,omitempty"`
}

// Coverage says what the target need not scrape.
// +kubebuilder:validation:MinProperties=1
type Coverage struct {
	// except are jobs that the cluster cannot reach and that may stay behind: their data ends with the source.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Except []string `json:"except,omitempty"`
}

// HandOver says whether something moves at the cutover.
// +kubebuilder:validation:Enum=HandOver;Leave
type HandOver string

// What moves and what stays with the source.
const (
	HandOverMoves  HandOver = "HandOver"
	HandOverLeaves HandOver = "Leave"
)

// Cutover says when and how users come to the target.
// +kubebuilder:validation:MinProperties=1
type Cutover struct {
	// window is the time of day in which the cutover may begin. Unset: any time.
	// +optional
	Window *Window `json:"window,omitempty"`
	// grafana are the places where people look: their data sources get the address of the users' Service.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Grafana []Grafana `json:"grafana,omitempty"`
	// alertmanager says whether the sending of alerts moves, with SourceAlertingOff approved. Default HandOver.
	// +optional
	// +default="HandOver"
	Alertmanager HandOver `json:"alertmanager,omitempty"`
	// remoteWrite says whether the sending of samples moves, with SourceRemoteWriteOff approved. Default HandOver.
	// +optional
	// +default="HandOver"
	RemoteWrite HandOver `json:"remoteWrite,omitempty"`
}

// Window is a time of day; it may go over midnight.
type Window struct {
	// from is when it opens, as 02:00.
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

// Grafana is one organisation of a Grafana server.
type Grafana struct {
	// url is its address as the pods reach it.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url,omitempty"`
	// tokenSecretName names a Secret with the key token, a service account token of Grafana that may write data sources.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TokenSecretName string `json:"tokenSecretName,omitempty"`
	// dataSourceUIDs are changed. Default: all of type prometheus that have the source's address.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	DataSourceUIDs []string `json:"dataSourceUIDs,omitempty"`
}

// Gate says whether a person is waited for.
// +kubebuilder:validation:Enum=Manual;Auto
type Gate string

// The gates: Manual waits for a word in spec.approved.
const (
	GateManual Gate = "Manual"
	GateAuto   Gate = "Auto"
)

// Gates say where a person is waited for.
// +kubebuilder:validation:MinProperties=1
type Gates struct {
	// cutover waits for Cutover in spec.approved. Default Manual.
	// +optional
	// +default="Manual"
	Cutover Gate `json:"cutover,omitempty"`
	// finalize waits for Finalize in spec.approved. Default Manual.
	// +optional
	// +default="Manual"
	Finalize Gate `json:"finalize,omitempty"`
}

// Tools is the image whose pods do the work.
type Tools struct {
	// image holds /slipway and /slipway-agent; slipway image build makes it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
	// imagePullPolicy is that of the pods. Default: Kubernetes' own.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy string `json:"imagePullPolicy,omitempty"`
}

// PrometheusMigrationList is a list of PrometheusMigrations.
// +kubebuilder:object:root=true
type PrometheusMigrationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PrometheusMigration `json:"items"`
}
