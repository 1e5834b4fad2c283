package target

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// Operator is a Prometheus of Prometheus Operator that is to become the new server.
type Operator struct {
	*Plan
	// Patch is a merge patch that leads to the stage from each other stage and from before the move; applied twice it changes
	// nothing. Undo leads back from each stage to what was before.
	Patch, Undo []byte

	spec          *v1alpha1.PrometheusTarget
	before, after *monitoringv1.Prometheus
	manifests     *Manifests
}

// Manifests are what the patch refers to: a Secret with the jobs, the Alertmanagers and the Prometheus as it was, a ConfigMap of
// other files, and a PrometheusRule for each rule file. They are the same at every stage, and have to be there before the patch
// and until the Prometheus is patched back. The Secret may hold passwords. A plan with refusals has none.
func (x *Operator) Manifests() (*Manifests, error) {
	if refused := x.Refusals(); len(refused) > 0 {
		return nil, fmt.Errorf("writing manifests: the plan is refused by %s: %s", refused[0].Rule, refused[0].Says)
	}
	return x.manifests, nil
}

// operatorPort is where the operator lets each server listen (pkg/prometheus/promcfg.go).
const operatorPort = 9090

// OperatorVolume says where the data of a Prometheus lies. Pods that work on it mount the claim as the server does.
type OperatorVolume struct {
	// Pod and Claim are those of the one replica.
	Pod, Claim string
	// SubPath is the folder of the volume that is the data directory; empty: its root.
	SubPath string
	// PodLabels find the pod: others that mount a ReadWriteOnce claim have to stand on its node.
	PodLabels map[string]string
}

// VolumeOf follows the names that the operator gives (pkg/prometheus/common.go).
func VolumeOf(cr *monitoringv1.Prometheus) OperatorVolume {
	v := OperatorVolume{Pod: "prometheus-" + cr.Name + "-0", SubPath: "prometheus-db", PodLabels: map[string]string{"operator.prometheus.io/name": cr.Name, labelName: "prometheus"}}
	claim := "prometheus-" + cr.Name + "-db"
	if s := cr.Spec.Storage; s != nil {
		if name := s.VolumeClaimTemplate.Name; name != "" {
			claim = name
		}
		if s.DisableMountSubPath {
			v.SubPath = ""
		}
	}
	v.Claim = claim + "-" + v.Pod
	return v
}

// ReadPrometheus reads a Prometheus as kubectl get prometheus NAME -o yaml writes it. Fields of a later version than that of our
// types are left alone: the patch does not name them.
func ReadPrometheus(data []byte) (*monitoringv1.Prometheus, error) {
	var p monitoringv1.Prometheus
	if err := yaml.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("reading the Prometheus: %w", err)
	}
	if p.Kind != monitoringv1.PrometheusesKind || p.APIVersion != "monitoring.coreos.com/v1" || p.Name == "" {
		return nil, fmt.Errorf("reading the Prometheus: it is %s of %s; want one Prometheus of monitoring.coreos.com/v1", orNone(p.Kind), orNone(p.APIVersion))
	}
	return &p, nil
}

// JobsSecretName is the name of the Secret among the manifests of a Prometheus.
func JobsSecretName(prometheus string) string { return prometheus + "-slipway-jobs" }

// Patched says whether a Prometheus is at a stage of a move.
func Patched(cr *monitoringv1.Prometheus) bool {
	s := cr.Spec.AdditionalScrapeConfigs
	return s != nil && s.Name == JobsSecretName(cr.Name)
}

// Original is a Prometheus as it would be without the move, whatever its stage: what a stage sets is taken from the Secret
// among its manifests, all else is as it is now. A Prometheus that no stage has changed is given back, and the Secret may be nil.
func Original(cr *monitoringv1.Prometheus, secret *corev1.Secret) (*monitoringv1.Prometheus, error) {
	if !Patched(cr) {
		return cr, nil
	}
	if secret == nil || len(secret.Data[originalKey]) == 0 {
		return nil, fmt.Errorf("reading Prometheus %s as it was before the move: Secret %s with the key %s is not there", cr.Name, JobsSecretName(cr.Name), originalKey)
	}
	was, err := ReadPrometheus(secret.Data[originalKey])
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", secret.Name, err)
	}
	if was.Name != cr.Name || Patched(was) {
		return nil, fmt.Errorf("reading Secret %s: its %s is not Prometheus %s before the move", secret.Name, originalKey, cr.Name)
	}
	now, err := tree(cr)
	if err != nil {
		return nil, err
	}
	then, err := tree(was)
	if err != nil {
		return nil, err
	}
	spec, old := object(now["spec"]), object(then["spec"])
	for _, name := range operatorFields() {
		delete(spec, name)
		if v, ok := old[name]; ok {
			spec[name] = v
		}
	}
	now["spec"] = spec
	text, err := json.Marshal(now)
	if err != nil {
		return nil, fmt.Errorf("writing the Prometheus: %w", err)
	}
	return ReadPrometheus(text)
}

