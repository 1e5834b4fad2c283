package prometheusmigration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/migration/workload"
)

// stageAnnotation on the target's configuration names its stage, digestAnnotation what it was made from.
const (
	stageAnnotation  = "migration.slipway.dev/stage"
	digestAnnotation = v1alpha1.DigestAnnotation
)

// stages are those of the target, by those of the course.
func stageOf(s course.Stage) target.Stage {
	return map[course.Stage]target.Stage{course.StageBridge: target.Bridge, course.StageVerify: target.Verify, course.StageAlerts: target.CutOver,
		course.StageCutOver: target.CutOver, course.StageFinal: target.Final}[s]
}

// plan is the target at a stage.
func (s *scope) plan(stage course.Stage) (*target.Plan, error) {
	if s.source == nil {
		return nil, errors.New("spec.source.config: what the old server was configured like cannot be read any more")
	}
	m := s.migration.DeepCopy()
	m.Spec.Target.StatefulSet.Shim = v1alpha1.Shim{URL: fmt.Sprintf("https://%s.%s.svc:%d/api/v1/read", workload.ObjectName(m.Name, workload.RoleShim), m.Namespace, workload.ShimPort)}
	p, err := target.New(target.Options{Source: s.source.planned, Migration: m, Stage: stageOf(stage), Override: m.Spec.Overrides, ShimSecret: workload.TargetSecret(m.Name)})
	if err != nil {
		return nil, err
	}
	// What stays with the source, or is not the target's yet, is not in its configuration.
	for _, section := range []struct {
		name string
		out  bool
	}{
		{"alerting", m.Spec.Cutover.Alertmanager == v1alpha1.HandOverLeaves},
		{"remote_write", m.Spec.Cutover.RemoteWrite == v1alpha1.HandOverLeaves || stage == course.StageAlerts},
	} {
		if !section.out || !p.Config.Has(section.name) {
			continue
		}
		without, _, err := p.Config.TakeOut(section.name)
		if err != nil {
			return nil, fmt.Errorf("taking %s out of the target's configuration: %w", section.name, err)
		}
		p.Config = without
	}
	return p, nil
}

// objects are the manifests of a stage. Configurations carry their stage and a digest.
func (s *scope) objects(stage course.Stage) ([]client.Object, error) {
	p, err := s.plan(stage)
	if err != nil {
		return nil, err
	}
	made, err := p.Manifests("")
	if err != nil {
		return nil, err
	}
	var all []client.Object
	for _, o := range made.Objects {
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

func isConfig(o client.Object) bool {
	switch o.(type) {
	case *corev1.ConfigMap, *corev1.Secret:
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

// workload are the pods of the migration; set is the target's StatefulSet as it is planned.
func (s *scope) workload(set *appsv1.StatefulSet, p *target.Plan, applied bool) (*workload.Workload, error) {
	m := s.migration
	spec := m.Spec
	o := workload.Options{
		Name: m.Name, Namespace: m.Namespace, Owner: s.owner(), Image: spec.Tools.Image, PullPolicy: corev1.PullPolicy(spec.Tools.ImagePullPolicy),
		PullSecrets: set.Spec.Template.Spec.ImagePullSecrets, Security: set.Spec.Template.Spec.SecurityContext, Tolerations: set.Spec.Template.Spec.Tolerations,
		Volume:    workload.Volume{ClaimName: set.Name + "-data"},
		TargetURL: "http://" + net.JoinHostPort(fmt.Sprintf("%s-pod.%s.svc", set.Name, m.Namespace), strconv.Itoa(int(p.Port()))),
		Source:    workloadSource(m, s.source), ShimSecret: workload.SourceSecret(m.Name),
		Rehearsal: workload.Rehearsal{NeedBytes: s.source.planned.Need.Bytes, LargestBlockBytes: s.source.planned.Need.LargestBlockBytes,
			HeadBytes: s.source.planned.Need.HeadBytes, Version: p.Version.String(), Args: p.Args},
		Except: spec.Coverage.Except, Overrides: overrides(spec.Overrides),
		Cutover: workload.Cutover{SpecSecret: cutoverName(m), Secrets: cutoverSecrets(m), Approved: course.Approvals(&spec)},
	}
	if applied {
		o.TargetPod = set.Spec.Selector.MatchLabels
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
	out.Host = workload.Host{Address: spec.Host.Address, Port: spec.Host.Port, User: spec.Host.User, KeySecret: spec.Host.SSHKeySecretName,
		HostKey: spec.Host.KnownHostKey, DataDir: spec.DataDir}
	if out.Host.User == "" {
		out.Host.User = "root"
	}
	if out.Host.DataDir == "" {
		out.Host.DataDir = s.facts.DataDir
	}
	return out
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
	var seam time.Time
	if move := s.world.Jobs[course.RoleMove]; move != nil && move.Line != nil && move.Line.Seam != nil {
		seam = *move.Line.Seam
	}
	make := map[course.Role]func() (*batchv1.Job, error){
		course.RoleRehearse: w.Rehearse, course.RolePreflight: w.Preflight, course.RoleMove: w.Move, course.RoleCutover: w.Cutover,
		course.RoleRollback: w.Rollback, course.RoleFinalize: w.Finalize, course.RoleUndo: w.Undo,
		course.RoleProof: func() (*batchv1.Job, error) { return w.Proof(seam) },
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
