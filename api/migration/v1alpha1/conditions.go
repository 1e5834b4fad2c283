package v1alpha1

// Types of conditions. All are positive: True is good.
const (
	// ConditionSpecValid: the spec, the source's configuration and the plan of the target were checked; False names each place.
	ConditionSpecValid = "SpecValid"
	// ConditionRehearsed: the volume, the network and the permissions were measured where the server will run.
	ConditionRehearsed = "Rehearsed"
	// ConditionTargetReady: the target's pod runs and answers.
	ConditionTargetReady = "TargetReady"
	// ConditionPreflightPassed: both servers fit together.
	ConditionPreflightPassed = "PreflightPassed"
	// ConditionGrafanaReady: the Grafana beside the target has what the old one has, and answers. Only where spec.grafana asks for one.
	ConditionGrafanaReady = "GrafanaReady"
	// ConditionCoverageEqual: both servers scrape the same.
	ConditionCoverageEqual = "CoverageEqual"
	// ConditionVerified: the target was proved to have what the source has, before and after a restart.
	ConditionVerified = "Verified"
	// ConditionCutOver: users and alerts are with the target.
	ConditionCutOver = "CutOver"
	// ConditionProgressing: the way on is free; False names what holds it and who must act.
	ConditionProgressing = "Progressing"
	// ConditionReady: the goal is reached.
	ConditionReady = "Ready"
)

// Reasons of conditions.
const (
	// ReasonPending surfaces when something has not begun.
	ReasonPending = "Pending"
	// ReasonRunning surfaces while something is under way.
	ReasonRunning = "Running"
	// ReasonPassed surfaces when something was looked at and is good.
	ReasonPassed = "Passed"
	// ReasonInvalidSpec surfaces when the spec cannot be followed; the message holds the path of each field.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonRefused surfaces when rules refuse; the message names each rule and says what to do.
	ReasonRefused = "Refused"
	// ReasonStopped surfaces when a job stopped with a named rule.
	ReasonStopped = "Stopped"
	// ReasonFailed surfaces when a job ended without saying why; it is tried again.
	ReasonFailed = "Failed"
	// ReasonWaiting surfaces when something outside has to happen first.
	ReasonWaiting = "Waiting"
	// ReasonNeedsApproval surfaces when a person has to approve; the message names the word for spec.approved.
	ReasonNeedsApproval = "NeedsApproval"
	// ReasonOutsideWindow surfaces when the window of the cutover is closed; the message says when it opens.
	ReasonOutsideWindow = "OutsideWindow"
	// ReasonNotProved surfaces when a proof found a difference.
	ReasonNotProved = "NotProved"
	// ReasonProved surfaces when both servers were compared and found equal.
	ReasonProved = "Proved"
	// ReasonFilling surfaces while the target is given what it missed since it was compared.
	ReasonFilling = "Filling"
	// ReasonObserving surfaces after the cutover while the way back is still open.
	ReasonObserving = "Observing"
	// ReasonFinalized surfaces when the move is done.
	ReasonFinalized = "Finalized"
	// ReasonRollingBack surfaces while what was done is put back.
	ReasonRollingBack = "RollingBack"
	// ReasonRolledBack surfaces when users, alerts and the source are as they were before.
	ReasonRolledBack = "RolledBack"
	// ReasonPaused surfaces when a person paused the migration.
	ReasonPaused = "Paused"
	// ReasonFrozen surfaces when `slipway freeze` stops every start.
	ReasonFrozen = "Frozen"
	// ReasonDeleting surfaces while the migration is on its way out.
	ReasonDeleting = "Deleting"
	// ReasonSourceUnreachable surfaces when the operator cannot ask the source.
	ReasonSourceUnreachable = "SourceUnreachable"
	// ReasonClusterUnreachable surfaces when the target's cluster cannot be reached.
	ReasonClusterUnreachable = "ClusterUnreachable"
	// ReasonTargetNotReady surfaces when the target's pod is not ready; the users' endpoint leads to the source meanwhile.
	ReasonTargetNotReady = "TargetNotReady"
	// ReasonGrafanaNotReady surfaces when the pod of the Grafana beside the target is not ready.
	ReasonGrafanaNotReady = "GrafanaNotReady"
	// ReasonTooLate surfaces when a rollback is asked for after Finalized.
	ReasonTooLate = "TooLate"
)
