package course

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// step is one part of a course. It gives true when what it is for is there; else it has said what comes next.
type step func(*World, *Decision) bool

// Decide says what comes next.
func Decide(w *World) *Decision {
	d := &Decision{Phase: v1alpha1.PhasePreflight, reached: map[string]bool{}, asked: w.Spec.Grafana != nil}
	w.tell(d)
	course := []step{
		specIsValid, clusterAnswers, planHolds,
		claimIsThere, isRehearsed,
		targetRuns, fitsTheSource, grafanaStands,
		historyIsBrought, isProved, isRestarted, isProvedAgain,
		mayCutOver, grafanaIsFresh, isCutOver,
		isObserved, mayFinalize, shimIsGone, isFinalized,
	}
	switch {
	case w.finalized():
		course = w.final(d)
	case w.goesBack():
		course = rollback()
		if len(w.Invalid) == 0 {
			d.reach(v1alpha1.ConditionSpecValid)
		}
		d.Phase = v1alpha1.PhaseRollingBack
	case w.Deleting && !w.cutOver():
		course = []step{clusterAnswers, cutOverIsUndone}
	case w.cutOver():
		d.reach(beforeCutover()...)
		w.seenGrafana(d)
		if w.Deleting {
			d.wait("it goes away when it is final; spec.goal: RolledBack puts everything back instead")
		}
		course = []step{clusterAnswers, hasCutOverConfiguration, isCutOver, isWhole, isObserved, mayFinalize, shimIsGone, isFinalized}
	}
	for _, next := range course {
		if !next(w, d) {
			break
		}
	}
	w.gate(d)
	w.tellNewest(d)
	return d
}

// tellNewest prefers what the move's second run tells: it knows more than the first.
func (w *World) tellNewest(d *Decision) {
	if j := w.job(RoleProof); j != nil && j.Line != nil && j.Line.Phase != "" {
		d.Move = j.Line
	}
}

// final is the course when the move is over.
func (w *World) final(d *Decision) []step {
	d.Phase = v1alpha1.PhaseFinalized
	if j := w.job(RoleFinalize); j != nil {
		d.Line = j.Line
	}
	d.reach(beforeCutover()...)
	d.reach(v1alpha1.ConditionCutOver, v1alpha1.ConditionReady)
	if w.Spec.Goal == v1alpha1.GoalRolledBack {
		d.hold(RuleWayBackIsOpen, v1alpha1.ReasonTooLate, true, "the move is final: the source may be gone; set spec.goal to Finalized")
	}
	w.switchOffGrafana(d)
	return []step{clusterAnswers, hasFinalConfiguration, shimIsGone, grafanaSendsAlerts, isReleased}
}

// beforeCutover are what was seen before users moved; it does not become untrue because its witnesses are gone.
func beforeCutover() []string {
	return []string{v1alpha1.ConditionSpecValid, v1alpha1.ConditionRehearsed, v1alpha1.ConditionPreflightPassed, v1alpha1.ConditionCoverageEqual, v1alpha1.ConditionVerified}
}

// reach notes conditions that are true.
func (d *Decision) reach(conditions ...string) {
	for _, c := range conditions {
		d.reached[c] = true
	}
}

func (w *World) job(r Role) *Job { return w.Jobs[r] }

// finalized: the job said so, or the status has it from then.
func (w *World) finalized() bool {
	return w.Status.Phase == v1alpha1.PhaseFinalized || w.job(RoleFinalize).passed() && w.job(RoleFinalize).Line.Done
}

// begun says that the cutover was begun, so that something of it may have to be undone.
func (w *World) begun() bool { return w.job(RoleCutover) != nil || w.Status.CutOverAt != nil }

// cutOver: the job said so, or the status has it from then.
func (w *World) cutOver() bool {
	return w.Status.CutOverAt != nil || w.job(RoleCutover).passed() && w.job(RoleCutover).Line.Done
}

// goesBack: a person wants it, or the migration is deleted before anything was cut over. What is rolled back stays so.
func (w *World) goesBack() bool {
	return w.Spec.Goal == v1alpha1.GoalRolledBack || w.Deleting && !w.begun()
}

