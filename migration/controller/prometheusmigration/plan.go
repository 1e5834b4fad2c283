package prometheusmigration

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/migration/workload"
)

// stageAnnotation on the target's configuration names its stage, digestAnnotation what it was made from. On the pod the first and
// writtenAnnotation say what was written last, and when.
const (
	stageAnnotation   = "migration.slipway.dev/stage"
	writtenAnnotation = "migration.slipway.dev/written"
	digestAnnotation  = v1alpha1.DigestAnnotation
)

// How long finalize counts what the old server is asked for.
const (
	longestWatch  = time.Minute
	shortestWatch = 10 * time.Second
)

// stages are those of the target, by those of the course.
func stageOf(s course.Stage) target.Stage {
	return map[course.Stage]target.Stage{course.StageBridge: target.Bridge, course.StageVerify: target.Verify, course.StageAlerts: target.CutOver,
		course.StageCutOver: target.CutOver, course.StageFinal: target.Final}[s]
}

// options are all that a plan of the target follows from. Sections that stay with the source, or are not the target's yet, are not in it.
func (s *scope) options(stage course.Stage) target.Options {
	m := s.migration.DeepCopy()
	shim := v1alpha1.Shim{URL: fmt.Sprintf("https://%s.%s.svc:%d/api/v1/read", workload.ObjectName(m.Name, workload.RoleShim), m.Namespace, workload.ShimPort)}
	switch t := &m.Spec.Target; {
	case t.StatefulSet != nil:
		t.StatefulSet.Shim = shim
	case t.Prometheus != nil:
		t.Prometheus.Shim = shim
	}
	o := target.Options{Source: s.source.planned, Migration: m, Stage: stageOf(stage), Override: m.Spec.Overrides, ShimSecret: workload.TargetSecret(m.Name)}
	if m.Spec.Cutover.Alertmanager == v1alpha1.HandOverLeaves {
		o.Leave = append(o.Leave, "alerting")
	}
	if m.Spec.Cutover.RemoteWrite == v1alpha1.HandOverLeaves || stage == course.StageAlerts {
		o.Leave = append(o.Leave, "remote_write")
	}
	return o
}

// plan is the target at a stage.
func (s *scope) plan(stage course.Stage) (*target.Plan, error) {
	if s.migration.Spec.Target.Prometheus != nil {
		x, err := s.operator(stage)
		if err != nil {
			return nil, err
		}
		return x.Plan, nil
	}
	if s.source == nil {
		return nil, kube.Human(v1alpha1.ReasonInvalidSpec, errNoSource)
	}
	return target.New(s.options(stage))
}

// objects are the manifests of a stage. Configurations carry their stage and a digest.
func (s *scope) objects(stage course.Stage) ([]client.Object, error) {
	made, err := s.manifests(stage)
	if err != nil {
		return nil, err
	}
	var all []client.Object
	for _, o := range made {
		object := o.(client.Object) // every kind that a template may give is one
		if secret, ok := object.(*corev1.Secret); ok {
			secret.Data = map[string][]byte{}
			for k, text := range secret.StringData {
				secret.Data[k] = []byte(text)
			}
			secret.StringData = nil
		}
		labels := map[string]string{v1alpha1.NameLabel: s.migration.Name}
		maps.Copy(labels, object.GetLabels())
		object.SetLabels(labels)
		all = append(all, object)
	}
	return s.stamp(all, stage)
}

// manifests are the objects as a person would get them.
func (s *scope) manifests(stage course.Stage) ([]runtime.Object, error) {
	if s.migration.Spec.Target.Prometheus != nil {
		return s.operatedManifests(stage)
	}
	p, err := s.plan(stage)
	if err != nil {
		return nil, err
	}
	made, err := p.Manifests("")
	if err != nil {
		return nil, err
	}
	return made.Objects, nil
}

func isConfig(o client.Object) bool {
	switch o.(type) {
	case *corev1.ConfigMap, *corev1.Secret, *monitoringv1.PrometheusRule:
		return true
	}
	return false
}

