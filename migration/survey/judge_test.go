package survey

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fitting is a target that nothing speaks against, beside a source of 180 days.
func fitting(t *testing.T) Pair {
	t.Helper()
	p := Pair{Source: recorded(t, "2.42").observe(t, "source"), Target: recorded(t, "2.42").observe(t, "target")}
	p.Source.URL, p.Target.URL = "http://monitor:9090", "http://new:9090"
	p.Source.Storage = Storage{Blocks: 27, BlockBytes: 800 << 30, WALBytes: 30 << 30, Lowest: 1_000_000_000_000, HeadMin: 1_000_000_000_000 + 180*86400*1000, HeadMax: 1_000_000_000_000 + 180*86400*1000 + 1000}
	p.Target.Version, p.Target.Alertmanagers = "3.16.0", nil
	p.Target.Config.Alerting, p.Target.Config.RemoteWrite = 0, nil
	p.Target.Config.RemoteRead = []string{"http://127.0.0.1:9797/api/v1/read"}
	p.Source.Clock, p.Target.Clock = Clock{-3, 3}, Clock{-3, 3}
	for i, target := range p.Target.Targets {
		if target.Job == "prometheus" {
			p.Target.Targets[i].Labels = `{instance="new:9090", job="prometheus"}`
		} else { // the recorded ones are on loopback
			p.Source.Targets[i].URL, p.Target.Targets[i].URL = "http://app:80/metrics", "http://app:80/metrics"
		}
	}
	p.FreeBytes = 2 << 40
	p.Coverage = &CoverageReport{Verdict: CoverageEqual, Says: "4 of 4 targets are equal"}
	return p
}

func verdict(t *testing.T, findings []Finding, rule string) Finding {
	t.Helper()
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == rule })
	if i < 0 {
		t.Fatalf("nobody asked %s", rule)
	}
	return findings[i]
}

