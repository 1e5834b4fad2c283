package course

import (
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/window"
)

// What a job of the cutover wants the target's configuration to become (migration/cutover, Wants): the controller writes it.
const (
	wantsAlerting    = "AlertingOn"
	wantsRemoteWrite = "RemoteWriteOn"
	wantsOff         = "Off"
)

func (w *World) approved(a v1alpha1.Approval) bool { return slices.Contains(w.Spec.Approved, a) }

// mayCutOver: proved twice, approved, within the window. What was begun is ended.
func mayCutOver(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseCutover
	if w.begun() {
		return true
	}
	// Whatever came before said so already; users move by this alone.
	if p := d.Proof; p == nil || p.Verdict != proved || p.AfterRestart != v1alpha1.AfterRestartDone {
		d.hold(RuleRestartedFirst, v1alpha1.ReasonNotProved, true, "there is no proof after a restart")
		return false
	}
	if w.Spec.Gates.Cutover != v1alpha1.GateAuto && !w.approved(v1alpha1.ApprovalCutover) {
		d.NeedsApproval = append(d.NeedsApproval, v1alpha1.ApprovalCutover)
		d.hold(RuleApproved, v1alpha1.ReasonNeedsApproval, true, "all is proved; add Cutover to spec.approved to move users and alerts")
		return false
	}
	open, next, err := Window(w.Spec.Cutover.Window, w.Now)
	switch {
	case err != nil:
		d.hold(RuleSpecValid, v1alpha1.ReasonInvalidSpec, true, "spec.cutover.window: %v", err)
		return false
	case !open:
		d.hold(RuleWindow, v1alpha1.ReasonOutsideWindow, false, "the window opens at %s", next.Format("2006-01-02 15:04 MST"))
		d.wake(next.Sub(w.Now))
		return false
	case !w.Target.Pod.Ready || w.Target.Pod.Ending:
		d.wait("the target's pod is not ready%s", because(w.Target.Pod.Says))
		return false
	}
	return true
}

// Window says whether a window is open, and else when it opens next. No window is always open.
func Window(w *v1alpha1.Window, now time.Time) (open bool, next time.Time, err error) {
	if w == nil {
		return true, now, nil
	}
	h, err := window.New(w.From, w.To, w.TimeZone)
	if err != nil || h.Open(now) {
		return err == nil, now, err
	}
	return false, h.Opens(now), nil
}

// isCutOver runs the cutover. The target's configuration follows what the job wants: alerts before the source falls silent, remote write
// when the source is about to end its own.
func isCutOver(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseCutover
	if w.Status.CutOverAt != nil {
		d.reach(v1alpha1.ConditionCutOver, v1alpha1.ConditionVerified)
		return true
	}
	d.reach(v1alpha1.ConditionVerified)
	j := w.job(RoleCutover)
	w.configure(d, j)
	if !w.ran(d, RoleCutover, "data sources and alerts move to the target") {
		w.askApproval(d, j)
		return false
	}
	if !j.Line.Done {
		d.act(Action{Kind: ActAgain, Role: RoleCutover, Why: "it ended before it was done"})
		return false
	}
	d.CutOver = true
	d.reach(v1alpha1.ConditionCutOver)
	return true
}

// configure gives the target the configuration that a job wants. More than is wanted stays until the job wants it off.
func (w *World) configure(d *Decision, j *Job) {
	if w.Target.Lags != "" {
		d.wait("%s", w.Target.Lags)
	}
	stage := w.Target.Stage
	if j != nil && j.Line != nil && !j.Ending {
		switch {
		case j.Line.Wants == wantsOff:
			stage = StageVerify
		case j.Line.Wants == wantsRemoteWrite:
			stage = StageCutOver
		case j.Line.Wants == wantsAlerting && stage != StageCutOver:
			stage = StageAlerts
		}
	}
	switch {
	case stage != w.Target.Stage:
		d.act(Action{Kind: ActConfigure, Stage: stage, Why: "the job wants " + j.Line.Wants + " of the target"})
	case !w.Target.Current && stage != "":
		d.act(Action{Kind: ActConfigure, Stage: stage, Why: "the source's configuration or the spec changed"})
	}
}

