package cutover

import (
	"errors"
	"fmt"
)

// The rules of a cutover. Their names are what a person sees, and names to override one.
const (
	RuleApproved          = "source_edit_is_approved"
	RuleWindow            = "window_is_open"
	RuleSourceAnswers     = "source_answers_for_rollback"
	RuleUnchanged         = "unchanged_since"
	RuleSameCutover       = "state_is_of_this_cutover"
	RuleNotFinalized      = "not_finalized"
	RuleEndpointAnswers   = "new_address_answers"
	RuleDataSourceHealthy = "grafana_sees_new_address"
	RuleDataSourceIsOurs  = "data_source_has_old_address"
	RuleProvisioned       = "provisioned_in_given_file"
	RuleLoads             = "server_loads_its_file"
	RuleFileIsServed      = "file_is_the_servers"
	RuleSectionFree       = "target_section_is_free"
	RuleSameAlertmanagers = "same_alertmanagers"
	RuleAlertsLookSame    = "alerts_look_the_same"
	RuleSameAlertingRules = "target_has_every_alerting_rule"
	RuleFiresTheSame      = "target_fires_what_source_fires"
	RuleFiresNothingElse  = "target_fires_nothing_else"
	RulePendingAsOld      = "pending_alerts_are_as_old"
	RuleHeard             = "alertmanager_hears_sender"
	RuleWritesRemotely    = "remote_write_succeeds"
	RuleCutOver           = "cut_over"
	RuleNobodyAsks        = "nobody_asks_source"
	RuleNothingOfItsOwn   = "source_has_nothing_of_its_own"
	RuleNoBridge          = "target_reads_nothing_from_source"
)

// Rule is a named condition.
type Rule struct {
	Name string
	// Says is the rule in words.
	Says string
	// Overridable says that a person may switch it off.
	Overridable bool
}

// Rules lists the rules in the order in which they are met.
func Rules() []Rule {
	return []Rule{
		{RuleSameCutover, "the state directory belongs to this cutover", false},
		{RuleNotFinalized, "nothing is changed or put back after finalize", false},
		{RuleEndpointAnswers, "the new address answers before Grafana is sent there", true},
		{RuleDataSourceIsOurs, "a data source has the old or the new address and no third one", false},
		{RuleProvisioned, "a provisioned data source is changed in the file that provisions it: Grafana refuses its own API", false},
		{RuleDataSourceHealthy, "Grafana reaches the new address from where it runs, or the old one is put back", true},
		{RuleFileIsServed, "the file to be edited has the section that the server runs with", true},
		{RuleSectionFree, "the target has no other section than the one that moves", false},
		{RuleAlertsLookSame, "an alert has the same labels from both servers, after external labels and alert_relabel_configs: they are its identity", false},
		{RuleSameAlertingRules, "every alerting rule of the source is on the target, healthy", true},
		{RuleFiresTheSame, "every alert that fires on the source fires on the target", false},
		{RuleFiresNothingElse, "no alert fires on the target alone: it would page", true},
		{RulePendingAsOld, "an alert that is pending on the source is pending on the target for as long: else it pages later", true},
		{RuleSameAlertmanagers, "the target sends to every Alertmanager that the source sends to", true},
		{RuleHeard, "Alertmanager was seen to hear every firing alert from the server that goes on sending", false},
		{RuleApproved, "the source's file is edited only with the approval of a person", false},
		{RuleWindow, "a step that people notice begins within the window alone; what was begun is ended, and a rollback is always allowed", false},
		{RuleLoads, "a server loads what was written for it, or the old file is put back", false},
		{RuleWritesRemotely, "the target's remote_write has sent samples, and none fail, before the source's ends", true},
		{RuleUnchanged, "what is to be put back is as it was left", false},
		{RuleSourceAnswers, "users and alerts go back to a source that answers; of one that is silent only its file is put back", false},
		{RuleCutOver, "all steps of the cutover are done", false},
		{RuleNobodyAsks, "nobody asks the source for data", true},
		{RuleNothingOfItsOwn, "the source has no series now that the target lacks", true},
		{RuleNoBridge, "the target reads nothing from the source through remote_read", true},
	}
}

// Refusal is a rule that does not hold.
type Refusal struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	// Step and Diff are of an edit that waits for approval; secrets are masked.
	Step string `json:"step,omitempty"`
	Diff string `json:"diff,omitempty"`
}

// Error is the rule's name and its numbers.
func (r *Refusal) Error() string { return r.Rule + ": " + r.Message }

func refuse(rule, format string, args ...any) error {
	return &Refusal{Rule: rule, Message: fmt.Sprintf(format, args...)}
}

// ruleOf is the name of the rule that an error is about, empty for other errors.
func ruleOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Rule
	}
	return ""
}