// tell takes over what jobs say of themselves, for the status.
func (w *World) tell(d *Decision) {
	if j := w.job(RoleMove); j != nil {
		d.Move = j.Line
	}
	d.Proof = w.proof()
	w.tellGrafana(d)
}

// gate holds back what would start something.
func (w *World) gate(d *Decision) {
	why, reason := w.Paused, v1alpha1.ReasonPaused
	if w.Frozen != nil {
		why, reason = w.Frozen, v1alpha1.ReasonFrozen
	}
	if why == nil || !slices.ContainsFunc(d.Actions, Action.starts) {
		return
	}
	var held []string
	for _, a := range d.Actions {
		if a.starts() {
			held = append(held, string(a.Kind)+" "+first(string(a.Role), string(a.Stage), a.Pod))
		}
	}
	d.Actions = slices.DeleteFunc(d.Actions, Action.starts)
	d.hold(RuleStartsNothing, reason, true, "%s is held back: %s", strings.Join(held, ", "), first(*why, "no reason was given"))
}

func specIsValid(w *World, d *Decision) bool {
	if len(w.Invalid) > 0 {
		if w.Target.Applied && w.Status.Phase != "" {
			d.Phase = w.Status.Phase
		}
		d.hold(RuleSpecValid, v1alpha1.ReasonInvalidSpec, true, "%s", findings(w.Invalid))
		return false
	}
	return true
}

func clusterAnswers(w *World, d *Decision) bool {
	if w.ClusterUnreachable == "" {
		return true
	}
	if w.Status.Phase != "" {
		d.Phase = w.Status.Phase
	}
	d.hold("", v1alpha1.ReasonClusterUnreachable, false, "the target's cluster does not answer: %s", w.ClusterUnreachable)
	if w.Deleting {
		w.maybeAbandon(d)
	}
	return false
}

func planHolds(w *World, d *Decision) bool {
	switch {
	case w.Unreachable != "" && !w.Target.Applied:
		d.hold("", v1alpha1.ReasonSourceUnreachable, false, "the old server has to be asked what it is: %s", w.Unreachable)
		return false
	case len(w.Refused) > 0 && !w.Target.Applied:
		d.hold(RulePlanRefused, v1alpha1.ReasonRefused, true, "%s", findings(w.Refused))
		d.Stop = &v1alpha1.Stop{Rule: w.Refused[0].Where, Text: w.Refused[0].Says + "; " + w.Refused[0].Fix}
		return false
	}
	d.reach(v1alpha1.ConditionSpecValid)
	return true
}

func claimIsThere(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseRehearse
	if !w.Target.Claim {
		d.act(Action{Kind: ActClaim, Why: "the volume is measured before the server is there"})
		return false
	}
	if w.Target.ClaimLost != "" {
		d.hold(RuleRehearseFirst, v1alpha1.ReasonWaiting, true, "%s", w.Target.ClaimLost)
		return false
	}
	return true
}

// isRehearsed: a target that is there already was rehearsed, or is not ours to measure under its own writes.
func isRehearsed(w *World, d *Decision) bool {
	if !w.Target.Applied && !w.ran(d, RoleRehearse, "the volume and the network are measured where the server will run") {
		return false
	}
	d.reach(v1alpha1.ConditionRehearsed)
	return true
}

func targetRuns(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseStartTarget
	if w.moveHasBegun() {
		w.tellTarget(d)
		return true // a pod that is away for a while does not take the move back
	}
	if !w.Target.Applied || w.Target.Stage != StageBridge || !w.Target.Current {
		d.act(Action{Kind: ActTarget, Stage: StageBridge, Why: "it scrapes from now on, and asks the shim for the past"})
	}
	if !w.Shim.Exists {
		d.act(Action{Kind: ActShim, Why: "it answers for the time before the target's first sample"})
	}
	switch {
	case len(d.Actions) > 0:
		return false
	case !w.Target.Pod.Ready || w.Target.Pod.Ending:
		d.wait("the target's pod is not ready%s", because(w.Target.Pod.Says))
		return false
	case !w.Shim.Ready:
		d.wait("the read shim is not ready")
		return false
	}
	w.tellTarget(d)
	return true
}

