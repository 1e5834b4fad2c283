package survey

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/skew"
)

type (
	// Verdict is that of all checks.
	Verdict = rule.Verdict
	// Finding is that of all checks.
	Finding = rule.Finding
)

// Verdicts, the worst last.
const (
	Fine       = rule.Fine
	Note       = rule.Note
	Warns      = rule.Warns
	Overridden = rule.Overridden
	Unknown    = rule.Unknown
	Refused    = rule.Refused
)

// Pair is what is judged. Target is nil while there is none yet: rules about it are not asked then.
type Pair struct {
	Source, Target *Observation
	// FreeBytes is what is free on the target's volume; 0 when nobody said.
	FreeBytes int64
	// Coverage is nil where it was not looked at.
	Coverage *CoverageReport
}

// Check is a named rule.
type Check struct {
	Name string
	// Says is the rule in words.
	Says string
	// Overridable says that a person may switch it off.
	Overridable bool
	// OfTarget says that it is asked when there is a target.
	OfTarget bool

	judge func(Pair) Finding
}

// Names of the rules.
const (
	RuleSourceReadable    = "source_storage_is_readable"
	RuleSourceHealthy     = "source_storage_is_healthy"
	RuleSourceAlone       = "source_answers_alone"
	RuleTargetVersion     = "target_version_loses_nothing"
	RuleTargetReads       = "target_reads_source_blocks"
	RuleTargetReloads     = "target_reloads_blocks"
	RuleRetention         = "target_retention_holds_source"
	RuleBlockDurations    = "block_durations_are_equal"
	RuleOverlaps          = "target_merges_overlaps"
	RuleExternalLabels    = "external_labels_are_equal"
	RuleNoPlainRemoteRead = "target_reads_through_the_shim"
	RuleSelfScrape        = "self_scrapes_differ"
	RuleAlertsOff         = "target_sends_no_alerts"
	RuleRemoteWriteOff    = "target_writes_nothing_remotely"
	RuleLateSamples       = "out_of_order_window_is_equal"
	RuleClocks            = "clocks_agree"
	RuleCapacity          = "capacity"
	RuleLongestRange      = "retention_holds_longest_range"
	RuleGroups            = "rule_groups_are_equal"
	RuleCoverage          = "coverage_is_equal"
)

// Checks lists the rules in the order in which they are asked.
func Checks() []Check {
	return []Check{
		{RuleSourceReadable, "blocks of Prometheus 2.0 and newer can be moved; 1.x and agents have none", false, false, sourceReadable},
		{RuleSourceHealthy, "the source loads and compacts its blocks without errors", true, false, sourceHealthy},
		{RuleSourceAlone, "what the source reads from other servers is not in its blocks, and does not move", true, false, sourceAlone},
		{RuleTargetVersion, "a target before 3.16.0 can lose samples when it starts or compacts (#19016, #19737)", true, true, targetVersion},
		{RuleTargetReads, "the target can read what the source has written", false, true, targetReads},
		{RuleTargetReloads, "the target sees a new block within a minute; before 2.25.0 only a compaction looks", true, true, targetReloads},
		{RuleRetention, "the target, as it runs now, keeps at least what the source keeps; else it deletes imported blocks within a minute", true, true, retentionHolds},
		{RuleBlockDurations, "the target makes blocks of the same span; a longer one writes all imported blocks anew", true, true, blockDurations},
		{RuleOverlaps, "the target merges blocks that overlap, as those at the seam do", true, true, overlaps},
		{RuleExternalLabels, "both put the same labels on alerts and on what they send", true, true, externalLabels},
		{RuleNoPlainRemoteRead, "the target does not read from the source directly: its rules would see every scrape twice", true, true, noPlainRemoteRead},
		{RuleSelfScrape, "the two servers do not write the series of their own metrics under one name", true, true, selfScrapes},
		{RuleAlertsOff, "the target sends no alerts before the cutover: people would be paged twice", true, true, alertsOff},
		{RuleRemoteWriteOff, "the target writes nowhere before the cutover: the other end would get every sample twice", true, true, remoteWriteOff},
		{RuleLateSamples, "the target takes late samples as far back as the source does", true, true, lateSamples},
		{RuleClocks, "the clocks of the two hosts differ by less than a second", true, true, clocks},
		{RuleCapacity, "blocks, the largest rewrite and the log fit the target's volume with a fifth to spare", true, true, capacity},
		{RuleLongestRange, "rules read no further back than the target keeps", true, true, longestRange},
		{RuleGroups, "both run the same rule groups from files of the same path", true, true, ruleGroups},
		{RuleCoverage, "both scrape the same targets with the same result", true, true, coverageEqual},
	}
}

// Overridable lists the names of rules that a person may switch off.
func Overridable() (names []string) {
	for _, c := range Checks() {
		if c.Overridable {
			names = append(names, c.Name)
		}
	}
	return names
}

// Judge asks all rules that concern the pair. One that is named in override does not stand in the way, but stays listed.
func Judge(p Pair, override []string) []Finding {
	findings := []Finding{}
	for _, c := range Checks() {
		if !p.concerns(c) {
			continue
		}
		f := c.judge(p)
		f.Rule = c.Name
		if (f.Verdict == Refused || f.Verdict == Unknown) && c.Overridable && slices.Contains(override, c.Name) {
			f.Verdict = Overridden
		}
		findings = append(findings, f)
	}
	return findings
}

