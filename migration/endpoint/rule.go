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
	// RuleUntilCutover: the old server answers until the cutover is done.
	RuleUntilCutover = "source_until_cutover"
	// RuleRolledBack: the old server answers from the moment a rollback begins.
	RuleRolledBack = "source_after_rollback"
	// RuleAlone: after Finalize the Service has a selector and leads to the new server alone.
	RuleAlone = "target_alone_after_finalize"
	// RuleFamily: an EndpointSlice and a Service have addresses of one family; the new server's pod needs one of the old server's.
	RuleFamily = "one_address_family"
	// RuleLookFirst: nothing is moved before the new server was asked once, for instance after the controller began anew.
	RuleLookFirst = "stay_until_looked"
	// RuleSourceSilent: the way back is not taken to an old server that is known not to answer.
	RuleSourceSilent = "stay_where_an_answer_is"
	// RuleBack: the old server answers while the new one does not; it is complete until Finalize.
	RuleBack = "back_while_target_is_not_ready"
	// RuleMissed: the old server answers while the new one lacks samples, for instance after it was restarted; they are brought from the old one.
	RuleMissed = "back_while_target_lacks_samples"
	// RuleSteady: the new server gets the users when it answered for a while, in a row.
	RuleSteady = "target_after_it_answered_in_a_row"
	// RuleServes: the new server answers.
	RuleServes = "target_after_cutover"
)

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