func (w *World) tellTarget(d *Decision) {
	if w.Target.Pod.Ready && !w.Target.Pod.Ending {
		d.reach(v1alpha1.ConditionTargetReady)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// moveHasBegun says that data may have moved: the job is there, or the target was told of the history that it brought.
func (w *World) moveHasBegun() bool {
	return w.job(RoleMove) != nil || w.Target.Applied && w.Target.Stage != "" && w.Target.Stage != StageBridge
}

// keepConfigured follows the move and changes of the source's configuration; nothing that would restart the target.
func (w *World) keepConfigured(d *Decision) {
	if w.Target.Lags != "" {
		d.wait("%s", w.Target.Lags)
	}
	switch {
	case d.Phase == v1alpha1.PhaseVerify && w.Target.Stage == StageBridge:
		d.act(Action{Kind: ActConfigure, Stage: StageVerify, Why: "the history is there; the target answers for itself while both are compared"})
	case !w.Target.Current && w.Target.Stage != "":
		d.act(Action{Kind: ActConfigure, Stage: w.Target.Stage, Why: "the source's configuration or the spec changed"})
	}
}

func fitsTheSource(w *World, d *Decision) bool {
	if !w.moveHasBegun() && !w.ran(d, RolePreflight, "both servers are held against each other before data moves") {
		return false
	}
	d.reach(v1alpha1.ConditionPreflightPassed)
	return true
}

// historyIsBrought runs the move. It ends with the first proof, for which the target has to answer for itself.
func historyIsBrought(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhasePin
	if l := d.Move; l != nil {
		d.Phase = movePhase(l.Phase)
		if l.End != nil || after(d.Phase, v1alpha1.PhaseCoverage) {
			d.reach(v1alpha1.ConditionCoverageEqual)
		}
	}
	w.keepConfigured(d)
	return w.ran(d, RoleMove, "the history is brought") && d.Move.Done
}

// movePhase is a phase of a move as the kind calls it. A word that is not known is told by no phase of ours.
func movePhase(text string) v1alpha1.Phase {
	for _, p := range []v1alpha1.Phase{v1alpha1.PhaseStartTarget, v1alpha1.PhaseCoverage, v1alpha1.PhaseStage, v1alpha1.PhaseSeam, v1alpha1.PhaseInstall, v1alpha1.PhaseVerify} {
		if string(p) == text {
			return p
		}
	}
	if text == "Done" {
		return v1alpha1.PhaseVerify
	}
	return v1alpha1.PhasePin
}

func after(p, other v1alpha1.Phase) bool {
	order := []v1alpha1.Phase{v1alpha1.PhaseStartTarget, v1alpha1.PhasePin, v1alpha1.PhaseCoverage, v1alpha1.PhaseStage, v1alpha1.PhaseSeam,
		v1alpha1.PhaseInstall, v1alpha1.PhaseVerify, v1alpha1.PhaseCutover, v1alpha1.PhaseObserve, v1alpha1.PhaseFinalize, v1alpha1.PhaseFinalized}
	return slices.Index(order, p) > slices.Index(order, other)
}

func isProved(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseVerify
	if d.Move.Proof == nil || d.Move.Proof.Verdict != proved {
		d.hold(RuleProvedFirst, v1alpha1.ReasonNotProved, true, "the job of the move ended without a proof; delete Job %s-%s to have it made", w.Name, RoleMove)
		return false
	}
	return true
}

// isRestarted: the server's container is younger than the first proof.
func isRestarted(w *World, d *Decision) bool {
	pod := w.Target.Pod
	switch {
	case w.job(RoleProof) != nil:
		return true
	case w.Target.Stage == StageBridge:
		return false // keepConfigured has told
	case pod.Ending || pod.Name == "":
		d.wait("the target's pod is made again: it is compared once more after a restart")
		return false
	case !pod.Ready:
		d.wait("the target's pod is not ready%s", because(pod.Says))
		return false
	case pod.Started.After(d.Move.Proof.At):
		return true
	}
	d.act(Action{Kind: ActRestart, Pod: pod.Name, UID: pod.UID, Why: "what a restart would lose has to show before anybody depends on it"})
	return false
}

func isProvedAgain(w *World, d *Decision) bool {
	if !w.ran(d, RoleProof, "what the target missed in its restart is brought, and both are compared once more") {
		return false
	}
	if why := w.missed(); why != "" && !w.begun() { // a cutover that has begun is ended first; users wait
		return w.fill(d, why)
	}
	d.reach(v1alpha1.ConditionVerified)
	return true
}

// proof is the last one.
func (w *World) proof() *v1alpha1.Proof {
	j := w.job(RoleMove)
	again := w.job(RoleProof)
	switch {
	case again.ended() && again.Line.Proof != nil:
		p := proofOf(again.Line.Proof, v1alpha1.AfterRestartDone)
		p.LookedAt, p.TargetStarted = instant(&again.Begun), instant(again.Line.TargetStarted)
		return p
	case w.cutOver() && w.Status.Proof != nil: // what was seen then stays seen
		return w.Status.Proof
	case j == nil || j.Line == nil || j.Line.Proof == nil:
		return w.Status.Proof
	}
	return proofOf(j.Line.Proof, v1alpha1.AfterRestartPending)
}

// retryAfter is how long a job that ended badly is left: a rule stops for a reason that a person mends, other ends are accidents.
func retryAfter(j *Job) time.Duration {
	if j.stopped() != nil {
		return 5 * time.Minute
	}
	return 30 * time.Second
}

// ran says that a job came to its good end; else it sees that it runs, and tells why it does not.
func (w *World) ran(d *Decision, r Role, why string) bool {
	j := w.job(r)
	if j != nil {
		d.Line = j.Line
	}
	switch {
	case j == nil:
		d.act(Action{Kind: ActRun, Role: r, Why: why})
	case j.Ending:
		d.wait("job %s-%s ends", w.Name, r)
	case j.passed():
		return true
	case j.Succeeded:
		d.act(Action{Kind: ActAgain, Role: r, Why: "it ended, and its log with what it found is gone"})
	case !j.Same || j.Suspended:
		d.act(Action{Kind: ActAgain, Role: r, Why: "something else is asked of it now"})
	case j.Failed:
		w.failed(d, r, j)
	default:
		w.listen(d, r, j)
	}
	return false
}

func (w *World) failed(d *Decision, r Role, j *Job) {
	stop := j.stopped()
	reason, rule := v1alpha1.ReasonStopped, RuleJobFailed
	text := first(j.Says, "it said nothing; see kubectl logs job/"+w.Name+"-"+string(r))
	if stop != nil {
		rule, text = stop.Rule, stop.Text
	} else {
		reason = v1alpha1.ReasonFailed
		stop = &v1alpha1.Stop{Rule: rule, Text: text}
	}
	d.Stop = stop
	if left := retryAfter(j) - w.Now.Sub(j.Ended); left > 0 {
		d.hold(rule, reason, true, "%s (job %s-%s; tried again in %s, or at once with the annotation %s)", text, w.Name, r, left.Round(time.Second), v1alpha1.RetryAnnotation)
		d.wake(left)
		return
	}
	d.act(Action{Kind: ActAgain, Role: r, Why: "it stopped by " + rule + ", which may be mended"})
}

// listen takes over what a running job waits for.
func (w *World) listen(d *Decision, r Role, j *Job) {
	if j.Line == nil {
		d.wait("job %s-%s runs%s", w.Name, r, because(j.Says))
		return
	}
	d.Waits = append(d.Waits, j.Line.Waits...)
	if len(d.Waits) == 0 && len(j.Line.Steps) > 0 {
		d.wait("%s", j.Line.Steps[0])
	}
	if len(d.Waits) == 0 {
		d.wait("job %s-%s runs", w.Name, r)
	}
}

func findings(all []Finding) string {
	const most = 5
	var parts []string
	for _, f := range all[:min(most, len(all))] {
		parts = append(parts, f.String())
	}
	if more := len(all) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
