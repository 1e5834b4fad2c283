package target

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

func TestNamesOfATarget(t *testing.T) {
	for name, c := range map[string]struct {
		target v1alpha1.Target
		want   string
	}{
		"a StatefulSet":                  {v1alpha1.Target{StatefulSet: &v1alpha1.StatefulSetTarget{Name: "ecs"}}, "ecs ecs ecs-pod"},
		"a Prometheus":                   {v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s"}}, "k8s prometheus-k8s k8s-pod"},
		"a Prometheus with another name": {v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s", ServiceName: "metrics"}}, "metrics prometheus-k8s metrics-pod"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join([]string{ServiceName(c.target), SetName(c.target), PodServiceName(c.target)}, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestOperatorHasItsServicesAndItsClaim(t *testing.T) {
	o, cr := operated(t, "volumeClaimTemplate: {spec: {", "volumeClaimTemplate: {metadata: {labels: {disk: fast}}, spec: {storageClassName: fast, ")
	o.Migration.Spec.Source.Host.Address = "198.18.0.21"
	o.Migration.Spec.Target.Prometheus.ServiceName = "metrics"
	o.Migration.Spec.Target.Prometheus.Service = v1alpha1.Service{Type: corev1.ServiceTypeNodePort, NodePort: 30090}
	x, err := NewOperator(o, cr)
	if err != nil {
		t.Fatal(err)
	}
	users, source, err := x.Endpoint()
	if err != nil || users.Name != "metrics" || users.NodePort != 30090 || users.Port != 9090 || source.Addr().String() != "198.18.0.21" {
		t.Errorf("%+v leads to %v, %v", users, source, err)
	}
	pod := x.PodService()
	if diff := cmp.Diff(VolumeOf(cr).PodLabels, pod.Spec.Selector); diff != "" || pod.Name != "metrics-pod" || !pod.Spec.PublishNotReadyAddresses {
		t.Errorf("%s\n%+v", diff, pod)
	}
	claim, err := x.Claim()
	if err != nil || claim.Name != "prometheus-k8s-db-prometheus-k8s-0" || claim.Labels["disk"] != "fast" || *claim.Spec.StorageClassName != "fast" || claim.Spec.AccessModes[0] != corev1.ReadWriteOnce {
		t.Errorf("%+v", claim)
	}
}

// TestAPatchHolds: a controller patches what does not hold, and leaves alone what does.
func TestAPatchHolds(t *testing.T) {
	o, before := operated(t)
	x, err := NewOperator(o, before)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at   *monitoringv1.Prometheus
		more string
		want bool
	}{
		"before the move it does not":               {before, "", false},
		"after it does":                             {merged(t, before, x.Patch), "", true},
		"with a field of somebody else it does":     {merged(t, before, x.Patch), "spec: {resources: {requests: {memory: 1Gi}}}", true},
		"with another retention it does not":        {merged(t, before, x.Patch), "spec: {retention: 24h}", false},
		"without the jobs it does not":              {merged(t, before, x.Patch), "spec: {additionalScrapeConfigs: null}", false},
		"with one argument more it does not":        {merged(t, before, x.Patch), "spec: {additionalArgs: [{name: a}]}", false},
		"with alerts that are too early it doesn't": {merged(t, before, x.Patch), "spec: {alerting: {alertmanagers: [{name: main, port: web}]}}", false},
	} {
		t.Run(name, func(t *testing.T) {
			at := c.at
			if c.more != "" {
				at = merged(t, at, []byte(c.more))
			}
			text, err := json.Marshal(at)
			if err != nil {
				t.Fatal(err)
			}
			var live map[string]any
			if err := json.Unmarshal(text, &live); err != nil {
				t.Fatal(err)
			}
			if got, err := x.Holds(live["spec"].(map[string]any)); err != nil || got != c.want {
				t.Errorf("%t, %v, want %t", got, err, c.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	for name, c := range map[string]struct {
		has, want any
		is        bool
	}{
		"defaults of the API server are beside": {[]any{map[string]any{"a": "b", "c": true}}, []any{map[string]any{"a": "b"}}, true},
		"numbers are numbers":                   {int64(3), float64(3), true},
		"another number is not":                 {int64(3), float64(4), false},
		"an empty object wants nothing":         {nil, map[string]any{}, true},
		"nothing is wanted":                     {map[string]any{}, nil, false},
		"a text is no object":                   {"a", map[string]any{"a": "b"}, false},
		"a longer list is another":              {[]any{"a", "b"}, []any{"a"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := covers(c.has, c.want); got != c.is {
				t.Errorf("%t", got)
			}
		})
	}
}

func TestArgumentsThatAreMissing(t *testing.T) {
	x, err := NewOperator(operated(t))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"--storage.tsdb.retention.time=180d"}
	for _, a := range x.after.Spec.AdditionalArgs {
		all = append(all, "--"+a.Name+"="+a.Value)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"none":                    {all, ""},
		"a retention that stayed": {append([]string{"--storage.tsdb.retention.time=24h"}, all[1:]...), "--storage.tsdb.retention.time=180d"},
		"one that is not given":   {all[:len(all)-1], all[len(all)-1]},
	} {
		t.Run(name, func(t *testing.T) {
			if got := x.Missing(c.args); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatTheOperatorTells(t *testing.T) {
	at := func(c ...monitoringv1.Condition) *monitoringv1.Prometheus {
		cr := &monitoringv1.Prometheus{}
		cr.Generation, cr.Status.Conditions = 3, c
		return cr
	}
	for name, c := range map[string]struct {
		cr   *monitoringv1.Prometheus
		says string
	}{
		"nothing at all":    {at(), ""},
		"what was before":   {at(monitoringv1.Condition{Type: monitoringv1.Reconciled, Status: monitoringv1.ConditionTrue, ObservedGeneration: 2}), "has not seen the last change"},
		"what it cannot do": {at(monitoringv1.Condition{Type: monitoringv1.Reconciled, Status: monitoringv1.ConditionFalse, Message: "no class fast", ObservedGeneration: 3}), "no class fast"},
		"that it is done":   {at(monitoringv1.Condition{Type: monitoringv1.Reconciled, Status: monitoringv1.ConditionTrue, ObservedGeneration: 3}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Lags(c.cr); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}

// TestTheWayBackNeedsNoPlan: it leads back from each stage to the bytes that were, and keeps what others changed.
func TestTheWayBackNeedsNoPlan(t *testing.T) {
	o, before := operated(t)
	for _, stage := range Stages() {
		o.Stage = stage
		x, err := NewOperator(o, before)
		if err != nil {
			t.Fatal(err)
		}
		now := merged(t, merged(t, before, x.Patch), []byte("spec: {resources: {requests: {memory: 1Gi}}}"))
		spec, err := TakeBack(now, before)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		want := merged(t, before, []byte("spec: {resources: {requests: {memory: 1Gi}}}"))
		if diff := cmp.Diff(want.Spec, merged(t, now, text).Spec); diff != "" {
			t.Errorf("from %s:\n%s", stage, diff)
		}
	}
}
