package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Phase is how far a migration is.
// +kubebuilder:validation:Enum=Preflight;Rehearse;StartTarget;Pin;Coverage;Stage;Seam;Install;Verify;Cutover;Observe;Finalize;Finalized;RollingBack;RolledBack
type Phase string

// The phases, in their order.
const (
	PhasePreflight   Phase = "Preflight"   // spec, source and plan are checked
	PhaseRehearse    Phase = "Rehearse"    // volume and network are measured from a pod that is as the server will be
	PhaseStartTarget Phase = "StartTarget" // the target starts beside the read shim
	PhasePin         Phase = "Pin"         // the source's blocks are held
	PhaseCoverage    Phase = "Coverage"    // both servers are seen to scrape the same
	PhaseStage       Phase = "Stage"       // blocks travel to the target's disk
	PhaseSeam        Phase = "Seam"        // the block over the target's first sample is waited for and cut
	PhaseInstall     Phase = "Install"     // blocks become the target's
	PhaseVerify      Phase = "Verify"      // both are compared, before and after a restart
	PhaseCutover     Phase = "Cutover"     // users and alerts move
	PhaseObserve     Phase = "Observe"     // the source stays the way back
	PhaseFinalize    Phase = "Finalize"    // nobody needs the source any more
	PhaseFinalized   Phase = "Finalized"
	PhaseRollingBack Phase = "RollingBack"
	PhaseRolledBack  Phase = "RolledBack"
)

// Side is one of the two servers.
// +kubebuilder:validation:Enum=Source;Target
type Side string

// The sides.
const (
	SideSource Side = "Source"
	SideTarget Side = "Target"
)

// PrometheusMigrationStatus is how far a migration is.
// +kubebuilder:validation:MinProperties=1
type PrometheusMigrationStatus struct {
	// conditions are SpecValid, Rehearsed, TargetReady, PreflightPassed, GrafanaReady where one is asked for, CoverageEqual, Verified, CutOver, Progressing, Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is how far the migration is.
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// phaseSince is when the phase began.
	// +optional
	PhaseSince *metav1.Time `json:"phaseSince,omitempty"`
	// source is what the old server was when it was first asked.
	// +optional
	Source *SourceFacts `json:"source,omitempty"`
	// seam is S': the target's own history begins there.
	// +optional
	Seam *metav1.Time `json:"seam,omitempty"`
	// end is up to when blocks of the source are brought.
	// +optional
	End *metav1.Time `json:"end,omitempty"`
	// blocks counts blocks.
	// +optional
	Blocks *BlockCounts `json:"blocks,omitempty"`
	// transfer is how the copy goes.
	// +optional
	Transfer *TransferStatus `json:"transfer,omitempty"`
	// proof is the last proof; absent before Verify.
	// +optional
	Proof *Proof `json:"proof,omitempty"`
	// grafana is the Grafana beside the target; absent before it is compared with the old one.
	// +optional
	Grafana *GrafanaStatus `json:"grafana,omitempty"`
	// endpoint is where users are led.
	// +optional
	Endpoint *EndpointStatus `json:"endpoint,omitempty"`
	// steps are what is done next, as far as can be seen.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Steps []string `json:"steps,omitempty"`
	// waits are what is waited for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Waits []string `json:"waits,omitempty"`
	// notes are what a person should know later.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Notes []string `json:"notes,omitempty"`
	// needsApproval are words for spec.approved that are waited for.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	NeedsApproval []Approval `json:"needsApproval,omitempty"`
	// diff is the edit of the source that waits for an approval.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Diff string `json:"diff,omitempty"`
	// stop is why the migration cannot go on by itself.
	// +optional
	Stop *Stop `json:"stop,omitempty"`
	// cutOverAt is when users and alerts were with the target; the observation begins then.
	// +optional
	CutOverAt *metav1.Time `json:"cutOverAt,omitempty"`
}

// SourceFacts is what the old server was when it was first asked.
type SourceFacts struct {
	// version is that of the server.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Version string `json:"version,omitempty"`
	// dataDir is the folder with its blocks.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	DataDir string `json:"dataDir,omitempty"`
}