func digestOf(o any) (string, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("digesting the target's configuration: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:16], nil
}

// owner is set on what goes with the migration.
func (s *scope) owner() *metav1.OwnerReference {
	if !s.cluster.Own {
		return nil
	}
	return metav1.NewControllerRef(s.migration, v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
}

// host is what pods of the move have to know of the server's pod: whose volume they mount, and as whom.
type host struct {
	volume      workload.Volume
	security    *corev1.PodSecurityContext
	tolerations []corev1.Toleration
	pullSecrets []corev1.LocalObjectReference
	// pod finds the server's pod; nil while there is none.
	pod map[string]string
}

// workload are the pods of the migration.
func (s *scope) workload(h *host, p *target.Plan) (*workload.Workload, error) {
	m := s.migration
	spec := m.Spec
	o := workload.Options{
		Name: m.Name, Namespace: m.Namespace, Owner: s.owner(), Image: spec.Tools.Image, PullPolicy: corev1.PullPolicy(spec.Tools.ImagePullPolicy),
		PullSecrets: h.pullSecrets, Security: h.security, Tolerations: h.tolerations, Volume: h.volume, TargetPod: h.pod,
		TargetURL: "http://" + net.JoinHostPort(fmt.Sprintf("%s.%s.svc", target.PodServiceName(spec.Target), m.Namespace), strconv.Itoa(int(p.Port()))),
		Source:    workloadSource(m, s.source), ShimSecret: workload.SourceSecret(m.Name),
		Rehearsal: workload.Rehearsal{NeedBytes: s.source.planned.Need.Bytes, LargestBlockBytes: s.source.planned.Need.LargestBlockBytes,
			HeadBytes: s.source.planned.Need.HeadBytes, Version: p.Version.String(), Args: p.Args},
		Except: spec.Coverage.Except, Overrides: overrides(spec.Overrides),
		Cutover: workload.Cutover{SpecSecret: cutoverName(m), Secrets: cutoverSecrets(m), Approved: course.Approvals(&spec)},
	}
	if seconds := spec.ObserveForSeconds; seconds != nil { // whoever looks at the new server for less does not look at the old one for longer
		o.Cutover.Watch = min(longestWatch, max(time.Duration(*seconds)*time.Second, shortestWatch))
	}
	o.Transfer.LongestScrape = target.LongestScrape(s.source.planned.Config)
	o.Transfer.LatencyPercent = int64(spec.Transfer.SourceLatencyBudgetPercent)
	if q := spec.Transfer.MaxBytesPerSecond; q != nil {
		o.Transfer.CeilingBytes = q.Value()
	}
	return workload.New(o)
}

func workloadSource(m *v1alpha1.PrometheusMigration, s *source) workload.Source {
	spec := m.Spec.Source
	out := workload.Source{URL: spec.URL}
	if a := spec.Agent; a != nil {
		out.Agent, out.AgentSecret = a.Address, a.CredentialsSecretName
		return out
	}
	out.Host = hostOf(m, cmp.Or(spec.DataDir, s.facts.DataDir))
	return out
}

// hostOf is the machine of the old server, with a directory on it.
func hostOf(m *v1alpha1.PrometheusMigration, dir string) workload.Host {
	h := m.Spec.Source.Host
	return workload.Host{Address: h.Address, Port: h.Port, User: cmp.Or(h.User, "root"), KeySecret: h.SSHKeySecretName, HostKey: h.KnownHostKey, DataDir: dir}
}

// overrides gives each command the rules that it knows: one that it does not know is an error there.
func overrides(names []string) (o workload.Overrides) {
	var move []string
	for _, r := range transfer.Rules() {
		move = append(move, r.Name)
	}
	for _, name := range names {
		if slices.Contains(rehearsal.Rules(), name) {
			o.Rehearse = append(o.Rehearse, name)
		}
		if slices.Contains(survey.Overridable(), name) {
			o.Preflight = append(o.Preflight, name)
		}
		if slices.Contains(move, name) {
			o.Move = append(o.Move, name)
		}
	}
	return o
}

// job is the Job of a role, with the word of a person that asked for another try.
func (s *scope) job(w *workload.Workload, r course.Role) (*batchv1.Job, error) {
	if r == course.RoleGrafana || r == course.RoleAlike {
		own, err := s.grafanaPods()
		if err != nil {
			return nil, err
		}
		w = own
	}
	make := map[course.Role]func() (*batchv1.Job, error){
		course.RoleRehearse: w.Rehearse, course.RolePreflight: w.Preflight, course.RoleMove: w.Move, course.RoleCutover: w.Cutover,
		course.RoleRollback: w.Rollback, course.RoleFinalize: w.Finalize, course.RoleUndo: w.Undo, course.RoleProof: w.Proof,
		course.RoleGrafana: w.Grafana, course.RoleAlike: w.Alike,
	}[r]
	job, err := make()
	if err != nil {
		return nil, err
	}
	if again := s.migration.Annotations[v1alpha1.RetryAnnotation]; again != "" {
		job.Annotations[v1alpha1.RetryAnnotation] = again
	}
	return job, nil
}
