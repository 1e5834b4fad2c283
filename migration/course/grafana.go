package course

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// copyLasts is how old the data of the old Grafana may be at the cutover: what people change there after it was brought is not brought again.
const copyLasts = time.Hour

// brings says that a Grafana with the data of an old one is wanted.
func (w *World) brings() bool { return w.Spec.Grafana != nil && w.Spec.Grafana.From != nil }

// grafanaStands makes the Grafana beside the target before data moves: a person can look at it meanwhile, and what is wrong with it shows
// before hours were spent. A move that has begun is not held by it; the cutover is.
func grafanaStands(w *World, d *Decision) bool {
	if w.Spec.Grafana == nil {
		return true
	}
	if w.moveHasBegun() {
		w.seenGrafana(d)
		return true
	}
	return w.grafana(d, RuleGrafanaFirst)
}

// grafanaIsFresh has the data brought again where it is old, and both compared once more. Nothing of it happens once the cutover has begun:
// then people use the new one, and a copy would throw away what they did.
func grafanaIsFresh(w *World, d *Decision) bool {
	if w.Spec.Grafana == nil || w.begun() {
		w.seenGrafana(d)
		return true
	}
	j := w.job(RoleGrafana)
	if !w.brings() || !j.passed() || w.Now.Sub(j.Begun) <= copyLasts {
		return w.grafana(d, RuleGrafanaFresh)
	}
	why := fmt.Sprintf("its data was brought at %s, which is more than %s ago", clockOf(j.Begun), copyLasts)
	d.hold(RuleGrafanaFresh, v1alpha1.ReasonWaiting, false, "%s", why)
	if !w.grafanaStopped(d, why) {
		return false
	}
	d.act(Action{Kind: ActAgain, Role: RoleGrafana, Why: why})
	return false
}

// seenGrafana notes that it was compared and answers.
func (w *World) seenGrafana(d *Decision) {
	if g := w.Grafana; w.Spec.Grafana != nil && g.Deployed && g.Ready && (w.begun() || !w.brings() || w.job(RoleAlike).passed()) {
		d.reach(v1alpha1.ConditionGrafanaReady)
	}
}

// grafana brings it to where it has all and answers. What writes its volume and what reads it are never there at the same time.
func (w *World) grafana(d *Decision, rule string) bool {
	g := w.Grafana
	if !g.Claim {
		d.act(Action{Kind: ActGrafanaClaim, Why: "the Grafana beside the target gets a volume"})
		return false
	}
	if w.brings() && !w.job(RoleGrafana).passed() {
		if !w.grafanaStopped(d, "its data is brought while it does not run") {
			return false
		}
		return w.ran(d, RoleGrafana, "the data of the old Grafana is brought")
	}
	if !g.Deployed || !g.Current {
		d.act(Action{Kind: ActGrafana, SendsAlerts: !w.brings(), Why: "people can look at it before they are led to it"})
		return false
	}
	if !g.Ready {
		d.wait("Grafana's pod is not ready%s", because(g.Says))
		d.hold(rule, v1alpha1.ReasonWaiting, false, "Grafana's pod is not ready%s", because(g.Says))
		return false
	}
	if w.brings() && !w.isAlike(d) {
		return false
	}
	d.reach(v1alpha1.ConditionGrafanaReady)
	return true
}

// isAlike compares both, after the data was last brought.
func (w *World) isAlike(d *Decision) bool {
	if j := w.job(RoleAlike); j != nil && !j.Ending && j.Begun.Before(w.job(RoleGrafana).Ended) {
		d.act(Action{Kind: ActAgain, Role: RoleAlike, Why: "the data was brought again since both were compared"})
		return false
	}
	return w.ran(d, RoleAlike, "both Grafanas are compared")
}

// grafanaStopped sees that nothing runs on its volume.
func (w *World) grafanaStopped(d *Decision, why string) bool {
	switch {
	case w.Grafana.Deployed && (w.Paused != nil || w.Frozen != nil): // what would follow is held back
		d.hold(RuleStartsNothing, v1alpha1.ReasonPaused, true, "Grafana is not stopped, for nothing is started now: %s", why)
		return false
	case w.Grafana.Deployed:
		d.act(Action{Kind: ActNoGrafana, Why: why})
		return false
	case w.Grafana.Applied:
		d.wait("Grafana's pod ends")
		return false
	}
	return true
}

// grafanaSendsAlerts turns on its alert rules when the move is final: until then the old one evaluates them, and two would tell everybody twice.
func grafanaSendsAlerts(w *World, d *Decision) bool {
	g := w.Grafana
	w.seenGrafana(d)
	if w.Spec.Grafana == nil || !g.Deployed || g.SendsAlerts {
		return true
	}
	d.act(Action{Kind: ActGrafana, SendsAlerts: true, Why: "the move is final: it evaluates its alert rules from now on"})
	return false
}

// grafanaIsGone takes it away on the way back. Its claim stays.
func grafanaIsGone(w *World, d *Decision) bool {
	if w.Grafana.Deployed {
		d.act(Action{Kind: ActNoGrafana, Why: "people are with the old Grafana; the claim stays"})
	}
	if w.Grafana.Applied {
		d.wait("Grafana's pod ends")
	}
	return !w.Grafana.Applied && !w.Grafana.Deployed
}

// tellGrafana says what it has, as far as that was seen.
func (w *World) tellGrafana(d *Decision) {
	if w.Spec.Grafana == nil || !w.Grafana.Deployed || w.Grafana.URL == "" {
		return
	}
	s := &v1alpha1.GrafanaStatus{URL: w.Grafana.URL}
	if before := w.Status.Grafana; before != nil {
		s.Summary, s.BroughtAt = before.Summary, before.BroughtAt
	}
	if j := w.job(RoleGrafana); j.passed() {
		s.BroughtAt = instant(&j.Begun)
	}
	if j := w.job(RoleAlike); j.passed() {
		s.Summary = cut(first(j.Line.Says, j.Line.Summary), maxSummary)
	}
	d.Grafana = s
}

// switchOffGrafana names the old one among what can be switched off.
func (w *World) switchOffGrafana(d *Decision) {
	if w.brings() {
		d.Off = append(d.Off, Off{What: "the old Grafana at " + w.Spec.Grafana.From.URL, How: "lead people to the new one and stop it now (systemctl disable --now grafana-server): " +
			"both evaluate their alert rules from here on"})
	}
}
