package course

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

func TestWindow(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		name   string
		window *v1alpha1.Window
		now    string
		open   bool
		next   string
		err    string
	}{
		{"no window is always open", nil, "2026-11-22T12:00:00Z", true, "", ""},
		{"it is open from its first minute", &v1alpha1.Window{From: "02:00", To: "05:00"}, "2026-11-22T02:00:00Z", true, "", ""},
		{"it is closed at its end", &v1alpha1.Window{From: "02:00", To: "05:00"}, "2026-11-22T05:00:00Z", false, "2026-11-23T02:00:00Z", ""},
		{"it opens today", &v1alpha1.Window{From: "02:00", To: "05:00"}, "2026-11-22T01:59:59Z", false, "2026-11-22T02:00:00Z", ""},
		{"over midnight it is open before", &v1alpha1.Window{From: "23:00", To: "01:00"}, "2026-11-22T23:30:00Z", true, "", ""},
		{"over midnight it is open after", &v1alpha1.Window{From: "23:00", To: "01:00"}, "2026-11-22T00:30:00Z", true, "", ""},
		{"over midnight it is closed by day", &v1alpha1.Window{From: "23:00", To: "01:00"}, "2026-11-22T12:00:00Z", false, "2026-11-22T23:00:00Z", ""},
		{"it goes by its own time zone", &v1alpha1.Window{From: "02:00", To: "05:00", TimeZone: "Asia/Shanghai"}, "2026-11-21T18:30:00Z", true, "", ""},
		{"a zone that nobody knows is an error", &v1alpha1.Window{From: "02:00", To: "05:00", TimeZone: "Mars"}, "2026-11-22T12:00:00Z", false, "", "Mars"},
		{"a time that is none is an error", &v1alpha1.Window{From: "2 am", To: "05:00"}, "2026-11-22T12:00:00Z", false, "", `from: "2 am"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			open, next, err := Window(c.window, at(c.now))
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) || open != c.open {
				t.Fatalf("open %t, %v", open, err)
			}
			if c.next != "" && !next.Equal(at(c.next)) {
				t.Errorf("it opens at %s, want %s", next, c.next)
			}
		})
	}
}

func TestTheConfigurationFollowsTheJob(t *testing.T) {
	for _, c := range []struct {
		name  string
		has   Stage
		wants string
		want  []string
	}{
		{"alerts come first", StageVerify, wantsAlerting, []string{"Configure Alerts"}},
		{"remote write comes beside them", StageAlerts, wantsRemoteWrite, []string{"Configure CutOver"}},
		{"more than is wanted stays", StageCutOver, wantsAlerting, nil},
		{"nothing is wanted", StageAlerts, "", nil},
		{"alerts that do not settle are taken off again", StageAlerts, wantsOff, []string{"Configure Verify"}},
		{"a word that nobody knows changes nothing", StageAlerts, "Everything", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := cuttingOver(&Line{Wants: c.wants})
			w.Target.Stage = c.has
			if diff := cmp.Diff(c.want, acts(Decide(w))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
