package course

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestTheCourse shows what is decided at each place of a move, and of its way back.
func TestTheCourse(t *testing.T) {
	var text strings.Builder
	for _, c := range []struct {
		name string
		w    *World
	}{
		{"a migration that was just made", fresh()},
		{"the claim is there", with(fresh(), func(w *World) { w.Target.Claim = true })},
		{"it was rehearsed", rehearsed()},
		{"the target starts", with(started(), func(w *World) {
			w.Target.Pod.Ready, w.Target.Pod.Says = false, "container prometheus: ImagePullBackOff"
		})},
		{"the target runs", started()},
		{"the preflight is done", with(moving(""), func(w *World) { delete(w.Jobs, RoleMove) })},
		{"blocks travel", moving("Stage")},
		{"the history is there, and the target still asks the source", moving("Verify")},
		{"it was proved once", proved1()},
		{"the pod is made again", with(proved1(), func(w *World) { w.Target.Pod.Ending = true })},
		{"it runs again", with(proved2(), func(w *World) { delete(w.Jobs, RoleProof) })},
		{"it was proved twice", proved2()},
		{"the target was started again", startedAgain(proved2())},
		{"the cutover is approved", with(cuttingOver(nil), func(w *World) { delete(w.Jobs, RoleCutover) })},
		{"the target is to send alerts", cuttingOver(&Line{Step: "TargetAlertingOn", Wants: wantsAlerting})},
		{"the source's file is to be edited", with(cuttingOver(&Line{Step: "SourceAlertingOff", NeedsApproval: "SourceAlertingOff", Diff: "-alerting:"}), func(w *World) { w.Target.Stage = StageAlerts })},
		{"it is cut over", with(cutOver(0), func(w *World) { w.Status.CutOverAt = nil })},
		{"it is observed", cutOver(time.Minute)},
		{"the target dies under users", with(startedAgain(cutOver(time.Minute)), func(w *World) { w.Target.Pod.Ready = false })},
		{"it is there again", startedAgain(cutOver(time.Minute))},
		{"what it missed is brought", with(startedAgain(cutOver(2*time.Hour)), func(w *World) {
			w.Status.Proof, w.Jobs[RoleProof] = w.proof(), running(&Line{Phase: "Seam", Waits: []string{"the target writes block [11:59, 12:00)"}})
		})},
		{"the observation is over", cutOver(2 * time.Hour)},
		{"the end is approved", with(cutOver(2*time.Hour), func(w *World) { w.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalFinalize} })},
		{"nobody asks through the shim any more", with(cutOver(2*time.Hour), func(w *World) {
			w.Spec.Approved, w.Shim = []v1alpha1.Approval{v1alpha1.ApprovalFinalize}, Shim{}
		})},
		{"it is final", final()},
		{"all is done", with(final(), func(w *World) { w.Target.Stage, w.Shim = StageFinal, Shim{} })},
		{"back while blocks travel", back(moving("Stage"))},
		{"back, and the move is stopped", with(back(moving("Stage")), func(w *World) { w.Jobs[RoleMove].Suspended = true })},
		{"back after the cutover", back(cutOver(time.Minute))},
		{"back, and the source sends again", with(back(cutOver(time.Minute)), func(w *World) { w.Jobs[RoleRollback] = running(&Line{Wants: wantsOff}) })},
		{"back, and everything is undone", with(back(cutOver(time.Minute)), func(w *World) {
			w.Target.Stage = StageVerify
			w.Jobs[RoleRollback], w.Jobs[RoleUndo] = done(Line{Done: true}), done(Line{Done: true})
		})},
		{"back, and the target is gone", with(back(moving("Stage")), func(w *World) {
			w.Target, w.Shim, w.Jobs[RoleMove].Suspended = Target{Claim: true}, Shim{}, true
		})},
		{"back when it is too late", with(back(final()), func(w *World) { w.Target.Stage, w.Shim = StageFinal, Shim{} })},
	} {
		fmt.Fprintf(&text, "== %s\n%s\n", c.name, Decide(c.w))
	}
	golden.Check(t, "testdata/course.golden", text.String())
}

