package lifecycle

import (
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
)

// Rule is the name of what refuses or holds.
type Rule string

// Rules that hold a step back until something is as it must be.
const (
	HoldPaused        Rule = "paused"
	HoldWriter        Rule = "nothing_closes_under_a_writer"
	HoldForeign       Rule = "foreign_policy_is_not_fought_with"
	HoldGreen         Rule = "index_is_green"
	HoldUnderWay      Rule = "work_under_way"
	HoldHuman         Rule = "person_must_look"
	HoldRetry         Rule = "retry_waits"
	HoldProof         Rule = "verified_snapshot_before_loss"
	HoldSeen          Rule = "proof_is_seen_again_before_loss"
	HoldCopies        Rule = "copies_are_kept"
	HoldNoNode        Rule = "one_node_has_room_for_the_shrink"
	HoldShardsUnseen  Rule = "shards_are_seen"
	HoldDivisor       Rule = "shards_divide"
	HoldSnapshotRuns  Rule = "one_snapshot_at_a_time"
	HoldDuringBackup  Rule = "nothing_is_deleted_under_a_snapshot"
	HoldCreateFirst   Rule = "create_index_first"
	HoldWindow        Rule = "time_window"
	HoldConcurrent    Rule = "concurrent_indices"
	HoldBytes         Rule = "byte_budget"
	HoldOneSlot       Rule = "one_slot_at_a_time"
	HoldNextGreen     Rule = "next_slot_is_green"
	HoldUnseen        Rule = "cluster_is_seen_whole"
	HoldMissingFilter Rule = "tier_has_nodes"
)

// Rules that refuse a policy.
const (
	RefuseTwoPolicies Rule = "one_policy_per_index"
	RefuseSystem      Rule = "no_system_indices"
	RefuseSlot        Rule = "slot_is_in_the_name"
	RefuseByName      Rule = "long_slots_need_the_alias"
	RefuseCopies      Rule = "copies_are_kept"
	RefuseSearching   Rule = "always_searchable"
	RefuseProof       Rule = "verified_snapshot_before_loss"
	RefuseFinalForm   Rule = "snapshot_is_of_the_final_form"
	RefuseOrder       Rule = "phases_make_sense"
	RefuseShards      Rule = "shards_within_budget"
	RefuseHeap        Rule = "masters_survive_a_restart"
	RefuseKeepUp      Rule = "policy_keeps_up"
)

// Refusal is why a policy is not followed.
type Refusal struct {
	Rule Rule `json:"rule"`
	// Says is what is wrong, with its numbers; Fix what to do.
	Says string `json:"says"`
	Fix  string `json:"fix,omitempty"`
	// Sums are the arithmetic.
	Sums []capacity.Sum `json:"sums,omitempty"`
	// Overridden by name in the policy: it is told and does not stop.
	Overridden bool `json:"overridden,omitempty"`
}

// Action is one thing that an engine does to the cluster.
type Action string

// Actions. Those that Reduces says yes to take data away.
const (
	CreateIndex     Action = "createIndex"
	FlipAlias       Action = "flipAlias"
	BlockWrites     Action = "blockWrites"
	Gather          Action = "gather"
	ReleaseGather   Action = "releaseGather"
	ShrinkIndex     Action = "shrinkIndex"
	DiscardCopy     Action = "discardCopy"
	Swap            Action = "swap"
	Merge           Action = "forceMerge"
	TakeSnapshot    Action = "takeSnapshot"
	ProveSnapshot   Action = "proveSnapshot"
	CheckProof      Action = "checkProof"
	SetReplicas     Action = "setReplicas"
	MoveTier        Action = "moveTier"
	MountSnapshot   Action = "mountSnapshot"
	LeaveAlias      Action = "leaveAlias"
	FreezeIndex     Action = "freezeIndex"
	CloseIndex      Action = "closeIndex"
	DeleteIndex     Action = "deleteIndex"
	WatchForWriters Action = "watchForWriters"
)

