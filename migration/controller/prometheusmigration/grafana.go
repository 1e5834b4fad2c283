package prometheusmigration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/grafana"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/workload"
)

// alertsAnnotation on a Grafana's Deployment says whether it evaluates its alert rules.
const alertsAnnotation = "migration.slipway.dev/alerts"

// grafana is the Grafana that the spec asks for, nil for none.
func (s *scope) grafana() (*target.Grafana, error) {
	if s.migration.Spec.Grafana == nil {
		return nil, nil
	}
	p, err := s.plan(course.StageBridge)
	if err != nil {
		return nil, err
	}
	return target.NewGrafana(s.migration, p.Port()), nil
}

// grafanaObjects are its manifests with our labels; the Deployment carries what it was made from.
func (s *scope) grafanaObjects(g *target.Grafana, sendsAlerts bool) ([]client.Object, error) {
	made, err := g.Manifests(sendsAlerts)
	if err != nil {
		return nil, err
	}
	var all []client.Object
	for _, o := range made.Objects {
		object := o.(client.Object) // every kind that a template may give is one
		labels := map[string]string{v1alpha1.NameLabel: s.migration.Name}
		maps.Copy(labels, object.GetLabels())
		object.SetLabels(labels)
		all = append(all, object)
	}
	digest, err := digestOf(all)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if _, ok := o.(*appsv1.Deployment); ok {
			o.SetAnnotations(map[string]string{digestAnnotation: digest, alertsAnnotation: map[bool]string{true: "on", false: "off"}[sendsAlerts]})
		}
	}
	return all, nil
}

// observeGrafana looks at what there is of it. Its name alone has to be known for that; what it should be follows from the plan.
func (r *Reconciler) observeGrafana(ctx context.Context, s *scope) error {
	if s.migration.Spec.Grafana == nil {
		return nil
	}
	seen := &s.world.Grafana
	named := target.NewGrafana(s.migration, 0)
	seen.URL = named.URL()
	var (
		claim corev1.PersistentVolumeClaim
		d     appsv1.Deployment
		err   error
	)
	if seen.Claim, err = s.ours(ctx, named.ClaimName(), &claim); err != nil {
		return err
	}
	if _, err = s.ours(ctx, named.Name(), &corev1.Service{}); err != nil {
		return err
	}
	if seen.Deployed, err = s.ours(ctx, named.Name(), &d); err != nil {
		return err
	}
	seen.SendsAlerts = d.Annotations[alertsAnnotation] == "on"
	seen.Ready = d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas > 0 && d.Status.ReadyReplicas > 0
	if err := s.observeGrafanaPods(ctx, named); err != nil {
		return err
	}
	return s.compareGrafana(&d)
}

// ours says that there is an object of a name, and that this migration made it. Somebody else's is left alone: its data would be written over.
func (s *scope) ours(ctx context.Context, name string, o client.Object) (bool, error) {
	there, err := get(ctx, s, name, o)
	if err != nil || !there || o.GetLabels()[v1alpha1.NameLabel] == s.migration.Name {
		return there, err
	}
	s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.grafana.name",
		Says: fmt.Sprintf("there is a %s %s already that this migration did not make", strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1."), name), Fix: "say another name, or delete it if nobody needs it"})
	return false, nil
}

// observeGrafanaPods says whether anything still has its volume.
func (s *scope) observeGrafanaPods(ctx context.Context, g *target.Grafana) error {
	var pods corev1.PodList
	if err := s.cluster.List(ctx, &pods, client.InNamespace(s.migration.Namespace), client.MatchingLabels(g.Selector())); err != nil {
		return fmt.Errorf("listing the pods of Grafana: %w", err)
	}
	seen := &s.world.Grafana
	seen.Applied = seen.Deployed
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		seen.Applied = true
		if says := podSays(pod); says != "" {
			seen.Says = says
		}
	}
	return nil
}

// compareGrafana holds what there is against what is wanted. Where nobody knows what that is, it is.
func (s *scope) compareGrafana(d *appsv1.Deployment) error {
	seen := &s.world.Grafana
	seen.Current = true
	if s.source == nil || len(s.world.Invalid) > 0 || len(s.world.Refused) > 0 || !seen.Deployed {
		return nil
	}
	g, err := s.grafana()
	if err != nil {
		return err
	}
	wanted, err := s.grafanaObjects(g, seen.SendsAlerts)
	if err != nil {
		return err
	}
	for _, o := range wanted {
		if _, ok := o.(*appsv1.Deployment); ok {
			seen.Current = o.GetAnnotations()[digestAnnotation] == d.Annotations[digestAnnotation]
		}
	}
	return nil
}

