package course

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

func TestMissed(t *testing.T) {
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: ago(d)} }
	looked := func() *v1alpha1.Proof {
		return &v1alpha1.Proof{LookedAt: at(time.Minute), TargetStarted: at(time.Hour)}
	}
	led := func(to v1alpha1.Side, since time.Duration) *v1alpha1.EndpointStatus {
		return &v1alpha1.EndpointStatus{LeadsTo: to, Since: at(since)}
	}
	for _, c := range []struct {
		name    string
		proof   *v1alpha1.Proof
		led     *v1alpha1.EndpointStatus
		started time.Time
		says    string
	}{
		{"a target that was never looked at lacks what the move brings", nil, led(v1alpha1.SideSource, 0), ago(0), ""},
		{"a first proof is no look after the restart", &v1alpha1.Proof{Verdict: "proved"}, led(v1alpha1.SideSource, 0), ago(0), ""},
		{"a target that runs since it was looked at lacks nothing", looked(), led(v1alpha1.SideTarget, 0), ago(time.Hour), ""},
		{"kubelet and server tell whole seconds", looked(), nil, ago(time.Hour - 2*time.Second), ""},
		{"a start after the look is a gap", looked(), led(v1alpha1.SideTarget, time.Hour), ago(10 * time.Second), "started again at 11:59:50 UTC"},
		{"a start that the look did not see is a gap", looked(), nil, ago(30 * time.Minute), "started again at 11:30:00 UTC"},
		{"a pod that is away says nothing of its start", looked(), nil, time.Time{}, ""},
		{"users who were led away mean a gap, though nothing was started", looked(), led(v1alpha1.SideSource, 5*time.Second), ago(time.Hour), "did not answer at 11:59:55 UTC"},
		{"in the second of the look it counts, too", looked(), led(v1alpha1.SideSource, time.Minute), ago(time.Hour), "did not answer"},
		{"users who were led away before the look mean none", looked(), led(v1alpha1.SideSource, 2*time.Minute), ago(time.Hour), ""},
		{"a look that tells no start of the target is not held against one", &v1alpha1.Proof{LookedAt: at(time.Minute)}, nil, ago(0), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Missed(c.proof, c.led, c.started); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}
