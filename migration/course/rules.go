package course

// The rules that hold a move. Their names are what a person sees in conditions.
const (
	RuleSpecValid       = "invalid_spec_starts_nothing"
	RulePlanRefused     = "refused_plan_starts_nothing"
	RuleStartsNothing   = "paused_and_frozen_start_nothing"
	RuleRehearseFirst   = "rehearsed_before_target_starts"
	RulePreflightFirst  = "preflight_before_data_moves"
	RuleAnswersItself   = "target_answers_for_itself_when_compared"
	RuleProvedFirst     = "proved_before_cutover"
	RuleRestartedFirst  = "proved_again_after_restart"
	RuleFilled          = "missed_samples_are_brought_first"
	RuleNoRestart       = "never_restarted_after_second_proof"
	RuleWindow          = "cutover_within_window"
	RuleApproved        = "gate_waits_for_a_person"
	RuleObserved        = "observed_before_finalized"
	RuleUsersFirst      = "users_go_back_before_anything_is_undone"
	RuleWayBackIsOpen   = "no_rollback_after_finalized"
	RuleUndoneBeforeEnd = "cut_over_is_undone_before_it_is_deleted"
	RuleClaimStays      = "claim_is_never_deleted"
	RuleAbandoned       = "let_go_only_by_a_person"
	RuleGrafanaFirst    = "grafana_stands_before_data_moves"
	RuleGrafanaFresh    = "grafana_is_brought_anew_before_cutover"
	RuleReport          = "report_refuses"
	RuleJobFailed       = "job_ended_without_a_word"
)

// Rule is a named rule.
type Rule struct {
	Name string
	// Says is the rule in words.
	Says string
}

// Rules lists the rules of a move. None of them can be overridden; those of the jobs can, by spec.overrides.
func Rules() []Rule {
	return []Rule{
		{RuleSpecValid, "a spec that cannot be followed starts nothing"},
		{RulePlanRefused, "a target whose plan is refused is not made"},
		{RuleStartsNothing, "while the migration is paused, or everything is frozen, nothing is started; what runs goes on"},
		{RuleRehearseFirst, "the volume and the network are measured before the target starts"},
		{RulePreflightFirst, "both servers are seen to fit before any data moves"},
		{RuleGrafanaFirst, "a Grafana that is asked for stands, and has what the old one has, before any data moves"},
		{RuleGrafanaFresh, "its data is brought again when it is older than an hour at the cutover, and never after that"},
		{RuleAnswersItself, "while both servers are compared the target does not ask the source"},
		{RuleProvedFirst, "users and alerts move only after a proof"},
		{RuleRestartedFirst, "the target is restarted once after the first proof, and proved again"},
		{RuleFilled, "while the target lacks what it missed since it was compared, users stay with the source and nothing is final"},
		{RuleNoRestart, "nothing restarts the target on purpose after the second proof"},
		{RuleWindow, "a cutover begins within its window; one that has begun is ended"},
		{RuleApproved, "a gate that is Manual waits for its word in spec.approved"},
		{RuleObserved, "the source stays the way back for spec.observeForSeconds"},
		{RuleUsersFirst, "a rollback leads users to the source first"},
		{RuleWayBackIsOpen, "there is no way back after Finalized"},
		{RuleUndoneBeforeEnd, "a migration that is cut over is rolled back or finalized before it is deleted"},
		{RuleClaimStays, "the target's claim is never deleted"},
		{RuleAbandoned, "a migration that is deleted while its cluster does not answer is let go of by a person alone"},
	}
}
