package prometheusmigration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/workload"
)

// How much of a job's log is read. A job that goes on for hours tells all with its last line, and among those before may be the report of a
// proof; a report is one object over many lines, and has some hundred kilobytes.
const (
	logLines    = 200
	logBytes    = 4 << 20
	reportBytes = 4 << 20
)

// observe builds the world. What cannot be seen is said there; an error is what nobody expected.
func (r *Reconciler) observe(ctx context.Context, s *scope) (kube.Result, error) {
	m := s.migration
	s.world = &course.World{Now: r.Kit.Clock.Now(), Name: m.Name, Spec: m.Spec, Status: m.Status, Deleting: !m.DeletionTimestamp.IsZero(), Jobs: map[course.Role]*course.Job{}}
	if err := r.observeGates(ctx, s); err != nil {
		return kube.Result{}, err
	}
	s.world.Invalid = course.Validate(m)
	if err := target.Validate(m); err != nil && len(s.world.Invalid) == 0 {
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec", Says: err.Error()})
	}
	// What goes back is looked at all the same: nothing may be forgotten because a spec became wrong.
	if len(s.world.Invalid) > 0 && !s.goesBack() {
		return kube.Result{}, nil
	}
	var err error
	if s.cluster, err = r.Clusters.Of(ctx, m); err != nil {
		s.world.ClusterUnreachable = err.Error()
		return kube.Result{}, nil
	}
	if err := r.observeSource(ctx, s); err != nil {
		return kube.Result{}, err
	}
	if err := r.observeCluster(ctx, s); err != nil {
		if s.lacksRights(err) {
			return kube.Result{}, kube.Human(v1alpha1.ReasonClusterUnreachable, err)
		}
		s.world.ClusterUnreachable = err.Error()
	}
	return kube.Result{}, nil
}

// goesBack says that what was made of a target is to be put back.
func (s *scope) goesBack() bool {
	back := s.world.Deleting || s.migration.Spec.Goal == v1alpha1.GoalRolledBack
	return back && s.migration.Spec.Target.StatefulSet != nil
}

// lacksRights says that a person has to give the operator rights. One that is deleted may be let go of without.
func (s *scope) lacksRights(err error) bool {
	return !s.world.Deleting && (apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err))
}

func (r *Reconciler) observeGates(ctx context.Context, s *scope) error {
	if why, paused := kube.Paused(s.migration, v1alpha1.PausedAnnotation); paused {
		s.world.Paused = &why
	}
	if why, abandoned := kube.Paused(s.migration, v1alpha1.AbandonAnnotation); abandoned {
		s.world.Abandoned = &why
	}
	why, frozen, err := r.Freeze.Frozen(ctx, r.Kit.Live)
	if frozen {
		s.world.Frozen = &why
	}
	return err
}

// observeSource finds out what the old server is, and what is wrong with the copy of its configuration.
func (r *Reconciler) observeSource(ctx context.Context, s *scope) error {
	facts, err := r.facts(ctx, s.migration)
	var away *unreachable
	if errors.As(err, &away) {
		s.world.Unreachable = away.Error()
		return nil
	}
	if err != nil {
		return err
	}
	found, problem, err := r.configured(ctx, s.migration, facts)
	if err != nil {
		return err
	}
	if problem != "" {
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.source.config", Says: problem})
		return nil
	}
	if problem := found.checkHandOver(s.migration); problem != "" {
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.source.host", Says: problem})
	}
	s.source = found
	return nil
}

