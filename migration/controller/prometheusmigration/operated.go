package prometheusmigration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/endpoint"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/workload"
)

// operated is a Prometheus of Prometheus Operator that is to become the target.
type operated struct {
	live *unstructured.Unstructured
	// cr is the same as a type, original as it would be without the move; nil where problem says why nobody knows that.
	cr, original *monitoringv1.Prometheus
	problem      error
	// kept says that the Secret with what the Prometheus was is there, and this migration's.
	kept bool
	// pod says that the server's pod is there.
	pod    bool
	stages map[course.Stage]*target.Operator
}

// ours says that this migration has patched it.
func (o *operated) ours(m *v1alpha1.PrometheusMigration) bool {
	return o.live.GetAnnotations()[v1alpha1.NameLabel] == m.Name && target.Patched(o.cr)
}

func (s *scope) refused(rule, says, fix string) {
	if !slices.Contains(s.migration.Spec.Overrides, rule) {
		s.world.Refused = append(s.world.Refused, course.Finding{Where: rule, Says: says, Fix: fix})
	}
}

// observeOperated reads the Prometheus and what it was before the move.
func (r *Reconciler) observeOperated(ctx context.Context, s *scope) error {
	spec := s.migration.Spec.Target.Prometheus
	if spec == nil {
		return nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusesKind))
	switch err := s.cluster.Get(ctx, key(s.migration, spec.Name), live); {
	case meta.IsNoMatchError(err):
		s.refused(target.RuleOperatorAbsent, "the target's cluster does not know the kind Prometheus of monitoring.coreos.com/v1",
			"install Prometheus Operator, or name target.statefulSet")
		return nil
	case apierrors.IsNotFound(err):
		s.refused(target.RuleOperatorPrometheus, fmt.Sprintf("there is no Prometheus %s in namespace %s", spec.Name, s.migration.Namespace),
			"make it, with a volumeClaimTemplate, or mend target.prometheus.name")
		return nil
	case err != nil:
		return fmt.Errorf("reading Prometheus %s: %w", spec.Name, err)
	}
	text, err := json.Marshal(live)
	if err != nil {
		return fmt.Errorf("reading Prometheus %s: %w", spec.Name, err)
	}
	o := &operated{live: live, stages: map[course.Stage]*target.Operator{}}
	if o.cr, err = target.ReadPrometheus(text); err != nil {
		return err
	}
	s.operated = o
	return s.observeOriginal(ctx)
}

// observeOriginal finds out what the Prometheus would be without the move, and whether it is somebody else's.
func (s *scope) observeOriginal(ctx context.Context) error {
	o, m := s.operated, s.migration
	var secret corev1.Secret
	there, err := get(ctx, s, target.JobsSecretName(o.cr.Name), &secret)
	if err != nil {
		return err
	}
	o.kept = there && secret.Labels[v1alpha1.NameLabel] == m.Name
	other := o.live.GetAnnotations()[v1alpha1.NameLabel]
	if target.Patched(o.cr) && other != "" && other != m.Name {
		o.problem = fmt.Errorf("migration %s moves into Prometheus %s, or has moved there: its jobs are the server's; name another Prometheus", other, o.cr.Name)
		return nil
	}
	o.original, o.problem = target.Original(o.cr, &secret)
	if !target.Patched(o.cr) && !target.Seen(o.cr) {
		s.refused(target.RuleOperatorAbsent, fmt.Sprintf("Prometheus Operator has told nothing of Prometheus %s: nobody would make its pod or follow its changes", o.cr.Name),
			"see that the operator runs and watches this namespace; kubectl get prometheus shows Reconciled")
	}
	return nil
}

