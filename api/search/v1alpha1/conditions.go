package v1alpha1

// Types of conditions. All are positive: True is good.
const (
	// ConditionConnected: the cluster answers, and it was told what it is.
	ConditionConnected = "Connected"
	// ConditionWithinBudget: shards and heap of the masters are below what was set, now and as far as the policies reach.
	ConditionWithinBudget = "WithinBudget"
	// ConditionAccepted: the policy can be kept on this cluster; False names each rule that refuses it, with its arithmetic.
	ConditionAccepted = "Accepted"
	// ConditionProgressing: nothing holds what is due; False names the rule.
	ConditionProgressing = "Progressing"
	// ConditionReady: all of the above.
	ConditionReady = "Ready"
)

// Reasons of conditions.
const (
	// ReasonPassed surfaces when something was looked at and is good.
	ReasonPassed = "Passed"
	// ReasonUnreachable surfaces when the cluster does not answer.
	ReasonUnreachable = "Unreachable"
	// ReasonRefused surfaces when rules refuse; the message names each rule and its numbers.
	ReasonRefused = "Refused"
	// ReasonHeld surfaces when a rule holds steps back that are due.
	ReasonHeld = "Held"
	// ReasonPaused surfaces when a person paused it.
	ReasonPaused = "Paused"
)
