package grafana

import "github.com/slipway-dev/slipway/migration/rule"

// Rules that bringing the data goes by.
const (
	RuleDataIsThere     = "grafana_data_is_there"
	RuleDatabaseQuiet   = "grafana_database_is_copied_whole"
	RuleDatabaseWhole   = "grafana_database_is_whole"
	RuleSourceFound     = "grafana_data_source_is_found"
	RuleLoopback        = "grafana_address_means_the_old_host"
	RuleDashboardsReach = "grafana_dashboard_files_are_brought"
)

// Rules by which both are compared.
const (
	RuleAnswers       = "grafana_answers"
	RuleVersion       = "grafana_is_not_older"
	RuleOrgs          = "grafana_organisations_equal"
	RuleUsers         = "grafana_users_equal"
	RuleFolders       = "grafana_folders_equal"
	RuleDashboards    = "grafana_dashboards_equal"
	RuleAlertRules    = "grafana_alert_rules_equal"
	RuleSources       = "grafana_data_sources_equal"
	RuleSourceLeads   = "grafana_data_source_leads_to_users"
	RuleSourceHealthy = "grafana_data_source_is_healthy"
)

// BringRules are those of bringing that can be overridden, CompareRules those of comparing. A database that is not whole is never used.
func BringRules() []string { return []string{RuleSourceFound, RuleLoopback, RuleDashboardsReach} }

// CompareRules are those of comparing that can be overridden.
func CompareRules() []string {
	return []string{RuleVersion, RuleOrgs, RuleUsers, RuleFolders, RuleDashboards, RuleAlertRules, RuleSources, RuleSourceLeads, RuleSourceHealthy}
}

// Report is what a run found, for people and programs.
type Report struct {
	Verdict  rule.Verdict   `json:"verdict"`
	Says     string         `json:"says"`
	Findings []rule.Finding `json:"findings"`
}

// report judges findings; fine is what is said when nothing stands in the way.
func report(findings []rule.Finding, override []string, fine string) *Report {
	findings = rule.Override(findings, override)
	r := &Report{Verdict: rule.Worst(findings), Says: fine, Findings: findings}
	for _, f := range findings {
		if r.Verdict.Stops() && f.Verdict.Stops() {
			r.Says = f.Rule + ": " + f.Says
			return r
		}
		if f.Verdict == rule.Overridden {
			r.Says += "; let pass: " + f.Rule + ": " + f.Says
		}
	}
	return r
}