// acts are the kinds of the actions.
func acts(d *Decision) (kinds []string) {
	for _, a := range d.Actions {
		kinds = append(kinds, strings.TrimSpace(string(a.Kind)+" "+first(string(a.Role), string(a.Stage), a.Pod)))
	}
	return kinds
}

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		w     *World
		phase v1alpha1.Phase
		acts  []string
		rule  string
	}{
		{"a spec that cannot be followed starts nothing", with(fresh(), func(w *World) { w.Invalid = []Finding{{Where: "spec.x", Says: "is wrong"}} }), v1alpha1.PhasePreflight, nil, RuleSpecValid},
		{"a refused plan starts nothing", with(fresh(), func(w *World) { w.Refused = []Finding{{Where: "retention", Says: "too short"}} }), v1alpha1.PhasePreflight, nil, RulePlanRefused},
		{"a plan that is refused later does not take the target away", with(moving("Stage"), func(w *World) { w.Refused = []Finding{{Where: "retention"}} }), v1alpha1.PhaseStage, nil, ""},
		{"a pause starts nothing", with(fresh(), func(w *World) { w.Paused = ptr.To("") }), v1alpha1.PhaseRehearse, nil, RuleStartsNothing},
		{"a pause leaves alone what runs", with(moving("Stage"), func(w *World) { w.Paused = ptr.To("") }), v1alpha1.PhaseStage, nil, ""},
		{"a freeze starts no restart", with(proved1(), func(w *World) { w.Frozen = ptr.To("no") }), v1alpha1.PhaseVerify, nil, RuleStartsNothing},
		{"a cluster that does not answer keeps the phase", with(cutOver(time.Minute), func(w *World) {
			w.ClusterUnreachable, w.Status.Phase = "timeout", v1alpha1.PhaseObserve
		}), v1alpha1.PhaseObserve, nil, ""},
		{"a job of other arguments is made anew", with(moving("Stage"), func(w *World) { w.Jobs[RoleMove].Same = false }), v1alpha1.PhaseStage, []string{"RunAgain move"}, ""},
		{"a job that ended and whose log is gone is made anew", with(proved1(), func(w *World) { w.Jobs[RoleMove].Line = nil }), v1alpha1.PhasePin, []string{"RunAgain move"}, ""},
		{"a stop holds for a while", with(moving("Stage"), func(w *World) {
			w.Jobs[RoleMove] = &Job{Same: true, Failed: true, Ended: ago(time.Minute), Line: &Line{Phase: "Stage", Stop: &Stop{"target_has_no_room", "full"}}}
		}), v1alpha1.PhaseStage, nil, "target_has_no_room"},
		{"a stop is tried again", with(moving("Stage"), func(w *World) {
			w.Jobs[RoleMove] = &Job{Same: true, Failed: true, Ended: ago(time.Hour), Line: &Line{Phase: "Stage", Stop: &Stop{"target_has_no_room", "full"}}}
		}), v1alpha1.PhaseStage, []string{"RunAgain move"}, ""},
		{"a move that is tried again goes on where it was", with(proved1(), func(w *World) { delete(w.Jobs, RoleMove) }), v1alpha1.PhasePin, []string{"Run move"}, ""},
		{"a restart waits for a pod that is not ready", with(proved1(), func(w *World) { w.Target.Pod.Ready = false }), v1alpha1.PhaseVerify, nil, ""},
		{"nothing restarts the target when the second proof was begun", with(proved1(), func(w *World) { w.Jobs[RoleProof] = running(nil) }), v1alpha1.PhaseVerify, nil, ""},
		{"nothing restarts the target after the second proof", with(cuttingOver(nil), func(w *World) { w.Target.Pod.Started = ago(9 * time.Hour) }), v1alpha1.PhaseCutover, nil, ""},
		{"a second proof that differs keeps users where they are", with(proved2(), func(w *World) {
			w.Jobs[RoleProof] = &Job{Same: true, Failed: true, Ended: ago(time.Second), Line: &Line{Phase: "Verify", Stop: &Stop{"not_proved", "3 samples differ"}}}
			w.Spec.Gates.Cutover = v1alpha1.GateAuto
		}), v1alpha1.PhaseVerify, nil, "not_proved"},
		{"a target that was started again is filled before the cutover", with(startedAgain(proved2()), func(w *World) { w.Spec.Gates.Cutover = v1alpha1.GateAuto }),
			v1alpha1.PhaseVerify, []string{"RunAgain proof"}, RuleFilled},
		{"a target that is not there yet is not filled", with(startedAgain(proved2()), func(w *World) { w.Target.Pod.Ready = false }), v1alpha1.PhaseVerify, nil, RuleFilled},
		{"a cutover that has begun is ended before the target is filled", startedAgain(cuttingOver(nil)), v1alpha1.PhaseCutover, nil, ""},
		{"a target that was started again after the cutover is filled", startedAgain(cutOver(time.Minute)), v1alpha1.PhaseObserve, []string{"RunAgain proof"}, RuleFilled},
		{"a target that did not answer is filled, though nobody restarted it", with(cutOver(time.Minute), func(w *World) {
			w.Status.Endpoint = &v1alpha1.EndpointStatus{LeadsTo: v1alpha1.SideSource, Since: &metav1.Time{Time: ago(time.Second)}}
		}), v1alpha1.PhaseObserve, []string{"RunAgain proof"}, RuleFilled},
		{"a target that lacks samples is not made final", with(startedAgain(cutOver(2*time.Hour)), func(w *World) {
			w.Spec.Gates.Finalize, w.Jobs[RoleFinalize] = v1alpha1.GateAuto, running(nil)
		}), v1alpha1.PhaseObserve, []string{"Forget finalize", "RunAgain proof"}, RuleFilled},
		{"what is brought holds the end", with(startedAgain(cutOver(2*time.Hour)), func(w *World) {
			w.Spec.Gates.Finalize, w.Status.Proof, w.Jobs[RoleProof] = v1alpha1.GateAuto, w.proof(), running(nil)
		}), v1alpha1.PhaseObserve, nil, RuleFilled},
		{"samples that cannot be brought hold the end", with(startedAgain(cutOver(2*time.Hour)), func(w *World) {
			w.Spec.Gates.Finalize, w.Status.Proof = v1alpha1.GateAuto, w.proof()
			w.Jobs[RoleProof] = &Job{Same: true, Failed: true, Ended: ago(time.Second), Line: &Line{Phase: "Seam", Stop: &Stop{"source_is_silent", "no route"}}}
		}), v1alpha1.PhaseObserve, nil, "source_is_silent"},
		{"a target that was filled is made final", with(startedAgain(cutOver(2*time.Hour)), func(w *World) {
			w.Spec.Gates.Finalize, w.Shim = v1alpha1.GateAuto, Shim{}
			w.Jobs[RoleProof].Line.TargetStarted, w.Jobs[RoleProof].Begun = ptr.To(ago(9*time.Second)), ago(5*time.Second)
		}), v1alpha1.PhaseFinalize, []string{"Run finalize"}, ""},
		{"a first proof that differs stops", with(proved1(), func(w *World) { w.Jobs[RoleMove].Line.Proof.Verdict = "Different" }), v1alpha1.PhaseVerify, nil, RuleProvedFirst},
		{"an open gate and no window cut over", with(proved2(), func(w *World) { w.Spec.Gates.Cutover = v1alpha1.GateAuto }), v1alpha1.PhaseCutover, []string{"Run cutover"}, ""},
		{"a window that closes does not stop what was begun", with(cuttingOver(nil), func(w *World) { w.Spec.Cutover.Window = &v1alpha1.Window{From: "02:00", To: "05:00"} }), v1alpha1.PhaseCutover, nil, ""},
		{"a target that goes away after the cutover changes no phase", with(cutOver(time.Minute), func(w *World) { w.Target.Pod = Pod{} }), v1alpha1.PhaseObserve, nil, RuleObserved},
		{"a lost job of the move changes nothing after the cutover", with(cutOver(time.Minute), func(w *World) { w.Jobs = map[Role]*Job{} }), v1alpha1.PhaseObserve, nil, RuleObserved},
		{"a deletion before the cutover rolls back", with(moving("Stage"), func(w *World) { w.Deleting = true }), v1alpha1.PhaseRollingBack, []string{"Suspend move"}, ""},
		{"a deletion within the cutover holds", with(cuttingOver(nil), func(w *World) { w.Deleting = true }), v1alpha1.PhaseCutover, nil, RuleUndoneBeforeEnd},
		{"a deletion after the cutover does not end the observation", with(cutOver(time.Minute), func(w *World) { w.Deleting = true }), v1alpha1.PhaseObserve, nil, RuleObserved},
		{"a deletion of a fresh one lets go at once", with(fresh(), func(w *World) { w.Deleting = true }), v1alpha1.PhaseRolledBack, []string{"Release"}, ""},
		{"a deletion of one that is final lets go", with(final(), func(w *World) { w.Deleting, w.Target.Stage, w.Shim = true, StageFinal, Shim{} }), v1alpha1.PhaseFinalized, []string{"Release"}, ""},
		{"a deletion waits for a cluster that does not answer", with(moving("Stage"), func(w *World) {
			w.Deleting, w.ClusterUnreachable, w.Status.Phase = true, "timeout", v1alpha1.PhaseStage
		}),
			v1alpha1.PhaseStage, nil, RuleAbandoned},
		{"a person lets go of one whose cluster is gone", with(final(), func(w *World) { w.Deleting, w.ClusterUnreachable, w.Abandoned = true, "timeout", ptr.To("burnt") }),
			v1alpha1.PhaseFinalized, []string{"Release"}, ""},
		{"nobody lets go of one whose cluster answers", with(moving("Stage"), func(w *World) { w.Deleting, w.Abandoned = true, ptr.To("burnt") }), v1alpha1.PhaseRollingBack, []string{"Suspend move"}, ""},
		{"nobody lets go of one that is not deleted", with(moving("Stage"), func(w *World) { w.ClusterUnreachable, w.Abandoned = "timeout", ptr.To("burnt") }), v1alpha1.PhasePreflight, nil, ""},
		{"a rollback stops the move before anything else", back(cuttingOver(&Line{Wants: wantsAlerting})), v1alpha1.PhaseRollingBack, []string{"Suspend cutover"}, ""},
		{"a rollback undoes what a job had brought that is gone", with(back(proved1()), func(w *World) { delete(w.Jobs, RoleMove) }), v1alpha1.PhaseRollingBack, []string{"Run undo"}, ""},
		{"a rollback undoes nothing where nothing was brought", back(started()), v1alpha1.PhaseRollingBack, []string{"StopTarget", "RemoveShim"}, ""},
		{"a rolled back one forgets its witnesses", with(back(fresh()), func(w *World) { w.Jobs[RoleMove], w.Jobs[RoleUndo] = done(Line{Done: true}), done(Line{Done: true}) }),
			v1alpha1.PhaseRolledBack, []string{"Forget move", "Forget undo"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(c.w)
			rule := ""
			if d.Hold != nil {
				rule = d.Hold.Rule
			}
			if diff := cmp.Diff(c.acts, acts(d)); diff != "" || d.Phase != c.phase || rule != c.rule {
				t.Errorf("phase %s, rule %q, want %s and %q; actions (-want +got):\n%s\n%s", d.Phase, rule, c.phase, c.rule, diff, d)
			}
		})
	}
}
