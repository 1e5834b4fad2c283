package target

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// operated is the shop's server going to a Prometheus of the operator.
func operated(t testing.TB, oldnew ...string) (Options, *monitoringv1.Prometheus) {
	t.Helper()
	o := shop(t)
	o.Migration.Spec.Target = v1alpha1.Target{Prometheus: &v1alpha1.PrometheusTarget{Name: "k8s", Shim: v1alpha1.Shim{Image: "registry.shop/slipway-agent:0.1.0", Args: []string{"shim"}}}}
	cr, err := ReadPrometheus([]byte(strings.NewReplacer(oldnew...).Replace(string(read(t, "prometheus-k8s.yaml")))))
	if err != nil {
		t.Fatal(err)
	}
	return o, cr
}

func TestOperator(t *testing.T) {
	x, err := NewOperator(operated(t))
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/operator-patch.golden.yaml", string(x.Patch))
	golden.Check(t, "testdata/operator-undo.golden.yaml", string(x.Undo))
	m, err := x.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/operator-objects.golden.yaml", string(m.YAML))
	if got := rules(x.Refusals()); got != "" {
		t.Error(got)
	}
}

// merged is a Prometheus after a merge patch.
func merged(t testing.TB, cr *monitoringv1.Prometheus, patch []byte) *monitoringv1.Prometheus {
	t.Helper()
	state, err := json.Marshal(cr)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.YAMLToJSON(patch)
	if err != nil {
		t.Fatal(err)
	}
	if state, err = jsonpatch.MergePatch(state, text); err != nil {
		t.Fatal(err)
	}
	next, err := ReadPrometheus(state)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestOperatorPatchesLeadFromAnyStage: a controller applies the patch of a stage without a look at the last one.
func TestOperatorPatchesLeadFromAnyStage(t *testing.T) {
	o, before := operated(t)
	stages := map[Stage]*Operator{}
	for _, stage := range Stages() {
		o.Stage = stage
		x, err := NewOperator(o, before)
		if err != nil {
			t.Fatal(err)
		}
		stages[stage] = x
	}
	for from, a := range stages {
		for to, b := range stages {
			at := merged(t, merged(t, before, a.Patch), b.Patch)
			if diff := cmp.Diff(b.after.Spec, at.Spec); diff != "" {
				t.Errorf("from %s to %s:\n%s", from, to, diff)
			}
			if diff := cmp.Diff(at, merged(t, at, b.Patch)); diff != "" {
				t.Errorf("%s again:\n%s", to, diff)
			}
			if diff := cmp.Diff(before.Spec, merged(t, at, b.Undo).Spec); diff != "" {
				t.Errorf("back from %s:\n%s", to, diff)
			}
		}
	}
}

func TestOperatorStagesDifferByWhatIsOn(t *testing.T) {
	for stage, want := range map[Stage]string{
		Bridge:  "remoteRead slipway-shim",
		Verify:  "slipway-shim",
		CutOver: "alerting alertmanagers.yaml slipway-shim",
		Final:   "alerting alertmanagers.yaml",
	} {
		t.Run(string(stage), func(t *testing.T) {
			o, cr := operated(t)
			o.Stage = stage
			x, err := NewOperator(o, cr)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			s := x.after.Spec
			if s.Alerting != nil {
				got = append(got, "alerting")
			}
			if a := s.AdditionalAlertManagerConfigs; a != nil {
				got = append(got, a.Key)
			}
			if len(s.RemoteRead) > 0 {
				got = append(got, "remoteRead")
			}
			for _, c := range s.Containers {
				got = append(got, c.Name)
			}
			if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOperatorShowsItselfToTheShim(t *testing.T) {
	o, cr := operated(t)
	o.ShimSecret = "shop-target"
	x, err := NewOperator(o, cr)
	if err != nil {
		t.Fatal(err)
	}
	got := x.after.Spec.RemoteRead[0].TLSConfig
	if got == nil || got.KeySecret.Name != "shop-target" || got.KeySecret.Key != "tls.key" || *got.ServerName != "slipway-source" {
		t.Errorf("%+v", got)
	}
}

// TestOriginalIsWhatItWouldBeWithoutTheMove: what others change meanwhile stays.
func TestOriginalIsWhatItWouldBeWithoutTheMove(t *testing.T) {
	o, before := operated(t)
	x, err := NewOperator(o, before)
	if err != nil {
		t.Fatal(err)
	}
	m, err := x.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	secret := m.Objects[0].(*corev1.Secret)
	stored := &corev1.Secret{ObjectMeta: secret.ObjectMeta, Data: map[string][]byte{}}
	for key, text := range secret.StringData { // as the API server does
		stored.Data[key] = []byte(text)
	}
	now := merged(t, merged(t, before, x.Patch), []byte("spec: {version: 3.17.0, retention: 1d}"))
	want := before.DeepCopy()
	want.Spec.Version = "3.17.0"
	got, err := Original(now, stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := Original(before, nil); err != nil || got != before {
		t.Errorf("one that no stage has changed: %v, %v", got, err)
	}
	if _, err := Original(now, nil); err == nil || !strings.Contains(err.Error(), "Secret k8s-slipway-jobs with the key original.yaml is not there") {
		t.Error(err)
	}
	stored.Data["original.yaml"] = stored.Data["original.yaml"][:0]
	if _, err := Original(now, stored); err == nil {
		t.Error("an empty original was taken")
	}
	if _, err := NewOperator(o, now); err == nil || !strings.Contains(err.Error(), "at a stage of this move already") {
		t.Error(err)
	}
}

// TestStagesSetKnownFieldsAlone: Original takes these from the Secret, and all others from what is there.
func TestStagesSetKnownFieldsAlone(t *testing.T) {
	for _, stage := range Stages() {
		o, cr := operated(t)
		o.Stage = stage
		x, err := NewOperator(o, cr)
		if err != nil {
			t.Fatal(err)
		}
		for _, patch := range [][]byte{x.Patch, x.Undo} {
			var p struct{ Spec map[string]any }
			if err := yaml.Unmarshal(patch, &p); err != nil {
				t.Fatal(err)
			}
			for name := range p.Spec {
				if !slices.Contains(operatorFields(), name) {
					t.Errorf("%s sets %s, which is not among operatorFields", stage, name)
				}
			}
		}
	}
}

func TestVolumeOf(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"the operator's names":   {"", "", "prometheus-k8s-0 prometheus-k8s-db-prometheus-k8s-0 prometheus-db"},
		"a claim with a name":    {"volumeClaimTemplate: {", "volumeClaimTemplate: {metadata: {name: data}, ", "prometheus-k8s-0 data-prometheus-k8s-0 prometheus-db"},
		"the root of the volume": {"storage: {", "storage: {disableMountSubPath: true, ", "prometheus-k8s-0 prometheus-k8s-db-prometheus-k8s-0 "},
	} {
		t.Run(name, func(t *testing.T) {
			_, cr := operated(t, c.old, c.new)
			v := VolumeOf(cr)
			if got := strings.Join([]string{v.Pod, v.Claim, v.SubPath}, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestOperatorRefuses(t *testing.T) {
	for want, edit := range map[string][2]string{
		"set spec.version": {"version: 3.16.0", "image: prom/prometheus"},
		"target.prometheus is not monitoring/other, which was given": {"name: k8s, namespace", "name: other, namespace"},
	} {
		if _, err := NewOperator(operated(t, edit[0], edit[1])); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := ReadPrometheus([]byte("kind: ConfigMap\napiVersion: v1\n")); err == nil || !strings.Contains(err.Error(), "it is ConfigMap of v1") {
		t.Error(err)
	}
}