// concerns says that a rule can be asked: what it looks at was seen.
func (p Pair) concerns(c Check) bool {
	switch {
	case c.Name == RuleCoverage && p.Coverage == nil:
		return false
	case !c.OfTarget:
		return c.Name == RuleSourceReadable || p.Source.readable()
	case p.Target == nil:
		return false
	}
	return c.Name == RuleTargetVersion || p.Comparable()
}

// Worst is the worst verdict of all.
func Worst(findings []Finding) Verdict { return rule.Worst(findings) }

func fine(format string, a ...any) Finding {
	return Finding{Verdict: Fine, Says: fmt.Sprintf(format, a...)}
}

func found(v Verdict, fix, format string, a ...any) Finding {
	return Finding{Verdict: v, Fix: fix, Says: fmt.Sprintf(format, a...)}
}

func (o *Observation) called() string {
	if o.Version == "" {
		return "no version"
	}
	return o.Version
}

func sourceReadable(p Pair) Finding {
	v := p.Source.version()
	switch {
	case p.Source.Flags.Agent:
		return found(Refused, "move the server that it writes to", "it runs as an agent and has no blocks")
	case v == nil:
		return found(Warns, "look at its --version", "the server tells %q as its version; its storage answers as one of 2.0 or newer", p.Source.Version)
	case v.Major < 2:
		return found(Refused, "let it run out beside the new server, or let the new one read it by remote_read", "%s stores in the format of 1.x, which no later version reads", p.Source.Version)
	case v.Before(skew.Version{Major: 2, Minor: 13}):
		return found(Warns, "give the read shim more memory, or move the server to a 2.x after 2.13 first", "%s answers remote reads in one piece (streamed since 2.13)", p.Source.Version)
	}
	return fine("%s; %d blocks, %s", p.Source.Version, p.Source.Storage.Blocks, Size(p.Source.Storage.BlockBytes))
}

func sourceHealthy(p Pair) Finding {
	s := p.Source.Storage
	if s.ReloadFailures+s.FailedCompaction > 0 {
		return found(Warns, "run slipway prometheus scrub on its data directory before you move it",
			"since its start %d reloads and %d compactions failed: a block may be damaged, or the disk full", s.ReloadFailures, s.FailedCompaction)
	}
	return fine("no reload and no compaction failed since its start")
}

func sourceAlone(p Pair) Finding {
	if n := p.Source.Config.RemoteRead; len(n) > 0 {
		return found(Note, "give the target the same remote_read after the cutover", "it reads from %s too; what comes from there is not moved", strings.Join(n, ", "))
	}
	return fine("it has no remote_read")
}

func targetVersion(p Pair) Finding {
	v := p.Target.version()
	switch {
	case v == nil:
		return found(Unknown, "start a release, or look at its --version and override this rule", "the target tells %q as its version", p.Target.Version)
	case v.Before(skew.Version{Major: 3, Minor: 14}):
		return found(Refused, "use 3.16.0 or newer",
			"%s has the defects #19016 (fixed in 3.14.0) and #19737 (fixed in 3.16.0): samples of the log and late samples can be lost", p.Target.Version)
	case v.Before(skew.Version{Major: 3, Minor: 16}):
		return found(Refused, "use 3.16.0 or newer", "%s has the defect #19737 (fixed in 3.16.0): samples of the log and late samples can be lost", p.Target.Version)
	}
	return fine("%s", p.Target.Version)
}

// targetReads follows the notes of the releases: 3.x data is read by 2.55 and newer alone; else older servers read what newer ones wrote
// unless a format was switched on.
func targetReads(p Pair) Finding {
	s, t := p.Source.version(), p.Target.version()
	if s == nil || t == nil || !t.Before(*s) {
		return fine("%s reads what %s wrote", p.Target.called(), p.Source.called())
	}
	if s.Major >= 3 && t.Before(skew.Version{Major: 2, Minor: 55}) {
		return found(Refused, "use a target of 2.55 or newer", "%s cannot read the index that %s writes", p.Target.Version, p.Source.Version)
	}
	return found(Warns, "use a target that is not older", "the target's %s is older than the source's %s; formats that the source has on (%s) may be unknown to it",
		p.Target.Version, p.Source.Version, orNone(p.Source.Config.Storage))
}

func targetReloads(p Pair) Finding {
	if v := p.Target.version(); v != nil && v.Before(skew.Version{Major: 2, Minor: 25}) {
		return found(Refused, "use 2.25.0 or newer; better 3.16.0", "%s looks for new blocks after a compaction only, up to two hours after they were installed", p.Target.Version)
	}
	return fine("it looks once a minute")
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// Size is a number of bytes for people.
func Size(n int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<unit.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(int64(1)<<unit.shift), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// Comparable says that both servers can be asked what they scrape.
func (p Pair) Comparable() bool { return p.Target != nil && p.Source.readable() && p.Target.readable() }
