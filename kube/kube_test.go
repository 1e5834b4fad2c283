package kube

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestRun(t *testing.T) {
	boom := errors.New("boom")
	step := func(name string, r Result, err error) Phase[[]string] {
		return func(_ context.Context, ran *[]string) (Result, error) {
			*ran = append(*ran, name)
			return r, err
		}
	}
	cases := map[string]struct {
		phases []Phase[[]string]
		ran    []string
		want   Result
		err    error
	}{
		"keeps the shortest wait":     {[]Phase[[]string]{step("a", Result{RequeueAfter: 9}, nil), step("b", Result{}, nil), step("c", Result{RequeueAfter: 3}, nil)}, []string{"a", "b", "c"}, Result{RequeueAfter: 3}, nil},
		"ends at a stop":              {[]Phase[[]string]{step("a", Result{Stop: true}, nil), step("b", Result{}, nil)}, []string{"a"}, Result{Stop: true}, nil},
		"ends at an error with waits": {[]Phase[[]string]{step("a", Result{RequeueAfter: 5}, nil), step("b", Result{}, boom), step("c", Result{}, nil)}, []string{"a", "b"}, Result{RequeueAfter: 5}, boom},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var ran []string
			got, err := Run(t.Context(), &ran, c.phases...)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v", got, err)
			}
			if diff := cmp.Diff(c.ran, ran); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	boom := errors.New("boom")
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "machines"}, "m", boom)
	cases := map[string]struct {
		err     error
		changed bool
		result  Result
		want    ctrl.Result
		retried bool
		event   string
	}{
		"passes a wait on":                      {result: Result{RequeueAfter: 7}, want: ctrl.Result{RequeueAfter: 7}},
		"does not retry what needs a human":     {err: Human("Why", boom), changed: true, event: "Warning Why boom"},
		"tells a human once":                    {err: Human("Why", boom)},
		"comes again to a human at its time":    {err: fmt.Errorf("wrapped: %w", Human("Why", boom)), result: Result{RequeueAfter: 4}, want: ctrl.Result{RequeueAfter: 4}},
		"waits the shorter time":                {err: Wait("Why", time.Minute, boom), result: Result{RequeueAfter: time.Second}, want: ctrl.Result{RequeueAfter: time.Second}},
		"retries everything else":               {err: boom, retried: true},
		"finds a conflict among several errors": {err: errors.Join(fmt.Errorf("writing: %w", conflict), boom), want: ctrl.Result{RequeueAfter: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			got, err := Kit{Recorder: recorder}.outcome(t.Context(), &corev1.ConfigMap{}, c.changed, c.result, c.err)
			if (err != nil) != c.retried {
				t.Errorf("error %v, want one: %v", err, c.retried)
			}
			if c.want.RequeueAfter == 1 { // soon, with jitter
				if got.RequeueAfter < 50*time.Millisecond || got.RequeueAfter > 100*time.Millisecond {
					t.Errorf("comes again after %s", got.RequeueAfter)
				}
			} else if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			event := ""
			select {
			case event = <-recorder.Events:
			default:
			}
			if event != c.event {
				t.Errorf("event %q, want %q", event, c.event)
			}
		})
	}
}

func TestMergeKeepsWhatTheOtherWrote(t *testing.T) {
	condition := func(kind, reason string) corev1.NodeCondition {
		return corev1.NodeCondition{Type: corev1.NodeConditionType(kind), Status: corev1.ConditionTrue, Reason: reason}
	}
	node := func(version string, status corev1.NodeStatus) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", ResourceVersion: version}, Status: status}
	}
	before := node("1", corev1.NodeStatus{Phase: "Pending", Conditions: []corev1.NodeCondition{condition("A", "old"), condition("B", "old")}})
	mine := node("1", corev1.NodeStatus{Phase: "Running", Conditions: []corev1.NodeCondition{condition("A", "mine"), condition("B", "old"), condition("C", "mine")}})
	theirs := node("2", corev1.NodeStatus{Phase: "Pending", NodeInfo: corev1.NodeSystemInfo{KernelVersion: "6"}, Conditions: []corev1.NodeCondition{condition("A", "old"), condition("B", "theirs")}})
	got, err := merge(before, mine, theirs)
	if err != nil {
		t.Fatal(err)
	}
	want := node("2", corev1.NodeStatus{Phase: "Running", NodeInfo: corev1.NodeSystemInfo{KernelVersion: "6"}, Conditions: []corev1.NodeCondition{condition("A", "mine"), condition("B", "theirs"), condition("C", "mine")}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWords(t *testing.T) {
	cases := map[string]struct{ got, want string }{
		"sorts and says things once":    {Sentence([]string{"b", "a", "b"}), "a; b"},
		"names all when they are few":   {Names([]string{"b", "a"}, 2), "a, b"},
		"counts the rest":               {Names([]string{"c", "b", "a"}, 2), "a, b, … (3)"},
		"cuts at a character":           {Limit("ab→cd", 6), "ab…"},
		"leaves short texts alone":      {Limit("abc", 3), "abc"},
		"takes the reason of an error":  {Reason(fmt.Errorf("x: %w", Human("Why", errors.New("y"))), "Other"), "Why"},
		"falls back where there is one": {Reason(errors.New("y"), "Other"), "Other"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

func TestSetKeepsTheTimeWhileTheStatusStays(t *testing.T) {
	old := metav1.NewTime(time.Unix(1000, 0))
	conditions := []metav1.Condition{{Type: "A", Status: metav1.ConditionTrue, Reason: "R", Message: "m", LastTransitionTime: old, ObservedGeneration: 1}}
	if Set(&conditions, 1, "A", metav1.ConditionTrue, "R", "m") {
		t.Error("says that it changed what it did not change")
	}
	if !True(&conditions, 2, "A", "R", "n") || !conditions[0].LastTransitionTime.Equal(&old) {
		t.Errorf("a new message must be written and keep the time: %+v", conditions[0])
	}
	if !False(&conditions, 2, "A", "R", "n") || conditions[0].LastTransitionTime.Equal(&old) {
		t.Errorf("a new status must have a new time: %+v", conditions[0])
	}
}