func (r *Reconciler) actGrafana(ctx context.Context, s *scope, a course.Action) error {
	if a.Kind == course.ActNoGrafana {
		return r.stopGrafana(ctx, s)
	}
	return r.makeGrafana(ctx, s, a.Kind == course.ActGrafana, a.SendsAlerts)
}

// makeGrafana makes its claim, and with all the rest. The Deployment comes last: its pod finds what it mounts.
func (r *Reconciler) makeGrafana(ctx context.Context, s *scope, all, sendsAlerts bool) error {
	g, err := s.grafana()
	if err != nil {
		return err
	}
	objects, err := s.grafanaObjects(g, sendsAlerts)
	if err != nil {
		return err
	}
	for _, o := range objects {
		switch o.(type) {
		case *corev1.PersistentVolumeClaim:
			err = s.create(ctx, o)
		default:
			if !all {
				continue
			}
			if _, last := o.(*appsv1.Deployment); last {
				r.Kit.Point("migration.beforeGrafana")
			}
			err = s.cluster.Put(ctx, fieldManager, o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stopGrafana takes away what runs it, and on the way back where people reached it. Its claim has no owner and stays.
func (r *Reconciler) stopGrafana(ctx context.Context, s *scope) error {
	g := target.NewGrafana(s.migration, 0)
	meta := metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: g.Name()}
	gone := []client.Object{&appsv1.Deployment{ObjectMeta: meta}}
	if s.goesBackNow() {
		config := meta
		config.Name = g.ConfigName()
		gone = append([]client.Object{&corev1.Service{ObjectMeta: meta}, &corev1.ConfigMap{ObjectMeta: config}}, gone...)
	}
	for _, o := range gone {
		there, err := get(ctx, s, o.GetName(), o)
		if err != nil {
			return err
		}
		if !there || o.GetLabels()[v1alpha1.NameLabel] != s.migration.Name {
			continue
		}
		if err := s.cluster.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("stopping Grafana: %w", err)
		}
	}
	return nil
}

// goesBackNow says that the move is put back, and not that the data is brought again.
func (s *scope) goesBackNow() bool {
	return slices.Contains([]v1alpha1.Phase{v1alpha1.PhaseRollingBack, v1alpha1.PhaseRolledBack}, s.decision.Phase)
}

// grafanaPods are the pods that bring the data of the old Grafana and compare both: they have the user and the claim of the new one.
func (s *scope) grafanaPods() (*workload.Workload, error) {
	g, err := s.grafana()
	if err != nil {
		return nil, err
	}
	if g == nil || g.From() == nil {
		return nil, fmt.Errorf("planning the pods of Grafana: spec.grafana.from is not there")
	}
	spec := s.migration.Spec
	source := workload.Source{URL: spec.Source.URL, Host: hostOf(s.migration, g.From().DataDir)}
	o := workload.Options{Name: s.migration.Name, Namespace: s.migration.Namespace, Owner: s.owner(), Image: spec.Tools.Image,
		PullPolicy: corev1.PullPolicy(spec.Tools.ImagePullPolicy), Security: g.Security(), Source: source,
		Volume:  workload.Volume{ClaimName: g.ClaimName(), At: workload.GrafanaFolder},
		Grafana: workload.Grafana{DataDir: g.From().DataDir, ProvisioningDir: g.From().ProvisioningDir, OldURL: g.From().URL, NewURL: g.URL(), UsersURL: g.UsersURL(), APISecret: g.From().APISecretName}}
	if s.operated != nil { // its pods have what the tools' image needs
		h := s.operatedHost()
		o.PullSecrets, o.Tolerations = h.pullSecrets, h.tolerations
	}
	for _, name := range spec.Overrides {
		if slices.Contains(grafana.BringRules(), name) {
			o.Grafana.Bring = append(o.Grafana.Bring, name)
		}
		if slices.Contains(grafana.CompareRules(), name) {
			o.Grafana.Alike = append(o.Grafana.Alike, name)
		}
	}
	return workload.New(o)
}

func tellGrafana(kit kube.Kit, m *v1alpha1.PrometheusMigration, before *v1alpha1.GrafanaStatus) {
	now := m.Status.Grafana
	if now == nil || now.Summary == "" || before != nil && before.Summary == now.Summary {
		return
	}
	kit.Event(m, corev1.EventTypeNormal, "GrafanaCompared", "Compare", now.Summary)
}
