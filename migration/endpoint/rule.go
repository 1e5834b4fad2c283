package endpoint

import (
	"fmt"
	"slices"
)

// Side is where the users' Service leads.
type Side string

// The sides. None is a Service that leads nowhere: it was not written yet, or somebody else wrote it.
const (
	None   Side = ""
	Source Side = "Source"
	Target Side = "Target"
)

// The rules of the decision, in the order in which they are looked at. The first that holds decides.
const (
	RuleUntilCutover = "source_until_cutover"
	RuleRolledBack   = "source_after_rollback"
	RuleAlone        = "target_alone_after_finalize"
	RuleFamily       = "one_address_family"
	RuleLookFirst    = "stay_until_looked"
	RuleSourceSilent = "stay_where_an_answer_is"
	RuleBack         = "back_while_target_is_not_ready"
	RuleSteady       = "target_after_it_answered_in_a_row"
	RuleServes       = "target_after_cutover"
)

// Rule is a named rule and what it says.
type Rule struct{ Name, Says string }

// Rules lists them in their order.
func Rules() []Rule {
	return []Rule{
		{RuleUntilCutover, "the old server answers until the cutover is done"},
		{RuleRolledBack, "the old server answers from the moment a rollback begins"},
		{RuleAlone, "after Finalize the Service has a selector and leads to the new server alone; the old one may be switched off"},
		{RuleFamily, "an EndpointSlice holds addresses of one family, and so does the Service: the new server's pod needs one of the old server's family"},
		{RuleLookFirst, "nothing is moved before the new server was asked once, for instance after the controller began anew"},
		{RuleSourceSilent, "the way back is not taken to an old server that is known not to answer"},
		{RuleBack, "the old server answers while the new one does not: it is complete until Finalize"},
		{RuleSteady, "the new server gets the users only when it answered for a while, in a row"},
		{RuleServes, "the new server answers"},
	}
}

// goal is what a phase wants.
type goal int

const (
	wantSource goal = iota
	wantTarget
	wantTargetAlone
)

// goalOf reads a phase of a migration. A phase that is not known is an error: no guess moves users.
func goalOf(phase string) (goal, string, error) {
	switch {
	case slices.Contains([]string{"", "Preflight", "Rehearse", "Pin", "StartTarget", "Coverage", "Stage", "Seam", "Install", "Verify", "Cutover"}, phase):
		return wantSource, RuleUntilCutover, nil
	case phase == "RollingBack" || phase == "RolledBack":
		return wantSource, RuleRolledBack, nil
	case phase == "Observe" || phase == "Finalize":
		return wantTarget, RuleServes, nil
	case phase == "Finalized":
		return wantTargetAlone, RuleAlone, nil
	}
	return wantSource, "", fmt.Errorf("deciding where the users' Service leads: the phase %q is not known", phase)
}
