package course

import (
	"strings"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// maybeAbandon is the way out of a migration that is deleted and whose cluster is gone: nothing there can be put back, and nobody can know
// that it never will. So a person says it.
func (w *World) maybeAbandon(d *Decision) {
	left := strings.Join(w.leftBehind(), "; ")
	if w.Abandoned == nil {
		d.hold(RuleAbandoned, v1alpha1.ReasonClusterUnreachable, true, "it is deleted, and the target's cluster does not answer: %s. When that is back, all is put back by itself. If it is gone for good, "+
			"let go with the annotation %s: \"why\"; then this stays behind: %s", w.ClusterUnreachable, v1alpha1.AbandonAnnotation, left)
		return
	}
	d.Stop = &v1alpha1.Stop{Rule: RuleAbandoned, Text: "it was let go of (" + first(*w.Abandoned, "no reason was given") + ") while the target's cluster did not answer; this stays behind: " + left}
	d.act(Action{Kind: ActRelease, Why: "a person says that the target's cluster is gone"})
}

// leftBehind is what a move leaves when its cluster is gone, as far as the status tells what was begun.
func (w *World) leftBehind() (left []string) {
	left = append(left, "in that cluster, if it comes back: the target with its claim and Services, and everything with the label "+v1alpha1.NameLabel+"="+w.Name)
	phase := w.Status.Phase
	if phase != "" && phase != v1alpha1.PhasePreflight && phase != v1alpha1.PhaseRehearse {
		left = append(left, "on the old server's host: linked blocks in slipway-pin below its data directory and the agent (slipway prometheus agent remove)")
	}
	switch {
	case w.Status.CutOverAt != nil, phase == v1alpha1.PhaseCutover, phase == v1alpha1.PhaseRollingBack:
		left = append(left, "what the cutover changed, if it had begun: alerting and remote_write in the old server's file, data sources of Grafana that have the address of the users' Service")
	case phase == v1alpha1.PhaseFinalized:
		left = append(left, "nothing on the old server is undone: the move was final")
	}
	return left
}
