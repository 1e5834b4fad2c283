package target

import (
	"fmt"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/test/golden"
)

// TestPlan reads like the documentation: the golden file has the command line, every change with its reason, and what a person has to do.
func TestPlan(t *testing.T) {
	p := plan(t, shop(t))
	var b strings.Builder
	for _, arg := range p.Args {
		fmt.Fprintln(&b, arg)
	}
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "\n%s, %s\n  %s\n  why: %s\n", c.Name, c.Where, c.What, c.Why)
	}
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "\n%s %s, %s\n  %s\n  fix: %s\n", f.Verdict, f.Rule, f.Where, f.Says, f.Fix)
	}
	golden.Check(t, "testdata/plan.golden", b.String())
}

func TestPlanRefusesOldTargets(t *testing.T) {
	o := replaced(t, "v3.16.0", "v2.55.1")
	if got := plan(t, o).Refusals(); len(got) != 1 || got[0].Rule != RuleOldTarget || !strings.Contains(got[0].Says, "#19737") {
		t.Errorf("%v", got)
	}
	o.Override = []string{RuleOldTarget}
	if p := plan(t, o); len(p.Refusals()) > 0 || !strings.Contains(rules(p.Findings), "Overridden target_version_loses_nothing") {
		t.Errorf("%v", p.Findings)
	}
}

func TestPathsOfTheSource(t *testing.T) {
	cases := []struct {
		name, flag, work string
		dir, err         string
	}{
		{"an absolute path stays", "/srv/prom/p.yml", "", "/srv/prom", ""},
		{"a relative path begins at the working directory", "conf/p.yml", "/opt/prom", "/opt/prom/conf", ""},
		{"a relative path needs a working directory", "p.yml", "", "", "/api/v1/status/runtimeinfo tells it as CWD"},
		{"the root cannot be a volume", "/p.yml", "", "", "the source's configuration stands in /,"},
		{"nor can the folder of the data", "/prometheus/p.yml", "", "", "stands in /prometheus"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := shop(t)
			o.Source.Flags, o.Source.WorkingDir = skew.NewFlags([]string{"--config.file=" + c.flag}), c.work
			p, err := New(o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil || p.paths.dir != c.dir || p.Args[0] != "--config.file="+c.flag {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
}

func TestPlanAsksForTheFileItself(t *testing.T) {
	o := shop(t)
	o.Source.Config = parse(t, "global: {}\nremote_write:\n- url: http://u:xxxxx@archive\n  basic_auth:\n    password: <secret>\n")
	_, err := New(o)
	if err == nil || !strings.Contains(err.Error(), "remote_write[0].url (line 3), remote_write[0].basic_auth.password (line 5); give the file itself") {
		t.Error(err)
	}
}

func TestUnknownFlagsRefuse(t *testing.T) {
	o := shop(t)
	o.Source.Flags = nil
	if got := rules(plan(t, o).Refusals()); got != "Refused flags-unknown, Refused feature-flag" && got != "Refused flags-unknown" {
		t.Error(got)
	}
}

func TestStagesDifferByWhatIsOn(t *testing.T) {
	for stage, want := range map[Stage]string{
		Bridge:  "global rule_files scrape_configs remote_read",
		Verify:  "global rule_files scrape_configs",
		CutOver: "global alerting rule_files scrape_configs remote_write",
		Final:   "global alerting rule_files scrape_configs remote_write",
	} {
		t.Run(string(stage), func(t *testing.T) {
			o := shop(t)
			o.Stage = stage
			if got := strings.Join(plan(t, o).Config.Sections(), " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

func diffOf(o Options, p *Plan) string { return config.Diff(o.Source.Config, p.Config) }