// askApproval tells which edit of the source waits for a person, and what it is.
func (w *World) askApproval(d *Decision, j *Job) {
	if j == nil || j.Line == nil {
		return
	}
	for _, a := range []v1alpha1.Approval{v1alpha1.ApprovalSourceAlertingOff, v1alpha1.ApprovalSourceRemoteWriteOff} {
		if j.Line.NeedsApproval != string(a) || w.approved(a) {
			continue
		}
		d.NeedsApproval, d.Diff, d.Stop = append(d.NeedsApproval, a), j.Line.Diff, nil
		d.hold(RuleApproved, v1alpha1.ReasonNeedsApproval, true, "the source's file has to be edited (status.diff shows it); add %s to spec.approved", a)
	}
}

// hasCutOverConfiguration follows changes of the source's configuration after the cutover.
func hasCutOverConfiguration(w *World, d *Decision) bool {
	w.tellTarget(d)
	if w.Status.CutOverAt != nil && (w.Target.Stage != StageCutOver || !w.Target.Current) {
		d.act(Action{Kind: ActConfigure, Stage: StageCutOver, Why: "the target sends alerts and samples"})
	}
	return true
}

func isObserved(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseObserve
	if w.Status.CutOverAt == nil {
		return false // written with this decision
	}
	seconds := int32(21600)
	if w.Spec.ObserveForSeconds != nil {
		seconds = *w.Spec.ObserveForSeconds
	}
	until := w.Status.CutOverAt.Add(time.Duration(seconds) * time.Second)
	if left := until.Sub(w.Now); left > 0 {
		d.hold(RuleObserved, v1alpha1.ReasonObserving, false, "the source stays the way back until %s", until.UTC().Format("2006-01-02 15:04 MST"))
		d.wake(left)
		return false
	}
	return true
}

func mayFinalize(w *World, d *Decision) bool {
	if w.job(RoleFinalize) != nil || w.Spec.Gates.Finalize == v1alpha1.GateAuto || w.approved(v1alpha1.ApprovalFinalize) {
		return true
	}
	d.NeedsApproval = append(d.NeedsApproval, v1alpha1.ApprovalFinalize)
	d.hold(RuleApproved, v1alpha1.ReasonNeedsApproval, true, "the observation is over; add Finalize to spec.approved to give up the way back")
	return false
}

func isFinalized(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseFinalize
	if !w.ran(d, RoleFinalize, "it is seen that nobody needs the source any more") {
		return false
	}
	if !w.job(RoleFinalize).Line.Done {
		d.act(Action{Kind: ActAgain, Role: RoleFinalize, Why: "it ended before it was done"})
		return false
	}
	d.Phase = v1alpha1.PhaseFinalized
	d.reach(v1alpha1.ConditionReady)
	return true
}

func hasFinalConfiguration(w *World, d *Decision) bool {
	w.tellTarget(d)
	if w.Target.Stage != StageFinal && w.Target.Stage != "" {
		d.act(Action{Kind: ActConfigure, Stage: StageFinal, Why: "the source is no longer needed"})
		return false
	}
	return true
}

// shimIsGone comes before the end: the shim asks the source now and then, and whoever asks the source holds the end back.
func shimIsGone(w *World, d *Decision) bool {
	if w.Shim.Exists {
		d.act(Action{Kind: ActNoShim, Why: "nobody asks it any more"})
		return false
	}
	return true
}

func isReleased(w *World, d *Decision) bool {
	if w.Deleting {
		d.act(Action{Kind: ActRelease, Why: "the move is over; the target stays"})
	}
	return true
}

func cutOverIsUndone(_ *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseCutover
	d.hold(RuleUndoneBeforeEnd, v1alpha1.ReasonDeleting, true, "the cutover has begun: set spec.goal to RolledBack to put everything back before it is deleted")
	return false
}

// Approvals are the words of the spec that a job of the cutover is given.
func Approvals(spec *v1alpha1.PrometheusMigrationSpec) (words []string) {
	for _, a := range spec.Approved {
		if strings.HasPrefix(string(a), "Source") {
			words = append(words, string(a))
		}
	}
	slices.Sort(words)
	return words
}
