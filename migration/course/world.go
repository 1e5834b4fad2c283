package course

import (
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Role is what a job does; it is part of the job's name.
type Role string

// The roles, in the order of the move. The shim is no job: it stays while the target asks the source.
const (
	RoleRehearse  Role = "rehearse"
	RoleShim      Role = "shim"
	RolePreflight Role = "preflight"
	RoleMove      Role = "move"
	RoleProof     Role = "proof" // the move again, after a restart of the target: what that missed is brought, and both are compared
	RoleCutover   Role = "cutover"
	RoleFinalize  Role = "finalize"
	RoleRollback  Role = "rollback"
	RoleUndo      Role = "undo"
	RoleGrafana   Role = "grafana" // brings the data of the old Grafana
	RoleAlike     Role = "alike"   // compares both Grafanas
)

// Jobs are the roles that are Jobs.
func Jobs() []Role {
	return []Role{RoleRehearse, RolePreflight, RoleMove, RoleProof, RoleCutover, RoleFinalize, RoleRollback, RoleUndo, RoleGrafana, RoleAlike}
}

// Stage is which configuration the target has.
type Stage string

// The stages.
const (
	StageBridge  Stage = "Bridge"  // no alerts, no remote write; the past is read through the shim
	StageVerify  Stage = "Verify"  // as before, and every answer is the target's own
	StageAlerts  Stage = "Alerts"  // alerts are on, remote write is not yet
	StageCutOver Stage = "CutOver" // alerts and remote write are on
	StageFinal   Stage = "Final"   // the source is no longer needed
)

// World is all that a decision follows from.
type World struct {
	Now  time.Time
	Name string
	Spec v1alpha1.PrometheusMigrationSpec
	// Status is what was written the last time; of it only cutOverAt, the phase Finalized and the endpoint count.
	Status v1alpha1.PrometheusMigrationStatus
	// Deleting says that the migration itself is to go.
	Deleting bool
	// Abandoned holds why a person lets go of a migration that is deleted and cannot be put back; nil where nobody did.
	Abandoned *string
	// Paused and Frozen hold the reason where a person stopped every start; nil where nobody did.
	Paused, Frozen *string

	// Invalid is what is wrong with the spec and what it names, each with its path.
	Invalid []Finding
	// Refused are the rules that stop the plan of the target, Unreachable says why the source could not be asked for what it is, empty
	// where it was.
	Refused     []Finding
	Unreachable string
	// ClusterUnreachable says why the target's cluster cannot be asked; then nothing below is known.
	ClusterUnreachable string

	Target  Target
	Shim    Shim
	Grafana Grafana
	// Jobs are those that exist.
	Jobs map[Role]*Job
}

// Finding is what a rule or a check found at a place.
type Finding struct {
	// Where is a rule's name or the path of a field.
	Where string
	Says  string
	Fix   string
}

// String is the finding in one line.
func (f Finding) String() string {
	text := f.Where + ": " + f.Says
	if f.Fix != "" {
		text += " (" + f.Fix + ")"
	}
	return text
}

// Target is what there is of the new server.
type Target struct {
	// Claim says that the claim exists, Applied that everything else does: configuration, Services, and what runs the server.
	Claim, Applied bool
	// ClaimLost says why the claim's volume cannot be used; empty where it can or nobody knows yet.
	ClaimLost string
	// Stage is that of the configuration that is written; empty where there is none. Current says that it is written as the spec and the
	// source's configuration want it.
	Stage   Stage
	Current bool
	// Lags says why what is written has not come to the server yet, where somebody else brings it there.
	Lags string
	Pod  Pod
}

// Pod is the server's pod. The zero value is a pod that is not there.
type Pod struct {
	Name, UID string
	// Ready is what the kubelet says, Ending that it is being deleted.
	Ready, Ending bool
	// Started is when the server's container started.
	Started time.Time
	// Says is why it does not run, where that is known.
	Says string
}

// Shim is the read shim.
type Shim struct{ Exists, Ready bool }

// Grafana is what there is of the Grafana beside the target.
type Grafana struct {
	// Claim says that its claim exists, Applied that its Deployment does, or a pod of it that still ends.
	Claim, Applied bool
	// Deployed says that the Deployment itself exists, Current that it is as the spec wants it with SendsAlerts.
	Deployed, Current bool
	// SendsAlerts says that it evaluates its alert rules, Ready that a pod of it answers.
	SendsAlerts, Ready bool
	// Says is why it does not run, URL where the cluster reaches it.
	Says, URL string
}

// Job is a job that exists.
type Job struct {
	// Same says that it was asked what would be asked of it now.
	Same bool
	// Succeeded and Failed say how it ended; Ending that it is being deleted; Suspended that it was stopped and stays as a witness.
	Succeeded, Failed, Ending, Suspended bool
	// Begun is when it was made; Ended when it ended, the zero time while it runs.
	Begun, Ended time.Time
	// Line is the last line that it told; nil for none. Says is the end of its log where that is no line, or why its pod does not run.
	Line *Line
	Says string
}

// passed says that a job came to its end, and said so.
func (j *Job) passed() bool { return j != nil && j.Succeeded && j.Line != nil && !j.Ending }

// ended says that a job that tells of itself came to an end of any kind.
func (j *Job) ended() bool { return j != nil && !j.Ended.IsZero() && j.Line != nil }

// stopped is the rule by which a job stopped, where it named one.
func (j *Job) stopped() *v1alpha1.Stop {
	if j == nil || j.Succeeded || j.Line == nil {
		return nil
	}
	if s := j.Line.Stop; s != nil {
		return &v1alpha1.Stop{Rule: s.Rule, Text: s.Text}
	}
	if j.Failed {
		return j.Line.refusal()
	}
	return nil
}
