package course

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Condition is one of the status.
type Condition struct {
	Type    string
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

// Conditions are those of the status, in the order of the move.
func (d *Decision) Conditions() []Condition {
	all := []Condition{
		d.milestone(v1alpha1.ConditionSpecValid, v1alpha1.ReasonPassed, "spec, source and plan fit"),
		d.milestone(v1alpha1.ConditionRehearsed, v1alpha1.ReasonPassed, "volume and network were measured"),
		d.milestone(v1alpha1.ConditionTargetReady, v1alpha1.ReasonPassed, "the target's pod is ready"),
		d.milestone(v1alpha1.ConditionPreflightPassed, v1alpha1.ReasonPassed, "both servers fit together"),
		d.milestone(v1alpha1.ConditionGrafanaReady, v1alpha1.ReasonPassed, "the Grafana beside the target answers and has what the old one has"),
		d.milestone(v1alpha1.ConditionCoverageEqual, v1alpha1.ReasonPassed, "both servers scrape the same"),
		d.verified(),
		d.milestone(v1alpha1.ConditionCutOver, v1alpha1.ReasonPassed, "users and alerts are with the target"),
		d.progressing(),
		d.ready(),
	}
	if !d.asked {
		all = slices.DeleteFunc(all, func(c Condition) bool { return c.Type == v1alpha1.ConditionGrafanaReady })
	}
	return all
}

// milestone is True once it was reached. Before that it is False where what holds the move is about it, else Unknown.
func (d *Decision) milestone(kind, reason, says string) Condition {
	if d.reached[kind] {
		return Condition{kind, metav1.ConditionTrue, reason, says}
	}
	if kind == d.current() {
		if h := d.Hold; h != nil {
			return Condition{kind, metav1.ConditionFalse, h.Reason, d.says()}
		}
		return Condition{kind, metav1.ConditionUnknown, v1alpha1.ReasonRunning, d.says()}
	}
	if kind == v1alpha1.ConditionTargetReady && after(d.Phase, v1alpha1.PhasePin) {
		return Condition{kind, metav1.ConditionFalse, v1alpha1.ReasonTargetNotReady, "the target's pod is not ready"}
	}
	if kind == v1alpha1.ConditionGrafanaReady && after(d.Phase, v1alpha1.PhasePin) {
		return Condition{kind, metav1.ConditionFalse, v1alpha1.ReasonGrafanaNotReady, "it is not seen to be ready; what it lacks is made before the cutover"}
	}
	switch d.Phase {
	case v1alpha1.PhaseRollingBack:
		return Condition{kind, metav1.ConditionUnknown, v1alpha1.ReasonRollingBack, "it is put back"}
	case v1alpha1.PhaseRolledBack:
		return Condition{kind, metav1.ConditionFalse, v1alpha1.ReasonRolledBack, "it was put back"}
	}
	return Condition{kind, metav1.ConditionUnknown, v1alpha1.ReasonPending, "not begun"}
}

// current is the milestone that a phase leads to.
func (d *Decision) current() string {
	switch d.Phase {
	case v1alpha1.PhasePreflight:
		return v1alpha1.ConditionSpecValid
	case v1alpha1.PhaseRehearse:
		return v1alpha1.ConditionRehearsed
	case v1alpha1.PhaseStartTarget:
		if d.asked && d.reached[v1alpha1.ConditionPreflightPassed] {
			return v1alpha1.ConditionGrafanaReady
		}
		if d.reached[v1alpha1.ConditionTargetReady] {
			return v1alpha1.ConditionPreflightPassed
		}
		return v1alpha1.ConditionTargetReady
	case v1alpha1.PhasePin, v1alpha1.PhaseCoverage:
		return v1alpha1.ConditionCoverageEqual
	case v1alpha1.PhaseCutover:
		return v1alpha1.ConditionCutOver
	}
	return ""
}

func (d *Decision) verified() Condition {
	const kind = v1alpha1.ConditionVerified
	p := d.Proof
	switch {
	case d.reached[kind] && p != nil:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonProved, first(p.Summary, "both servers were compared and found equal")}
	case d.reached[kind]:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonProved, "both servers were compared and found equal"}
	case p != nil && p.Verdict != proved:
		return Condition{kind, metav1.ConditionFalse, v1alpha1.ReasonNotProved, first(p.Summary, p.Verdict)}
	case d.Phase == v1alpha1.PhaseVerify:
		return Condition{kind, metav1.ConditionUnknown, v1alpha1.ReasonRunning, d.says()}
	}
	return Condition{kind, metav1.ConditionUnknown, v1alpha1.ReasonPending, "not begun"}
}

func (d *Decision) progressing() Condition {
	const kind = v1alpha1.ConditionProgressing
	switch {
	case d.Hold != nil:
		return Condition{kind, metav1.ConditionFalse, d.Hold.Reason, d.says()}
	case d.Phase == v1alpha1.PhaseFinalized:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonFinalized, "the move is done; the source can be switched off"}
	case d.Phase == v1alpha1.PhaseRolledBack:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonRolledBack, "users, alerts and the source are as before; the target's claim is kept"}
	case d.Phase == v1alpha1.PhaseRollingBack:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonRollingBack, d.says()}
	}
	return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonRunning, d.says()}
}

func (d *Decision) ready() Condition {
	const kind = v1alpha1.ConditionReady
	switch {
	case d.reached[kind] && d.Phase == v1alpha1.PhaseRolledBack:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonRolledBack, "the move was put back"}
	case d.reached[kind]:
		return Condition{kind, metav1.ConditionTrue, v1alpha1.ReasonFinalized, "the move is done"}
	}
	return Condition{kind, metav1.ConditionFalse, v1alpha1.ReasonRunning, "phase " + string(d.Phase)}
}

// says is what holds the move, or what it does or waits for now.
func (d *Decision) says() string {
	if d.Hold != nil {
		if d.Hold.Rule == "" {
			return d.Hold.Says
		}
		return d.Hold.Rule + ": " + d.Hold.Says
	}
	if len(d.Actions) > 0 {
		return d.Actions[0].Why
	}
	if len(d.Waits) > 0 {
		return strings.Join(d.Waits, "; ")
	}
	return "phase " + string(d.Phase)
}