// observeCluster looks at what there is of the target, and at the jobs.
func (r *Reconciler) observeCluster(ctx context.Context, s *scope) error {
	for _, look := range []func(context.Context, *scope) error{r.observeOperated, r.observePlan, r.observeTarget, r.observeShim, r.observeGrafana, r.observeJobs} {
		if err := look(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// observePlan plans the target and the pods, and tells what refuses.
func (r *Reconciler) observePlan(ctx context.Context, s *scope) error {
	if s.source == nil || len(s.world.Refused) > 0 {
		return nil
	}
	p, err := s.plan(course.StageBridge)
	if err == nil && s.operated != nil {
		err = r.checkService(ctx, s)
	}
	if err != nil && s.operated != nil {
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.target.prometheus", Says: err.Error()})
		return nil
	}
	if err != nil {
		s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.source.config", Says: err.Error()})
		return nil
	}
	if err := r.checkCluster(ctx, s, p); err != nil {
		return err
	}
	for _, f := range p.Refusals() {
		s.world.Refused = append(s.world.Refused, course.Finding{Where: string(f.Rule), Says: f.Says, Fix: f.Fix})
	}
	return nil
}

func (s *scope) setName() string { return target.SetName(s.migration.Spec.Target) }

// get reads an object and says whether it is there.
func get(ctx context.Context, s *scope, name string, into client.Object) (bool, error) {
	err := s.cluster.Get(ctx, key(s.migration, name), into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %T %s: %w", into, name, err)
	}
	return true, nil
}

func (r *Reconciler) observeTarget(ctx context.Context, s *scope) error {
	if s.migration.Spec.Target.Prometheus != nil {
		return r.observeOperatedTarget(ctx, s)
	}
	if err := observeClaim(ctx, s, s.setName()+"-data"); err != nil {
		return err
	}
	var set appsv1.StatefulSet
	var err error
	if s.world.Target.Applied, err = get(ctx, s, s.setName(), &set); err != nil {
		return err
	}
	if err := r.observeConfig(ctx, s); err != nil {
		return err
	}
	return r.observePod(ctx, s, s.setName()+"-0")
}

func observeClaim(ctx context.Context, s *scope, name string) (err error) {
	t := &s.world.Target
	var claim corev1.PersistentVolumeClaim
	if t.Claim, err = get(ctx, s, name, &claim); err != nil {
		return err
	}
	if claim.Status.Phase == corev1.ClaimLost {
		t.ClaimLost = fmt.Sprintf("claim %s has lost its volume %s: its PersistentVolume is gone", claim.Name, claim.Spec.VolumeName)
	}
	return nil
}

// observeConfig holds the configuration that is written against that which is wanted at the same stage.
func (r *Reconciler) observeConfig(ctx context.Context, s *scope) error {
	t := &s.world.Target
	found, err := s.findConfig(ctx)
	if err != nil || found == nil {
		return err
	}
	t.Stage, t.Current = course.Stage(found.GetAnnotations()[stageAnnotation]), true
	if s.source == nil || len(s.world.Invalid) > 0 || len(s.world.Refused) > 0 {
		return nil // nobody knows what would be wanted
	}
	wanted, err := s.objects(t.Stage)
	if err != nil {
		return fmt.Errorf("planning the target's configuration: %w", err)
	}
	for _, o := range wanted {
		if isConfig(o) && o.GetName() == found.GetName() {
			t.Current = o.GetAnnotations()[digestAnnotation] == found.GetAnnotations()[digestAnnotation]
		}
	}
	return s.checkMounts(ctx, wanted)
}

// findConfig is what holds the target's configuration: a Secret or a ConfigMap that this controller wrote; nil for none.
func (s *scope) findConfig(ctx context.Context) (client.Object, error) {
	name := s.configName()
	for _, o := range []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}} {
		there, err := get(ctx, s, name, o)
		if err != nil {
			return nil, err
		}
		if there && o.GetAnnotations()[stageAnnotation] != "" {
			return o, nil
		}
	}
	return nil, nil
}

func (r *Reconciler) observePod(ctx context.Context, s *scope, name string) error {
	var pod corev1.Pod
	there, err := get(ctx, s, name, &pod)
	if err != nil || !there {
		return err
	}
	p := &s.world.Target.Pod
	p.Name, p.UID, p.Ending, p.Says = pod.Name, string(pod.UID), !pod.DeletionTimestamp.IsZero(), podSays(&pod)
	p.Ready = IsReady(&pod)
	p.Started = StartOf(&pod)
	return nil
}

// podSays is why a pod does not run.
func podSays(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return kube.Limit(c.Message, 512)
		}
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "ContainerCreating":
			return kube.Limit(fmt.Sprintf("container %s: %s %s", c.Name, c.State.Waiting.Reason, c.State.Waiting.Message), 512)
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			return kube.Limit(fmt.Sprintf("container %s ended with %d: %s", c.Name, c.State.Terminated.ExitCode, c.State.Terminated.Message), 512)
		}
	}
	return ""
}

func (r *Reconciler) observeShim(ctx context.Context, s *scope) error {
	var shim appsv1.Deployment
	there, err := get(ctx, s, workload.ObjectName(s.migration.Name, workload.RoleShim), &shim)
	if err != nil {
		return err
	}
	s.world.Shim = course.Shim{Exists: there, Ready: there && shim.Status.ReadyReplicas > 0}
	return nil
}

func (r *Reconciler) observeJobs(ctx context.Context, s *scope) error {
	var jobs batchv1.JobList
	labels := client.MatchingLabels{v1alpha1.NameLabel: s.migration.Name}
	if err := s.cluster.List(ctx, &jobs, client.InNamespace(s.migration.Namespace), labels); err != nil {
		return fmt.Errorf("listing the jobs: %w", err)
	}
	if len(jobs.Items) == 0 {
		return nil
	}
	var pods corev1.PodList
	if err := s.cluster.List(ctx, &pods, client.InNamespace(s.migration.Namespace), labels); err != nil {
		return fmt.Errorf("listing the pods of jobs: %w", err)
	}
	for i := range jobs.Items {
		job := &jobs.Items[i]
		role := course.Role(job.Labels[v1alpha1.RoleLabel])
		if !slices.Contains(course.Jobs(), role) || job.Name != workload.ObjectName(s.migration.Name, workload.Role(role)) {
			continue
		}
		s.world.Jobs[role] = r.observeJob(ctx, s, role, job, podsOf(job, pods.Items))
	}
	r.compareJobs(s, jobs.Items)
	return nil
}