// checkService looks whether the users' Service is somebody else's: with a selector it would lead to the target before the cutover.
func (r *Reconciler) checkService(ctx context.Context, s *scope) error {
	for _, name := range []string{target.ServiceName(s.migration.Spec.Target), target.PodServiceName(s.migration.Spec.Target)} {
		var service corev1.Service
		there, err := get(ctx, s, name, &service)
		if err != nil {
			return err
		}
		if there && service.Labels[v1alpha1.NameLabel] != s.migration.Name {
			s.refused(target.RuleOperatorService, fmt.Sprintf("Service %s is there already, and not this migration's", name), "say another name in target.prometheus.serviceName")
		}
	}
	return nil
}

// operator is the target at a stage.
func (s *scope) operator(stage course.Stage) (*target.Operator, error) {
	o, name := s.operated, s.migration.Spec.Target.Prometheus.Name
	switch {
	case o == nil:
		return nil, kube.Human(v1alpha1.ReasonRefused, fmt.Errorf("planning the target: Prometheus %s is not there", name))
	case o.problem != nil:
		return nil, kube.Human(v1alpha1.ReasonRefused, o.problem)
	case s.source == nil:
		return nil, kube.Human(v1alpha1.ReasonInvalidSpec, errNoSource)
	case o.stages[stage] != nil:
		return o.stages[stage], nil
	}
	x, err := target.NewOperator(s.options(stage), o.original)
	if err != nil {
		return nil, err
	}
	o.stages[stage] = x
	return x, nil
}

var errNoSource = errors.New("planning the target: the copy of the source's configuration cannot be read")

// operatedManifests are all objects beside the Prometheus itself and its claim.
func (s *scope) operatedManifests(stage course.Stage) ([]runtime.Object, error) {
	x, err := s.operator(stage)
	if err != nil {
		return nil, err
	}
	made, err := x.Manifests()
	if err != nil {
		return nil, err
	}
	users, source, err := x.Endpoint()
	if err != nil {
		return nil, fmt.Errorf("writing manifests: %w", err)
	}
	var all []runtime.Object
	for _, o := range made.Objects {
		all = append(all, o.DeepCopyObject()) // the caller labels them
	}
	return append(all, x.PodService(), users.Service(), users.Slice(endpoint.Source, source)), nil
}

func (s *scope) operatedHost() *host {
	o := s.operated
	v, spec := target.VolumeOf(o.original), o.original.Spec
	h := &host{volume: workload.Volume{ClaimName: v.Claim, SubPath: v.SubPath}, security: spec.SecurityContext, tolerations: spec.Tolerations, pullSecrets: spec.ImagePullSecrets}
	// Whoever mounts the claim stands beside the server, which may have run for long before the move.
	if o.pod || s.world.Target.Applied {
		h.pod = v.PodLabels
	}
	return h
}

// observeOperatedTarget looks at what there is of the Prometheus: claim, stage, pod.
func (r *Reconciler) observeOperatedTarget(ctx context.Context, s *scope) error {
	o, t := s.operated, &s.world.Target
	if o == nil {
		return nil
	}
	v := target.VolumeOf(o.cr)
	if err := observeClaim(ctx, s, v.Claim); err != nil {
		return err
	}
	t.Applied = o.kept || o.ours(s.migration)
	if err := r.observePod(ctx, s, v.Pod); err != nil {
		return err
	}
	o.pod = t.Pod.Name != ""
	if !o.ours(s.migration) {
		t.Pod = course.Pod{} // it serves somebody else still
		return nil
	}
	t.Stage, t.Current, t.Lags = course.Stage(o.live.GetAnnotations()[stageAnnotation]), true, target.Lags(o.cr)
	return r.judgeOperated(ctx, s, v.Pod)
}

// judgeOperated holds what there is against what is wanted, where anybody knows that.
func (r *Reconciler) judgeOperated(ctx context.Context, s *scope, pod string) error {
	t := &s.world.Target
	if s.source == nil || s.operated.problem != nil || len(s.world.Invalid) > 0 || len(s.world.Refused) > 0 {
		return nil
	}
	x, err := s.operator(t.Stage)
	if err != nil {
		return err
	}
	if t.Current, err = r.operatedIsCurrent(ctx, s, x); err != nil {
		return err
	}
	if t.Stage == course.StageBridge && t.Pod.Name != "" {
		return s.judgeServer(ctx, x, pod)
	}
	return nil
}

