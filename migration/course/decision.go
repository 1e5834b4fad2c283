package course

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Kind says what an action does. Every action is safe to do twice.
type Kind string

// The kinds of actions.
const (
	// ActClaim makes the target's claim, and nothing else of it.
	ActClaim Kind = "MakeClaim"
	// ActTarget makes the target and the users' Service, at Stage.
	ActTarget Kind = "MakeTarget"
	// ActConfigure writes the target's configuration of Stage, and nothing that would restart it.
	ActConfigure Kind = "Configure"
	// ActShim and ActNoShim make the read shim and take it away.
	ActShim   Kind = "MakeShim"
	ActNoShim Kind = "RemoveShim"
	// ActRun makes the Job of Role. ActAgain takes it away so that it is made anew, ActForget for good. ActSuspend stops it; it stays as a
	// witness.
	ActRun     Kind = "Run"
	ActAgain   Kind = "RunAgain"
	ActForget  Kind = "Forget"
	ActSuspend Kind = "Suspend"
	// ActRestart deletes the pod with the UID, for its controller to make it again.
	ActRestart Kind = "Restart"
	// ActStop takes away what runs the target. Its claim stays.
	ActStop Kind = "StopTarget"
	// ActGrafanaClaim makes the claim of the Grafana beside the target, ActGrafana all of it, ActNoGrafana takes away what runs it and stays
	// away from its claim.
	ActGrafanaClaim Kind = "MakeGrafanaClaim"
	ActGrafana      Kind = "MakeGrafana"
	ActNoGrafana    Kind = "StopGrafana"
	// ActRelease lets go of the migration that is being deleted.
	ActRelease Kind = "Release"
)

// Action is one thing to do now.
type Action struct {
	Kind  Kind
	Role  Role
	Stage Stage
	// SendsAlerts is of ActGrafana: whether it evaluates its alert rules.
	SendsAlerts bool
	// Pod and UID are of ActRestart.
	Pod, UID string
	Why      string
}

// String is the action in words.
func (a Action) String() string {
	what := first(string(a.Role), string(a.Stage), a.Pod)
	if what == "" {
		return fmt.Sprintf("%s: %s", a.Kind, a.Why)
	}
	return fmt.Sprintf("%s %s: %s", a.Kind, what, a.Why)
}

// Hold is a rule that holds the move.
type Hold struct {
	// Rule is its name, Reason that of the condition.
	Rule, Reason string
	Says         string
	// Human says that nothing goes on until a person acts.
	Human bool
}

// Decision is what comes next.
type Decision struct {
	Phase   v1alpha1.Phase
	Actions []Action
	// Waits are what has to happen by itself, Hold is what keeps the move from going on, nil where nothing does.
	Waits []string
	Hold  *Hold
	Stop  *v1alpha1.Stop
	// NeedsApproval are words that are waited for, Diff the edit of the source that one of them lets pass.
	NeedsApproval []v1alpha1.Approval
	Diff          string
	// CutOver says that users and alerts are with the target now, for the first time.
	CutOver bool
	// Move, Proof and Line tell of the job of a move, the last proof and the job that runs.
	Move, Line *Line
	Proof      *v1alpha1.Proof
	// Grafana tells of the one beside the target, nil where none is asked for or nothing is known. Off is what can be switched off beside what
	// a job names.
	Grafana *v1alpha1.GrafanaStatus
	Off     []Off
	// Wake is when to look again although nothing changed; 0 for the usual time.
	Wake time.Duration

	reached map[string]bool
	// asked says that a Grafana is wanted.
	asked bool
}

func (d *Decision) act(a Action) *Decision {
	d.Actions = append(d.Actions, a)
	return d
}

func (d *Decision) wait(format string, args ...any) {
	d.Waits = append(d.Waits, fmt.Sprintf(format, args...))
}

func (d *Decision) hold(rule, reason string, human bool, format string, args ...any) {
	d.Hold = &Hold{rule, reason, fmt.Sprintf(format, args...), human}
}

// wake keeps the soonest.
func (d *Decision) wake(after time.Duration) {
	if after > 0 && (d.Wake == 0 || after < d.Wake) {
		d.Wake = after
	}
}

// starts are actions that a pause holds back. What ends or undoes something is done all the same.
func (a Action) starts() bool {
	return slices.Contains([]Kind{ActClaim, ActTarget, ActShim, ActRun, ActRestart, ActConfigure, ActGrafanaClaim, ActGrafana}, a.Kind)
}

// String is the decision for people.
func (d *Decision) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "phase %s\n", d.Phase)
	for _, a := range d.Actions {
		fmt.Fprintf(&b, "does   %s\n", a)
	}
	for _, w := range d.Waits {
		fmt.Fprintf(&b, "waits  %s\n", w)
	}
	if h := d.Hold; h != nil {
		fmt.Fprintf(&b, "held   %s (%s): %s\n", h.Rule, h.Reason, h.Says)
	}
	if d.Stop != nil {
		fmt.Fprintf(&b, "stops  %s: %s\n", d.Stop.Rule, d.Stop.Text)
	}
	for _, a := range d.NeedsApproval {
		fmt.Fprintf(&b, "needs  %s in spec.approved\n", a)
	}
	for _, c := range d.Conditions() {
		fmt.Fprintf(&b, "says   %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}
