package target

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/skew"
)

func TestFlags(t *testing.T) {
	const common = "--config.file=prometheus.yml --storage.tsdb.path=/prometheus --web.listen-address=:9090 --web.enable-lifecycle"
	cases := []struct {
		name, flags, retention string
		from                   string
		want, findings         string
	}{
		{"the defaults of an old server are written down", "", "", "2.42.0",
			common + " --storage.tsdb.retention.time=15d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=1d12h --storage.tsdb.block-reload-interval=5s", ""},
		{"a longer retention keeps the length of blocks", "--storage.tsdb.retention.time=30d", "365d", "2.42.0",
			common + " --storage.tsdb.retention.time=1y --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=3d --storage.tsdb.block-reload-interval=5s", ""},
		{"a shorter retention is refused", "--storage.tsdb.retention.time=180d", "30d", "2.42.0",
			common + " --storage.tsdb.retention.time=30d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=18d --storage.tsdb.block-reload-interval=5s", "Refused retention"},
		{"the retention flag of old has the same meaning", "--storage.tsdb.retention=90d", "", "2.6.0",
			common + " --storage.tsdb.retention.time=90d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=9d --storage.tsdb.block-reload-interval=5s", ""},
		{"retention by size has blocks of 31 days", "--storage.tsdb.retention.size=500GB", "", "2.42.0",
			common + " --storage.tsdb.retention.size=500GB --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=31d --storage.tsdb.block-reload-interval=5s", ""},
		{"a time beside a size is to be looked at", "--storage.tsdb.retention.size=500GB", "1y", "2.42.0",
			common + " --storage.tsdb.retention.time=1y --storage.tsdb.retention.size=500GB --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=31d --storage.tsdb.block-reload-interval=5s", "Look retention-by-size"},
		{"features become what the new version calls them", "--enable-feature=remote-write-receiver,exemplar-storage --enable-feature=agent-not", "", "2.42.0",
			common + " --storage.tsdb.retention.time=15d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=1d12h --storage.tsdb.block-reload-interval=5s --enable-feature=exemplar-storage,agent-not --web.enable-remote-write-receiver", ""},
		{"a low port becomes 9090", "--web.listen-address=0.0.0.0:80", "", "3.5.0",
			common + " --storage.tsdb.retention.time=15d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=1d12h --storage.tsdb.block-reload-interval=5s", ""},
		{"what is not known is told", "--web.config.file=/x --storage.new=1 --no-scrape.adjust-timestamps", "", "3.5.0",
			common + " --storage.tsdb.retention.time=15d --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=1d12h --storage.tsdb.block-reload-interval=5s --no-scrape.adjust-timestamps",
			"Look unknown-flag, Look web-config"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := replaced(t, "retention: 365d", "retention: "+c.retention)
			var err error
			if o.Source.Version, err = skew.ParseVersion(c.from); err != nil {
				t.Fatal(err)
			}
			o.Source.Flags, o.Source.WorkingDir, o.Source.Config = skew.NewFlags(strings.Fields("--config.file=prometheus.yml "+c.flags)), "/opt/p", parse(t, "")
			p := plan(t, o)
			if diff := cmp.Diff(strings.Fields(c.want), p.Args); diff != "" {
				t.Error(diff)
			}
			var ours []Finding
			for _, f := range p.Findings {
				if f.Rule == RuleRetention || f.Rule == RuleRetentionSize || f.Rule == RuleUnknownFlag || f.Rule == RuleWebConfig {
					ours = append(ours, f)
				}
			}
			if got := rules(ours); got != c.findings {
				t.Errorf("findings %q, want %q", got, c.findings)
			}
		})
	}
}

func TestAgentsHaveNothingToMove(t *testing.T) {
	for _, args := range [][]string{{"--enable-feature=agent"}} {
		o := shop(t)
		o.Source.Flags = skew.NewFlags(args)
		o.Source.WorkingDir = "/x"
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "the source is an agent") {
			t.Errorf("%v: %v", args, err)
		}
	}
}