// BlockCounts counts blocks.
// +kubebuilder:validation:MinProperties=1
type BlockCounts struct {
	// total is how many blocks of the source are brought.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Total *int32 `json:"total,omitempty"`
	// staged is how many are on the target's disk.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Staged *int32 `json:"staged,omitempty"`
	// installed is how many the target has.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Installed *int32 `json:"installed,omitempty"`
	// verified is how many were read again from the target's disk and found whole.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Verified *int32 `json:"verified,omitempty"`
	// text is staged/installed/total.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Text string `json:"text,omitempty"`
}

// TransferStatus is how the copy goes.
// +kubebuilder:validation:MinProperties=1
type TransferStatus struct {
	// bytesDone is how much has landed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BytesDone *int64 `json:"bytesDone,omitempty"`
	// bytesTotal is how much has to.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BytesTotal *int64 `json:"bytesTotal,omitempty"`
	// bytesPerSecond is the speed now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	BytesPerSecond *int64 `json:"bytesPerSecond,omitempty"`
	// etaSeconds is how long it takes at this speed.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ETASeconds *int64 `json:"etaSeconds,omitempty"`
	// eta is etaSeconds for people, as 48m45s.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ETA string `json:"eta,omitempty"`
	// limitedBy is what slows it now.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	LimitedBy string `json:"limitedBy,omitempty"`
	// signals are what the throttle can see of the source's pain.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Signals []string `json:"signals,omitempty"`
	// sourceFreeBytes is the room that is left on the old server's disk, where its blocks are held.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SourceFreeBytes *int64 `json:"sourceFreeBytes,omitempty"`
	// sourceSizeBytes is how large that disk is.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SourceSizeBytes *int64 `json:"sourceSizeBytes,omitempty"`
}

// Proof is the outcome of a comparison of both servers.
type Proof struct {
	// verdict is Proved, or what was found instead.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Verdict string `json:"verdict,omitempty"`
	// summary says what was compared.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Summary string `json:"summary,omitempty"`
	// seed makes the same random choice again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Seed *int64 `json:"seed,omitempty"`
	// at is when it ended.
	// +required
	At *metav1.Time `json:"at,omitempty"`
	// afterRestart says whether the target was restarted between the first proof and this one: Done counts for the cutover.
	// +optional
	AfterRestart AfterRestart `json:"afterRestart,omitempty"`
	// lookedAt is when the run began that found the target to lack nothing. What the target missed after that is brought before users are led to it.
	// +optional
	LookedAt *metav1.Time `json:"lookedAt,omitempty"`
	// targetStarted is since when the target ran that was looked at; one that was started later has missed scrapes.
	// +optional
	TargetStarted *metav1.Time `json:"targetStarted,omitempty"`
}

// GrafanaStatus is the Grafana beside the target.
type GrafanaStatus struct {
	// url is where the cluster reaches it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	URL string `json:"url,omitempty"`
	// summary says what it has of the old one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Summary string `json:"summary,omitempty"`
	// broughtAt is when its data was last brought; absent for one that begins empty.
	// +optional
	BroughtAt *metav1.Time `json:"broughtAt,omitempty"`
}

// AfterRestart says whether a proof was made after the target was restarted.
// +kubebuilder:validation:Enum=Pending;Done
type AfterRestart string

// Before and after the restart.
const (
	AfterRestartPending AfterRestart = "Pending"
	AfterRestartDone    AfterRestart = "Done"
)

// EndpointStatus is where users are led.
// +kubebuilder:validation:MinProperties=1
type EndpointStatus struct {
	// wanted is the server that users are to reach. Written by the controller of migrations.
	// +optional
	Wanted Side `json:"wanted,omitempty"`
	// leadsTo is the server that they reach now. It and what follows are written by the controller of endpoints.
	// +optional
	LeadsTo Side `json:"leadsTo,omitempty"`
	// since is when it began to lead there.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// reason is why it does not lead to the wanted one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// Stop is why a migration cannot go on by itself.
type Stop struct {
	// rule is its name, for spec.overrides where the rule can be overridden.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Rule string `json:"rule,omitempty"`
	// text says what was found and what to do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Text string `json:"text,omitempty"`
}