// Step is one thing to do now.
type Step struct {
	Action Action `json:"action"`
	// Index is the slot's name, On the index that it is done to, which differ after a shrink or a mount.
	Index string `json:"index"`
	On    string `json:"on"`
	UUID  string `json:"uuid,omitempty"`
	// Phase and Hash are empty for what belongs to no phase.
	Phase string `json:"phase,omitempty"`
	Hash  string `json:"hash,omitempty"`
	// To is the other index of a swap, shrink, mount or flip.
	To string `json:"to,omitempty"`
	// Number is of primaries, replicas or segments, Node, Tier, Alias, Repository and Snapshot where the action has one.
	Number     int    `json:"number"`
	Node       string `json:"node,omitempty"`
	Tier       string `json:"tier,omitempty"`
	Alias      string `json:"alias,omitempty"`
	Repository string `json:"repository,omitempty"`
	Snapshot   string `json:"snapshot,omitempty"`
	// Bytes is what it brings over the network; 0 for none.
	Bytes int64 `json:"bytes,omitempty"`
	// Because is why data may be taken away; no step without one does.
	Because string `json:"because,omitempty"`
	// Says is one line for people.
	Says string `json:"says"`

	begun bool // it goes on with what was begun, so no budget holds it
}

// Reduces says that the step takes data or a copy of it away.
func (s *Step) Reduces() bool { return s.Because != "" }

// Hold is why a due step is not done now.
type Hold struct {
	Rule Rule   `json:"rule"`
	Says string `json:"says"`
	// FreeAt is when it will be free; none where only the world knows.
	FreeAt *time.Time `json:"freeAt,omitempty"`
}

// PhaseState is where a phase of one index stands.
type PhaseState string

// States of phases.
const (
	Done    PhaseState = "Done"
	Skipped PhaseState = "Skipped"
	Now     PhaseState = "Now"
	Held    PhaseState = "Held"
	Waiting PhaseState = "Waiting" // due, behind one that is not done
	Later   PhaseState = "Later"
)

// PhaseStanding is one phase of one index.
type PhaseStanding struct {
	Phase string     `json:"phase"`
	Kind  Kind       `json:"kind"`
	State PhaseState `json:"state"`
	Due   time.Time  `json:"due"`
	// At is when it was done, where the ledger says so.
	At   *time.Time `json:"at,omitempty"`
	Says string     `json:"says,omitempty"`
}

// Standing is where one index is.
type Standing struct {
	Index string    `json:"index"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// On is the index that holds the data now; it differs from Index after a shrink or a mount.
	On        string          `json:"on,omitempty"`
	Primaries int             `json:"primaries"`
	Replicas  int             `json:"replicas"`
	Bytes     int64           `json:"bytes"`
	Phases    []PhaseStanding `json:"phases"`
	Step      *Step           `json:"step,omitempty"`
	Hold      *Hold           `json:"hold,omitempty"`

	overdue   bool
	needBytes int64
}

// Plan is what is to be done now, and what the policy means.
type Plan struct {
	Lifecycle string    `json:"lifecycle"`
	Cluster   string    `json:"cluster"`
	At        time.Time `json:"at"`
	// Refusals that are not overridden leave Steps empty, but for the making of slots.
	Refusals []Refusal `json:"refusals,omitempty"`
	// Ways say what the product cannot do and which way is taken.
	Ways []string `json:"ways,omitempty"`
	// Steps are in order: the making of slots first, then the oldest slots.
	Steps   []Step         `json:"steps"`
	Slots   []Standing     `json:"slots"`
	Backlog Backlog        `json:"backlog"`
	Sums    []capacity.Sum `json:"sums"`
	// Exposure says what is lost from sight with one node, and for how long.
	Exposure []string `json:"exposure,omitempty"`

	ahead []Hold
}

// Ahead are the holds on the making of slots.
func (p *Plan) Ahead() []Hold { return p.ahead }

// Refused says that the policy is not followed.
func (p *Plan) Refused() bool {
	for _, r := range p.Refusals {
		if !r.Overridden {
			return true
		}
	}
	return false
}

// Backlog is what is overdue.
type Backlog struct {
	Indices int `json:"indices"`
	// Bytes is what it brings over the network, Hours how long that takes at the allowed rate and within the windows.
	Bytes int64   `json:"bytes"`
	Hours float64 `json:"hours"`
	// NaivePerHour is the largest number of indices that come due in one hour of the next 30 days by age in whole days; PerHour ours.
	NaivePerHour int `json:"naivePerHour"`
	PerHour      int `json:"perHour"`
}
