package course

import (
	"time"

	"k8s.io/utils/ptr"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// noon is when everything is decided.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func ago(d time.Duration) time.Time { return noon().Add(-d) }

// fresh is a migration that was just made.
func fresh() *World {
	return &World{Now: noon(), Name: "ecs", Jobs: map[Role]*Job{}, Spec: v1alpha1.PrometheusMigrationSpec{ObserveForSeconds: ptr.To[int32](3600)}}
}

func done(l Line) *Job { return &Job{Same: true, Succeeded: true, Ended: ago(time.Minute), Line: &l} }

func running(l *Line) *Job { return &Job{Same: true, Line: l} }

// The worlds of a move that goes well; each goes on from the one before.
func rehearsed() *World {
	w := fresh()
	w.Target.Claim = true
	w.Jobs[RoleRehearse] = done(Line{Verdict: "Fine"})
	return w
}

func started() *World {
	w := rehearsed()
	w.Target.Applied, w.Target.Stage, w.Target.Current = true, StageBridge, true
	w.Target.Pod = Pod{Name: "prometheus-0", UID: "u1", Ready: true, Started: ago(5 * time.Hour)}
	w.Shim = Shim{Exists: true, Ready: true}
	return w
}

func moving(phase string) *World {
	w := started()
	w.Jobs[RolePreflight] = done(Line{Verdict: "Fine"})
	w.Jobs[RoleMove] = running(&Line{Phase: phase, Steps: Steps{"bring 19 blocks"}, Blocks: &Blocks{Total: 31, Staged: 12}})
	return w
}

func proved1() *World {
	w := moving("Verify")
	w.Target.Stage = StageVerify
	w.Jobs[RoleMove] = done(Line{Phase: "Done", Done: true, Proof: &Proof{Verdict: "proved", Summary: "all is there", At: ago(time.Hour)}})
	return w
}

func proved2() *World {
	w := proved1()
	w.Target.Pod.Started = ago(30 * time.Minute)
	w.Jobs[RoleProof] = done(Line{Phase: "Done", Done: true, Proof: &Proof{Verdict: "proved", Summary: "all is there still", At: ago(20 * time.Minute)},
		TargetStarted: ptr.To(ago(30 * time.Minute)), Gaps: []Gap{{From: ago(31 * time.Minute), To: ago(30 * time.Minute), Filled: true}}})
	w.Jobs[RoleProof].Begun = ago(29 * time.Minute)
	return w
}

func cuttingOver(l *Line) *World {
	w := proved2()
	w.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalCutover}
	w.Jobs[RoleCutover] = running(l)
	return w
}

func cutOver(since time.Duration) *World {
	w := proved2()
	w.Target.Stage = StageCutOver
	w.Jobs[RoleCutover] = done(Line{Done: true})
	w.Status.CutOverAt = &metav1.Time{Time: ago(since)}
	w.Status.Endpoint = &v1alpha1.EndpointStatus{LeadsTo: v1alpha1.SideTarget, Wanted: v1alpha1.SideTarget, Since: w.Status.CutOverAt}
	return w
}

// startedAgain is a world whose target was started again, and runs.
func startedAgain(w *World) *World {
	w.Target.Pod.Started = ago(10 * time.Second)
	return w
}

func final() *World {
	w := cutOver(2 * time.Hour)
	w.Jobs[RoleFinalize] = done(Line{Done: true, SwitchOff: []Off{{"prometheus on monitor", "systemctl disable prometheus"}}})
	return w
}

func with(w *World, change func(*World)) *World {
	change(w)
	return w
}

func back(w *World) *World {
	w.Spec.Goal = v1alpha1.GoalRolledBack
	return w
}
