package course

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// startSlack is how far the moment at which a container started may be from that at which its server says that it did: both are whole
// seconds, the first is the kubelet's.
const startSlack = 3 * time.Second

// Missed says why the target may lack samples that the source has: it was started after it was looked at, or users were led away from it
// since, because it did not answer. Empty: it lacks nothing that is known. started is when the target's container started, the zero time where
// there is none; a target that was never looked at lacks what the move brings.
func Missed(p *v1alpha1.Proof, e *v1alpha1.EndpointStatus, started time.Time) string {
	if p == nil || p.LookedAt == nil {
		return ""
	}
	looked := p.LookedAt.Time
	if p.TargetStarted != nil && !started.IsZero() && started.Sub(p.TargetStarted.Time) > startSlack {
		return fmt.Sprintf("the target was started again at %s: what it missed is brought from the source", clockOf(started))
	}
	if e != nil && e.LeadsTo == v1alpha1.SideSource && e.Since != nil && !e.Since.Time.Before(looked) { // whole seconds: one look too many does no harm
		return fmt.Sprintf("the target did not answer at %s: what it missed is brought from the source", clockOf(e.Since.Time))
	}
	return ""
}

func clockOf(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// missed is Missed for the world as it is.
func (w *World) missed() string {
	e := w.Status.Endpoint
	if w.Status.CutOverAt == nil { // users were not led to it yet
		e = nil
	}
	return Missed(w.proof(), e, w.Target.Pod.Started)
}

// fill has the move run again for what the target missed, when the target is there.
func (w *World) fill(d *Decision, why string) bool {
	d.hold(RuleFilled, v1alpha1.ReasonFilling, false, "%s", why)
	if !w.Target.Pod.Ready || w.Target.Pod.Ending {
		d.wait("the target's pod is not ready%s", because(w.Target.Pod.Says))
		return false
	}
	d.act(Action{Kind: ActAgain, Role: RoleProof, Why: why})
	return false
}

// isWhole holds the end back while the target lacks something. A job of the end that runs meanwhile would give up the way back.
func isWhole(w *World, d *Decision) bool {
	if w.Status.CutOverAt == nil {
		return true // written with this decision
	}
	d.Phase = v1alpha1.PhaseObserve
	j, why := w.job(RoleProof), w.missed()
	if why == "" && (j == nil || j.passed()) {
		return true
	}
	if f := w.job(RoleFinalize); f != nil && !f.Ending {
		d.act(Action{Kind: ActForget, Role: RoleFinalize, Why: "the target lacks samples that the source has"})
	}
	if j.passed() {
		return w.fill(d, why)
	}
	why = first(why, "what the target missed is brought from the source")
	if w.ran(d, RoleProof, why) || d.Hold != nil {
		return false
	}
	d.hold(RuleFilled, v1alpha1.ReasonFilling, false, "%s", why)
	return false
}
