package course

import (
	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// rollback is the way back, from any phase. Users are led to the source by the phase itself, before anything else.
func rollback() []step {
	return []step{clusterAnswers, forwardIsStopped, cutOverIsPutBack, grafanaIsGone, moveIsUndone, targetIsGone, isRolledBack}
}

// forwardIsStopped stops what brings the move on. The jobs stay as witnesses of what was begun.
func forwardIsStopped(w *World, d *Decision) bool {
	done := true
	for _, r := range []Role{RoleRehearse, RolePreflight, RoleMove, RoleProof, RoleCutover, RoleFinalize, RoleGrafana, RoleAlike} {
		j := w.job(r)
		if j == nil || j.Suspended || j.Succeeded || j.Failed {
			continue
		}
		done = false
		if !j.Ending {
			d.act(Action{Kind: ActSuspend, Role: r, Why: "the move goes back"})
		}
	}
	if !done {
		d.wait("jobs of the move end")
	}
	return done
}

// cutOverIsPutBack has the source heard again before the target falls silent: the target's configuration follows what the job wants.
func cutOverIsPutBack(w *World, d *Decision) bool {
	if !w.begun() {
		return true
	}
	j := w.job(RoleRollback)
	w.configure(d, j)
	if !w.ran(d, RoleRollback, "data sources and alerts go back to the source") {
		return false
	}
	if !j.Line.Done {
		d.act(Action{Kind: ActAgain, Role: RoleRollback, Why: "it ended before it was done"})
		return false
	}
	if w.Target.Stage == StageAlerts || w.Target.Stage == StageCutOver {
		d.act(Action{Kind: ActConfigure, Stage: StageVerify, Why: "the source sends again"})
		return false
	}
	return true
}

// moveIsUndone lets go of the blocks on the source and takes out of the target what was brought. It needs the volume, and so the target.
func moveIsUndone(w *World, d *Decision) bool {
	if !w.moveHasBegun() || !w.Target.Applied {
		return true
	}
	return w.ran(d, RoleUndo, "the blocks on the source are let go of")
}

func targetIsGone(w *World, d *Decision) bool {
	if w.Target.Applied || w.Target.Pod.Name != "" {
		if !w.Target.Pod.Ending {
			d.act(Action{Kind: ActStop, Why: "the source serves alone again; the claim stays"})
		}
		d.wait("the target ends")
	}
	if w.Shim.Exists {
		d.act(Action{Kind: ActNoShim, Why: "nobody asks it any more"})
	}
	return len(d.Actions) == 0 && len(d.Waits) == 0
}

func isRolledBack(w *World, d *Decision) bool {
	d.Phase = v1alpha1.PhaseRolledBack
	if w.Spec.Goal == v1alpha1.GoalRolledBack {
		d.reach(v1alpha1.ConditionReady)
	}
	// Witnesses of what was undone go last, those of the way back after the others: a crash between two of them repeats nothing.
	for _, r := range Jobs() {
		if j := w.job(r); j != nil && !j.Ending {
			d.act(Action{Kind: ActForget, Role: r, Why: "what it did is undone"})
		}
	}
	if w.Deleting && len(d.Actions) == 0 {
		d.act(Action{Kind: ActRelease, Why: "everything is put back"})
	}
	return true
}