func TestJudgeAFittingTarget(t *testing.T) {
	findings := Judge(fitting(t), nil)
	for _, f := range findings {
		want := Fine
		if f.Rule == RuleLateSamples {
			want = Note
		}
		if f.Verdict != want || f.Says == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(findings) != len(Checks()) || Worst(findings) != Note || Worst(findings).Stops() {
		t.Errorf("%d findings of %d rules, the worst is %s", len(findings), len(Checks()), Worst(findings))
	}
}

func TestJudge(t *testing.T) {
	const day = 86400
	type change = func(p *Pair)
	tests := map[string]struct {
		change change
		rule   string
		want   Verdict
	}{
		"1.x cannot be moved":                            {func(p *Pair) { p.Source.Version = "1.8.2" }, RuleSourceReadable, Refused},
		"an agent has no blocks":                         {func(p *Pair) { p.Source.Flags.Agent = true }, RuleSourceReadable, Refused},
		"an unknown version is told":                     {func(p *Pair) { p.Source.Version = "" }, RuleSourceReadable, Warns},
		"before 2.13 reads are in one piece":             {func(p *Pair) { p.Source.Version = "2.10.0" }, RuleSourceReadable, Warns},
		"failed compactions are told":                    {func(p *Pair) { p.Source.Storage.FailedCompaction = 1 }, RuleSourceHealthy, Warns},
		"what the source reads elsewhere stays there":    {func(p *Pair) { p.Source.Config.RemoteRead = []string{"http://x/"} }, RuleSourceAlone, Note},
		"3.13 has both defects":                          {func(p *Pair) { p.Target.Version = "3.13.1" }, RuleTargetVersion, Refused},
		"3.15 has one":                                   {func(p *Pair) { p.Target.Version = "3.15.0" }, RuleTargetVersion, Refused},
		"a target without version is not known":          {func(p *Pair) { p.Target.Version = "" }, RuleTargetVersion, Unknown},
		"an older target may not know formats":           {func(p *Pair) { p.Target.Version = "2.40.0" }, RuleTargetReads, Warns},
		"2.54 reads nothing of 3.x":                      {func(p *Pair) { p.Source.Version, p.Target.Version = "3.1.0", "2.54.0" }, RuleTargetReads, Refused},
		"before 2.25 only compactions reload":            {func(p *Pair) { p.Target.Version = "2.24.1" }, RuleTargetReloads, Refused},
		"the operator's day is refused":                  {func(p *Pair) { p.Target.Retention = Retention{Seconds: day, Text: "1d"} }, RuleRetention, Refused},
		"a shorter retention is refused":                 {func(p *Pair) { p.Target.Retention = Retention{Seconds: 179 * day} }, RuleRetention, Refused},
		"a longer one is fine":                           {func(p *Pair) { p.Target.Retention = Retention{Seconds: 365 * day} }, RuleRetention, Fine},
		"no limit is fine":                               {func(p *Pair) { p.Target.Retention = Retention{} }, RuleRetention, Fine},
		"a limit beside a source without one is refused": {func(p *Pair) { p.Source.Retention = Retention{} }, RuleRetention, Refused},
		"a share of the disk is refused":                 {func(p *Pair) { p.Target.Retention.Share = "80%" }, RuleRetention, Refused},
		"a size that is too small is refused":            {func(p *Pair) { p.Target.Retention.Bytes = 700 << 30 }, RuleRetention, Refused},
		"a size that holds all is fine":                  {func(p *Pair) { p.Target.Retention.Bytes = 900 << 30 }, RuleRetention, Fine},
		"longer blocks write everything anew":            {func(p *Pair) { p.Target.Flags.MaxBlockSeconds *= 3 }, RuleBlockDurations, Warns},
		"shorter blocks leave what is there":             {func(p *Pair) { p.Target.Flags.MaxBlockSeconds /= 3 }, RuleBlockDurations, Fine},
		"another head moves the seam":                    {func(p *Pair) { p.Target.Flags.MinBlockSeconds = 3600 }, RuleBlockDurations, Warns},
		"overlaps that stay are told":                    {func(p *Pair) { p.Target.Flags.OverlappingCompaction = false }, RuleOverlaps, Warns},
		"Thanos' durations are told":                     {func(p *Pair) { p.Target.Flags.MaxBlockSeconds = 7200 }, RuleOverlaps, Warns},
		"other labels are told":                          {func(p *Pair) { p.Target.Config.ExternalLabels = map[string]string{"prometheus": "x"} }, RuleExternalLabels, Warns},
		"a remote read of the source is refused":         {func(p *Pair) { p.Target.Config.RemoteRead = []string{"http://monitor:9090/api/v1/read"} }, RuleNoPlainRemoteRead, Refused},
		"no remote read yet is told":                     {func(p *Pair) { p.Target.Config.RemoteRead = nil }, RuleNoPlainRemoteRead, Note},
		"two own scrapes of one name are refused":        {func(p *Pair) { p.Target.Targets = p.Source.Targets }, RuleSelfScrape, Refused},
		"on one host the address tells them apart":       {func(p *Pair) { p.Target.Targets, p.Target.URL = p.Source.Targets, "http://monitor:9091" }, RuleSelfScrape, Fine},
		"an Alertmanager of the target is refused":       {func(p *Pair) { p.Target.Alertmanagers = []string{"http://am"} }, RuleAlertsOff, Refused},
		"one that is not found yet, too":                 {func(p *Pair) { p.Target.Config.Alerting = 1 }, RuleAlertsOff, Refused},
		"a remote write of the target is refused":        {func(p *Pair) { p.Target.Config.RemoteWrite = []string{"http://x/"} }, RuleRemoteWriteOff, Refused},
		"a shorter window of late samples is told":       {func(p *Pair) { p.Target.Config.OutOfOrderMillis = 0 }, RuleLateSamples, Warns},
		"clocks that differ for certain are refused":     {func(p *Pair) { p.Target.Clock = Clock{1500, 1510} }, RuleClocks, Refused},
		"behind, too":                                    {func(p *Pair) { p.Target.Clock = Clock{-1510, -1500} }, RuleClocks, Refused},
		"clocks that may differ are told":                {func(p *Pair) { p.Target.Clock = Clock{-2000, 2000} }, RuleClocks, Warns},
		"a volume that nobody measured is told":          {func(p *Pair) { p.FreeBytes = 0 }, RuleCapacity, Note},
		"a volume that is too small is refused":          {func(p *Pair) { p.FreeBytes = 900 << 30 }, RuleCapacity, Refused},
		"a rule that reads further than is kept is told": {func(p *Pair) { p.Target.Retention.Seconds = 7 * day }, RuleLongestRange, Warns},
		"a rule group that is missing is refused":        {func(p *Pair) { p.Target.Groups = p.Target.Groups[1:] }, RuleGroups, Refused},
		"a rule group of another file is told":           {func(p *Pair) { p.Target.Groups[0].File = "/x" }, RuleGroups, Warns},
		"a coverage that differs is refused":             {func(p *Pair) { p.Coverage.Verdict = CoverageDifferent }, RuleCoverage, Refused},
		"a coverage that waits is not known":             {func(p *Pair) { p.Coverage.Verdict = CoverageWaiting }, RuleCoverage, Unknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := fitting(t)
			test.change(&p)
			f := verdict(t, Judge(p, nil), test.rule)
			if f.Verdict != test.want || f.Says == "" || (f.Verdict.Stops() || f.Verdict == Warns) && f.Fix == "" {
				t.Errorf("%+v, want %s", f, test.want)
			}
			if !f.Verdict.Stops() {
				return
			}
			want := f.Verdict
			if slices.Contains(Overridable(), test.rule) {
				want = Overridden
			}
			if got := verdict(t, Judge(p, []string{test.rule}), test.rule); got.Verdict != want || got.Says != f.Says {
				t.Errorf("overridden it is %+v, want %s", got, want)
			}
		})
	}
}