// judgeServer: a pod from before the patch is ready, too, and keeps 24 hours.
func (s *scope) judgeServer(ctx context.Context, x *target.Operator, name string) error {
	p := &s.world.Target.Pod
	var pod corev1.Pod
	var set appsv1.StatefulSet
	there, err := get(ctx, s, name, &pod)
	if err != nil || !there {
		return err
	}
	if _, err := get(ctx, s, s.setName(), &set); err != nil {
		return err
	}
	says := s.world.Target.Lags
	for _, c := range pod.Spec.Containers {
		if missing := x.Missing(c.Args); c.Name == "prometheus" && missing != "" && says == "" {
			says = "it runs without " + missing + ": Prometheus Operator makes it anew"
		}
	}
	if set.Status.ObservedGeneration < set.Generation || set.Status.UpdateRevision != "" && pod.Labels[appsv1.ControllerRevisionHashLabelKey] != set.Status.UpdateRevision {
		says = "it is made anew with the arguments of the move"
	}
	if says != "" {
		p.Ready, p.Says = false, says
	}
	return nil
}

// operatedIsCurrent holds what is written against what is wanted at the same stage. Files that are mounted one by one stay as they were when
// the server started: another list of them would restart it.
func (r *Reconciler) operatedIsCurrent(ctx context.Context, s *scope, x *target.Operator) (bool, error) {
	spec, _, err := unstructured.NestedMap(s.operated.live.Object, "spec")
	if err != nil {
		return false, fmt.Errorf("reading Prometheus %s: %w", s.operated.cr.Name, err)
	}
	if holds, err := x.Holds(spec, target.Shapes()...); err != nil || !holds {
		return false, err
	}
	wanted, err := s.objects(s.world.Target.Stage)
	if err != nil {
		return false, err
	}
	digests := map[string]string{}
	for _, o := range wanted {
		if isConfig(o) {
			digests[kindOf(o)+o.GetName()] = o.GetAnnotations()[digestAnnotation]
		}
	}
	there, err := s.operatedConfig(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range there {
		id := kindOf(&o) + o.Name
		if digests[id] != o.Annotations[digestAnnotation] {
			return false, nil
		}
		delete(digests, id)
	}
	return len(digests) == 0, nil
}

func kindOf(o client.Object) string { return o.GetObjectKind().GroupVersionKind().Kind + "/" }

// operatedConfig is what there is of this migration's Secret, files and rules.
func (s *scope) operatedConfig(ctx context.Context) (all []metav1.PartialObjectMetadata, err error) {
	labels := client.MatchingLabels{v1alpha1.NameLabel: s.migration.Name}
	rules := &metav1.PartialObjectMetadataList{}
	rules.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusRuleKind + "List"))
	if err := s.cluster.List(ctx, rules, client.InNamespace(s.migration.Namespace), labels); err != nil {
		return nil, fmt.Errorf("listing the PrometheusRules of the move: %w", err)
	}
	for _, rule := range rules.Items {
		rule.SetGroupVersionKind(monitoringv1.SchemeGroupVersion.WithKind(monitoringv1.PrometheusRuleKind))
		all = append(all, rule)
	}
	// The Secret is the last: who takes all away ends with it.
	for _, one := range []struct{ kind, name string }{{"ConfigMap", target.FilesName(s.operated.cr.Name)}, {"Secret", target.JobsSecretName(s.operated.cr.Name)}} {
		var o metav1.PartialObjectMetadata
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(one.kind))
		there, err := get(ctx, s, one.name, &o)
		if err != nil {
			return nil, err
		}
		if there && o.Labels[v1alpha1.NameLabel] == s.migration.Name {
			all = append(all, o)
		}
	}
	return all, nil
}
