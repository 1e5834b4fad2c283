package plan

import (
	"fmt"
	"slices"
	"strings"
)

// The safety rules. Their names are what a person sees in conditions and names in OverrideAnnotation.
const (
	RuleFrozen         = "frozen_starts_nothing"
	RulePaused         = "paused_starts_nothing"
	RuleSpecValid      = "invalid_spec_installs_nothing"
	RuleContentKnown   = "content_version_known"
	RuleContentStays   = "content_version_unchanged"
	RuleOnePerMachine  = "one_operation_per_machine"
	RuleNoQuarantined  = "no_operation_in_quarantine"
	RuleOnePerCluster  = "one_operation_per_cluster_unless_disjoint"
	RuleControlFirst   = "control_plane_before_workers"
	RuleControlStays   = "control_plane_stays"
	RuleDrainFirst     = "no_remove_without_drain"
	RuleNodeFirst      = "node_deleted_before_claim_is_freed"
	RuleCancelled      = "cancelled_stays_cancelled"
	RuleReplaceHelps   = "replacing_must_help"
	RuleVerifyRepeated = "failed_verify_waits_for_a_person"
)

// Rule is a named safety rule.
type Rule struct {
	Name string
	// Says is the rule in words.
	Says string
	// Overridable says that a person may switch it off.
	Overridable bool
}

// Rules lists all rules.
func Rules() []Rule {
	return []Rule{
		{RuleFrozen, "while the fleet is frozen nothing is started anywhere", false},
		{RulePaused, "while a cluster is paused nothing is started for it", false},
		{RuleSpecValid, "settings that cannot be built install nothing", false},
		{RuleContentKnown, "an operation runs only with the content that built the cluster", false},
		{RuleContentStays, "the content of a cluster is not changed", false},
		{RuleOnePerMachine, "two operations never run on one machine", false},
		{RuleNoQuarantined, "no operation runs on a machine in quarantine", false},
		{RuleOnePerCluster, "an operation on etcd or the control plane runs alone in its cluster", true},
		{RuleControlFirst, "workers join when the control plane is there and answers", false},
		{RuleControlStays, "etcd and the control plane of a running cluster are not removed", false},
		{RuleDrainFirst, "a machine is drained before it is removed", true},
		{RuleNodeFirst, "a Node is deleted before its machine is given back", true},
		{RuleCancelled, "what a person cancelled is not started again by itself", true},
		{RuleReplaceHelps, "machines are not replaced any more when one after the other fails", true},
		{RuleVerifyRepeated, "verify is not repeated any more once it failed twice", true},
	}
}

// allowed says that a rule is switched off by a person; it is recorded. Otherwise the refusal is.
func (p *planner) allowed(rule string, human bool, format string, args ...any) bool {
	overridable := slices.ContainsFunc(Rules(), func(r Rule) bool { return r.Name == rule && r.Overridable })
	if overridable && slices.Contains(p.Overrides, rule) {
		if !slices.Contains(p.out.Overridden, rule) {
			p.out.Overridden = append(p.out.Overridden, rule)
		}
		return true
	}
	refusal := Refusal{Rule: rule, Message: fmt.Sprintf(format, args...), Human: human}
	if !slices.Contains(p.out.Refusals, refusal) {
		p.out.Refusals = append(p.out.Refusals, refusal)
	}
	return false
}

// human is the first refusal that needs a person.
func (p *planner) human() (Refusal, bool) {
	i := slices.IndexFunc(p.out.Refusals, func(r Refusal) bool { return r.Human })
	if i < 0 {
		return Refusal{}, false
	}
	return p.out.Refusals[i], true
}

// list names things for a message: at most five, then how many more.
func list(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// count gives "1 machine", "2 machines".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// cut limits a text to a number of bytes at a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-3], "") + "..."
}