func TestJudgeWithoutATarget(t *testing.T) {
	p := fitting(t)
	p.Target, p.Coverage = nil, nil
	for version, want := range map[string][]string{"2.42.0": {RuleSourceReadable, RuleSourceHealthy, RuleSourceAlone}, "1.8.2": {RuleSourceReadable}} {
		var rules []string
		p.Source.Version = version
		for _, f := range Judge(p, nil) {
			rules = append(rules, f.Rule)
		}
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Errorf("%s -want +got:\n%s", version, diff)
		}
	}
}

func TestNeedHasRoomForTheLargestRewrite(t *testing.T) {
	n := fitting(t).Source.need()
	// 162 of 4320 hours of 800 GiB are 30 GiB.
	if n.LargestBlockBytes != 30<<30 || n.HeadBytes != 30<<30 || n.Bytes != 830<<30 || n.Total != 1032<<30 {
		t.Errorf("%+v", n)
	}
	empty := &Observation{Flags: readFlags(nil)}
	if n := empty.need(); n.Total != 0 {
		t.Errorf("%+v", n)
	}
}

func TestSeam(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, "2026-11-22T"+text+"Z")
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	tests := map[string]struct{ now, start, boundary string }{
		"long before a boundary it waits":           {"14:30:00", "15:50:00", "16:00:00"},
		"shortly before one it takes the next":      {"15:51:00", "17:50:00", "18:00:00"},
		"just before the time to start it is taken": {"15:49:00", "15:50:00", "16:00:00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := &Observation{At: at(test.now), Flags: readFlags(nil), Storage: Storage{HeadMin: at("12:00:00").UnixMilli(), HeadMax: at(test.now).UnixMilli()}}
			want := Seam{SourceCut: at("15:00:00"), Start: at(test.start), Boundary: at(test.boundary), SourceBlock: at(test.boundary).Add(time.Hour), TargetCut: at(test.start).Add(3 * time.Hour)}
			if diff := cmp.Diff(want, newSeam(o)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
