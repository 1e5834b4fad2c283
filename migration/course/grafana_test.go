package course

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/test/golden"
)

// asked is a world whose spec wants a Grafana with the data of an old one.
func asked(w *World) *World {
	w.Spec.Grafana = &v1alpha1.GrafanaTarget{Name: "grafana", Image: "grafana/grafana:12.0.0", From: &v1alpha1.GrafanaOrigin{URL: "http://monitor:3000", APISecretName: "admin"}}
	return w
}

// standing has one that was brought and compared some time ago.
func standing(w *World, since time.Duration) *World {
	asked(w)
	w.Grafana = Grafana{Claim: true, Applied: true, Deployed: true, Current: true, Ready: true, URL: "http://grafana.monitoring.svc:3000"}
	w.Jobs[RoleGrafana] = &Job{Same: true, Succeeded: true, Begun: ago(since), Ended: ago(since - time.Minute), Line: &Line{Verdict: "Fine", Says: "all was brought"}}
	w.Jobs[RoleAlike] = &Job{Same: true, Succeeded: true, Begun: ago(since - 2*time.Minute), Ended: ago(since - 3*time.Minute), Line: &Line{Verdict: "Fine", Says: "12 dashboards"}}
	return w
}

func fits() *World {
	return with(moving(""), func(w *World) { delete(w.Jobs, RoleMove) })
}

// approved is where the cutover may begin.
func approved(w *World) *World {
	w.Spec.Approved = []v1alpha1.Approval{v1alpha1.ApprovalCutover}
	return w
}

// TestTheCourseOfAGrafana shows what is decided about the Grafana beside the target.
func TestTheCourseOfAGrafana(t *testing.T) {
	refused := &Job{Same: true, Failed: true, Begun: ago(3 * time.Minute), Ended: ago(time.Minute),
		Line: &Line{Verdict: "Refused", Findings: []Reported{{Rule: "grafana_dashboards_equal", Verdict: "Refused", Says: "the new one lacks 1 of 12: Shop (shop)", Fix: "bring it again"}}}}
	var text strings.Builder
	for _, c := range []struct {
		name string
		w    *World
	}{
		{"it is asked for", asked(fits())},
		{"its claim is there", with(asked(fits()), func(w *World) { w.Grafana.Claim = true })},
		{"its data was brought", with(standing(fits(), time.Hour), func(w *World) { w.Grafana = Grafana{Claim: true}; delete(w.Jobs, RoleAlike) })},
		{"it starts", with(standing(fits(), time.Hour), func(w *World) {
			w.Grafana.Ready, w.Grafana.Says = false, "container grafana: ImagePullBackOff"
			delete(w.Jobs, RoleAlike)
		})},
		{"it runs", with(standing(fits(), time.Hour), func(w *World) { delete(w.Jobs, RoleAlike) })},
		{"something differs", with(standing(fits(), time.Hour), func(w *World) { w.Jobs[RoleAlike] = refused })},
		{"it is equal", standing(fits(), time.Hour)},
		{"the job that brought it is deleted by a person", with(standing(fits(), time.Hour), func(w *World) { delete(w.Jobs, RoleGrafana) })},
		{"blocks travel", standing(moving("Stage"), time.Hour)},
		{"blocks travel and it is away", with(standing(moving("Stage"), time.Hour), func(w *World) { w.Grafana.Ready = false })},
		{"the cutover is approved and its data is old", approved(standing(proved2(), 2*time.Hour))},
		{"the same while everything is paused", with(approved(standing(proved2(), 2*time.Hour)), func(w *World) { w.Paused = new(string) })},
		{"it is stopped and its pod still ends", approved(with(standing(proved2(), 2*time.Hour), func(w *World) { w.Grafana.Deployed = false }))},
		{"it is stopped", approved(with(standing(proved2(), 2*time.Hour), func(w *World) { w.Grafana.Deployed, w.Grafana.Applied = false, false }))},
		{"its data was brought again and both were compared before that", approved(with(standing(proved2(), 10*time.Minute), func(w *World) { w.Jobs[RoleAlike].Begun = ago(time.Hour) }))},
		{"its data is fresh", approved(standing(proved2(), 10*time.Minute))},
		{"the cutover has begun and its data is old", standing(cuttingOver(nil), 5*time.Hour)},
		{"it is observed", standing(cutOver(time.Minute), 5*time.Hour)},
		{"it is final", with(standing(final(), 5*time.Hour), func(w *World) { w.Target.Stage, w.Shim = StageFinal, Shim{} })},
		{"it is final and its alerts are on", with(standing(final(), 5*time.Hour), func(w *World) { w.Target.Stage, w.Shim, w.Grafana.SendsAlerts = StageFinal, Shim{}, true })},
		{"back", back(standing(cutOver(time.Minute), time.Hour))},
		{"back, and users are with the source", with(back(standing(cutOver(time.Minute), time.Hour)), func(w *World) {
			w.Target.Stage, w.Jobs[RoleRollback] = StageVerify, done(Line{Done: true})
		})},
		{"one that begins empty", with(asked(fits()), func(w *World) { w.Spec.Grafana.From, w.Grafana.Claim = nil, true })},
		{"one that begins empty runs", with(standing(fits(), time.Hour), func(w *World) {
			w.Spec.Grafana.From, w.Jobs[RoleGrafana], w.Jobs[RoleAlike] = nil, nil, nil
		})},
	} {
		d := Decide(c.w)
		var status v1alpha1.PrometheusMigrationStatus
		d.Write(&status, noon())
		fmt.Fprintf(&text, "== %s\n%s", c.name, only(d.String()))
		if g := status.Grafana; g != nil {
			fmt.Fprintf(&text, "status %s %q, brought %s\n", g.URL, g.Summary, g.BroughtAt)
		}
		for _, note := range status.Notes {
			fmt.Fprintf(&text, "note   %s\n", note)
		}
		text.WriteString("\n")
	}
	golden.Check(t, "testdata/grafana.golden", text.String())
}

// only leaves out the conditions that are not of Grafana.
func only(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "says ") || strings.Contains(line, "Grafana") || strings.Contains(line, "Progressing") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestNothingIsBroughtUnderPeople holds the worst that could happen against every world: a copy over a database that is used.
func TestNothingIsBroughtUnderPeople(t *testing.T) {
	for _, since := range []time.Duration{time.Minute, 2 * time.Hour, 48 * time.Hour} {
		for name, w := range map[string]*World{"cutting over": cuttingOver(nil), "cut over": cutOver(3 * time.Hour), "final": final()} {
			for _, gone := range []bool{false, true} {
				w := standing(w, since)
				if gone {
					delete(w.Jobs, RoleGrafana)
				}
				for _, a := range Decide(w).Actions {
					if a.Role == RoleGrafana || a.Kind == ActNoGrafana {
						t.Errorf("%s, brought %s ago, job gone %v: %s", name, since, gone, a)
					}
				}
			}
		}
	}
	for _, w := range []*World{standing(fits(), time.Hour), approved(standing(proved2(), 2*time.Hour))} {
		delete(w.Jobs, RoleGrafana)
		if diff := cmp.Diff([]string{"StopGrafana"}, acts(Decide(w))); diff != "" {
			t.Errorf("its pod runs (-want +got):\n%s", diff)
		}
	}
}