// operatorFields are the fields of spec that a stage sets.
func operatorFields() []string {
	return []string{"additionalAlertManagerConfigs", "additionalAlertRelabelConfigs", "additionalArgs", "additionalScrapeConfigs", "alerting", "containers",
		"enableAdminAPI", "enableFeatures", "enableOTLPReceiver", "enableRemoteWriteReceiver", "evaluationInterval", "exemplars", "externalLabels", "externalUrl",
		"logFormat", "logLevel", "nameValidationScheme", "prometheusExternalLabelName", "query", "queryLogFile", "remoteRead", "remoteWrite", "replicaExternalLabelName",
		"retention", "retentionSize", "routePrefix", "ruleQueryOffset", "rules", "scrapeInterval", "scrapeTimeout", "tsdb", "volumeMounts", "volumes", "walCompression"}
}

// NewOperator plans a stage of a Prometheus, which is given as it was before the move.
func NewOperator(o Options, cr *monitoringv1.Prometheus) (*Operator, error) {
	spec := o.Migration.Spec.Target.Prometheus
	if spec == nil || spec.Name != cr.Name || cr.Namespace != "" && cr.Namespace != o.Migration.Namespace {
		return nil, fmt.Errorf("planning the target: target.prometheus is not %s/%s, which was given", cr.Namespace, cr.Name)
	}
	if Patched(cr) {
		return nil, fmt.Errorf("planning the target: Prometheus %s is at a stage of this move already; give it as it was before, which key %s of Secret %s holds",
			cr.Name, originalKey, JobsSecretName(cr.Name))
	}
	if o.Stage == "" {
		o.Stage = Bridge
	}
	stages := map[Stage]*Operator{}
	for _, stage := range Stages() {
		at := o
		at.Stage = stage
		x, err := newStage(at, cr)
		if err != nil {
			return nil, err
		}
		stages[stage] = x
	}
	x := stages[o.Stage]
	if x == nil {
		return nil, fmt.Errorf("planning the target: there is no stage %q", o.Stage)
	}
	if err := x.write(stages[CutOver]); err != nil {
		return nil, err
	}
	x.Findings = x.overridden(x.Findings)
	return x, x.patches(stages)
}

// newStage says what the Prometheus is to be at a stage.
func newStage(o Options, cr *monitoringv1.Prometheus) (*Operator, error) {
	// What follows from the old server is the same for both kinds of target.
	spec := o.Migration.Spec.Target.Prometheus
	same := &v1alpha1.StatefulSetTarget{Name: spec.Name, Retention: spec.Retention, Shim: spec.Shim, Service: spec.Service, Image: ptr.Deref(cr.Spec.Image, ""), Version: cr.Spec.Version}
	if _, err := serverVersion(same); err != nil {
		return nil, fmt.Errorf("planning the target: neither spec.version nor the tag of spec.image of Prometheus %s says which version it is; set spec.version", cr.Name)
	}
	if s := cr.Spec.Storage; s != nil {
		if q, ok := s.VolumeClaimTemplate.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
			same.Storage.Size = &q
		}
	}
	m := *o.Migration
	m.Spec.Target = v1alpha1.Target{StatefulSet: same}
	o.Migration, o.port = &m, operatorPort
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	x := &Operator{Plan: p, spec: spec, before: cr, after: cr.DeepCopy()}
	x.reword()
	x.checkTraps()
	x.global()
	x.arguments()
	x.sections()
	return x, x.jobs()
}

// patches leads from every stage to this one, and from every stage back.
func (x *Operator) patches(stages map[Stage]*Operator) error {
	before, err := tree(&monitoringv1.Prometheus{Spec: x.before.Spec})
	if err != nil {
		return err
	}
	states, after := []map[string]any{before}, map[Stage]map[string]any{}
	for stage, s := range stages {
		if after[stage], err = tree(&monitoringv1.Prometheus{Spec: s.after.Spec}); err != nil {
			return err
		}
		states = append(states, after[stage])
	}
	for _, p := range []struct {
		want map[string]any
		into *[]byte
	}{{after[x.Stage], &x.Patch}, {before, &x.Undo}} {
		// Metadata and status are the operator's and other people's.
		spec := leading(object(p.want["spec"]), specs(states))
		if *p.into, err = yaml.Marshal(map[string]any{"spec": spec}); err != nil {
			return fmt.Errorf("writing the patch: %w", err)
		}
	}
	return nil
}

func specs(states []map[string]any) []map[string]any {
	all := make([]map[string]any, len(states))
	for i, s := range states {
		all[i] = object(s["spec"])
	}
	return all
}

// leading is the merge patch (RFC 7386) that leads from each of some states to the wanted one. It names what is not the same in
// all of them, and nothing else: edits of other fields stay.
func leading(want map[string]any, states []map[string]any) map[string]any {
	patch, names := map[string]any{}, map[string]bool{}
	for _, s := range states {
		for name := range s {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		value, wanted := want[name]
		if !slices.ContainsFunc(states, func(s map[string]any) bool {
			other, there := s[name]
			return there != wanted || !reflect.DeepEqual(other, value)
		}) {
			continue
		}
		inner, isObject := value.(map[string]any)
		switch {
		case !wanted:
			patch[name] = nil
		case isObject:
			below := make([]map[string]any, len(states))
			for i, s := range states {
				below[i] = object(s[name])
			}
			patch[name] = leading(inner, below)
		default:
			patch[name] = value
		}
	}
	return patch
}

// object is a value as an object; a value of another kind is replaced by a merge patch as if it were an empty one.
func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return m
}

func tree(p *monitoringv1.Prometheus) (map[string]any, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing the Prometheus: %w", err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("reading the Prometheus: %w", err)
	}
	return m, nil
}