// podsOf are a job's pods, the youngest last.
func podsOf(job *batchv1.Job, all []corev1.Pod) (own []*corev1.Pod) {
	for i := range all {
		if all[i].Labels[batchv1.ControllerUidLabel] == string(job.UID) {
			own = append(own, &all[i])
		}
	}
	slices.SortFunc(own, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	return own
}

func (r *Reconciler) observeJob(ctx context.Context, s *scope, role course.Role, job *batchv1.Job, pods []*corev1.Pod) *course.Job {
	j := &course.Job{Ending: !job.DeletionTimestamp.IsZero(), Same: true, Begun: job.CreationTimestamp.Time}
	message := ""
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			j.Succeeded, j.Ended = true, c.LastTransitionTime.Time
		case batchv1.JobFailed:
			j.Failed, j.Ended, message = true, c.LastTransitionTime.Time, c.Message
		}
	}
	live := slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
	})
	j.Suspended = job.Spec.Suspend != nil && *job.Spec.Suspend && !live
	if known, ok := r.ended.Load(job.UID); ok && !j.Ended.IsZero() {
		told := known.(*course.Job)
		j.Line, j.Says = told.Line, told.Says
		return j
	}
	r.listen(ctx, s, role, j, pods)
	if j.Says == "" { // what the pod said itself says more
		j.Says = message
	}
	if !j.Ended.IsZero() && j.Line != nil {
		r.ended.Store(job.UID, j)
	}
	return j
}

// listen reads what the youngest pod told that told anything.
func (r *Reconciler) listen(ctx context.Context, s *scope, role course.Role, j *course.Job, pods []*corev1.Pod) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lines, bytes := int64(logLines), int64(logBytes)
	if slices.Contains([]course.Role{course.RoleRehearse, course.RolePreflight, course.RoleGrafana, course.RoleAlike}, role) {
		lines, bytes = 0, reportBytes
	}
	for _, pod := range slices.Backward(pods) {
		if says := podSays(pod); says != "" && j.Says == "" {
			j.Says = says
		}
		if pod.Status.Phase == corev1.PodPending {
			continue
		}
		log, err := s.cluster.Logs(ctx, pod.Namespace, pod.Name, workload.ContainerName, lines, bytes)
		if err != nil {
			if j.Says == "" {
				j.Says = err.Error()
			}
			continue
		}
		line, rest := course.ReadLog(log)
		if rest != "" && line == nil {
			j.Says = kube.Limit(rest, 512)
		}
		if line != nil {
			j.Line = line
			return
		}
	}
}

// compareJobs says of each job whether it was asked what would be asked now. Where nobody knows what that is, it was.
func (r *Reconciler) compareJobs(s *scope, jobs []batchv1.Job) {
	if s.source == nil || len(s.world.Invalid) > 0 || len(s.world.Refused) > 0 {
		return
	}
	w, err := s.pods()
	if err != nil {
		return // the act that needs it says so
	}
	for i := range jobs {
		role := course.Role(jobs[i].Labels[v1alpha1.RoleLabel])
		j := s.world.Jobs[role]
		if j == nil {
			continue
		}
		want, err := s.job(w, role)
		if err != nil {
			continue
		}
		have := jobs[i].Annotations
		j.Same = have[workload.AnnotationDigest] == want.Annotations[workload.AnnotationDigest] && have[v1alpha1.RetryAnnotation] == want.Annotations[v1alpha1.RetryAnnotation]
	}
}

// pods are the workload of the target as it is planned.
func (s *scope) pods() (*workload.Workload, error) {
	p, err := s.plan(course.StageBridge)
	if err != nil {
		return nil, err
	}
	if s.migration.Spec.Target.Prometheus != nil {
		return s.workload(s.operatedHost(), p)
	}
	objects, err := s.objects(course.StageBridge)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if set, ok := o.(*appsv1.StatefulSet); ok {
			pod := set.Spec.Template.Spec
			h := &host{volume: workload.Volume{ClaimName: set.Name + "-data"}, security: pod.SecurityContext, tolerations: pod.Tolerations, pullSecrets: pod.ImagePullSecrets}
			if s.world.Target.Applied {
				h.pod = set.Spec.Selector.MatchLabels
			}
			return s.workload(h, p)
		}
	}
	return nil, errors.New("planning the pods: the target has no StatefulSet")
}
