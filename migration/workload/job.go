package workload

import (
	"fmt"
	"math"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// job runs a command until it ends by itself. A pod that was killed or evicted is made again and goes on; one that ended with 1 (a rule, or
// an error) or 2 (wrong usage) is not: repeating it is for whoever read why.
func (w *Workload) job(r Role, p pod) (*batchv1.Job, error) {
	t, err := w.template(r, p)
	if err != nil {
		return nil, err
	}
	t.Spec.RestartPolicy = corev1.RestartPolicyNever
	j := &batchv1.Job{ObjectMeta: w.meta(r), Spec: batchv1.JobSpec{
		BackoffLimit: ptr.To[int32](math.MaxInt32),
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
			{Action: batchv1.PodFailurePolicyActionFailJob, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				ContainerName: ptr.To(ContainerName), Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{1, 2}}},
			{Action: batchv1.PodFailurePolicyActionIgnore, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}},
		}},
		// The next pod begins when the last one has ended: both would write to the same folder.
		PodReplacementPolicy: ptr.To(batchv1.Failed),
		Template:             t,
	}}
	j.APIVersion, j.Kind = batchv1.SchemeGroupVersion.String(), "Job"
	j.Annotations = map[string]string{AnnotationDigest: t.Annotations[AnnotationDigest]}
	return j, nil
}

func flag(name, value string) string { return "--" + name + "=" + value }

func each(name string, values []string) (all []string) {
	for _, v := range values {
		all = append(all, flag(name, v))
	}
	return all
}

// Preflight compares both running servers; its report is one object of JSON.
func (w *Workload) Preflight() (*batchv1.Job, error) {
	args := []string{"prometheus", "preflight", flag("source", w.o.Source.URL), flag("target", w.o.TargetURL), flag("output", "json")}
	args = append(args, each("except", w.o.Except)...)
	args = append(args, each("override", w.o.Overrides.Preflight)...)
	if w.o.FreeBytes > 0 {
		args = append(args, flag("free", strconv.FormatInt(w.o.FreeBytes, 10)))
	}
	if n := w.o.Transfer.Scrapes; n > 0 {
		args = append(args, flag("scrapes", strconv.Itoa(n)))
	}
	return w.job(RolePreflight, pod{args: args})
}

// Move brings the history, from the pin to the proof.
func (w *Workload) Move() (*batchv1.Job, error) {
	if w.o.Source.Agent == "" || w.o.Source.AgentSecret == "" {
		return nil, fmt.Errorf("planning the pods of migration %s: spec.source.agent needs an address and the name of the Secret with its certificates", w.o.Name)
	}
	x := w.o.Transfer
	args := []string{"prometheus", "migrate", flag("source", w.o.Source.Agent), flag("credentials", agentFolder), flag("source-server", w.o.Source.URL),
		flag("target", w.o.TargetURL), flag("target-data", DataDir), flag("state", MoveFolder), flag("progress", "json")}
	args = append(args, each("except", w.o.Except)...)
	args = append(args, each("override", w.o.Overrides.Move)...)
	args = append(args, each("lost", x.Lost)...)
	if x.AcceptCoverage {
		args = append(args, "--accept-coverage")
	}
	if x.CeilingBytes > 0 {
		args = append(args, flag("ceiling", strconv.FormatInt(x.CeilingBytes, 10)))
	}
	if x.SeamSpan > 0 {
		args = append(args, flag("seam-span", x.SeamSpan.String()))
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"scrapes", x.Scrapes}, {"samples", x.Samples}} {
		if n.value > 0 {
			args = append(args, flag(n.name, strconv.Itoa(n.value)))
		}
	}
	return w.job(RoleMove, pod{args: args, volume: true, secrets: []mount{{w.o.Source.AgentSecret, agentFolder}}})
}

// Cutover lets people look at the target.
func (w *Workload) Cutover() (*batchv1.Job, error) {
	return w.cutover(RoleCutover, append([]string{"prometheus", "cutover", flag("file", specFolder+"/"+SpecKey)}, each("approve", w.o.Cutover.Approved)...))
}

// Rollback puts back what Cutover changed.
func (w *Workload) Rollback() (*batchv1.Job, error) {
	return w.cutover(RoleRollback, []string{"prometheus", "rollback"})
}

// Finalize looks whether anybody needs the source still.
func (w *Workload) Finalize() (*batchv1.Job, error) {
	args := []string{"prometheus", "finalize"}
	if w.o.Cutover.Watch > 0 {
		args = append(args, flag("watch", w.o.Cutover.Watch.String()))
	}
	return w.cutover(RoleFinalize, args)
}

// cutover is one of the three commands with the same state, which names files of the same secrets.
func (w *Workload) cutover(r Role, args []string) (*batchv1.Job, error) {
	if w.o.Cutover.SpecSecret == "" {
		return nil, fmt.Errorf("planning the pods of migration %s: the cutover has no Secret with %s", w.o.Name, SpecKey)
	}
	p := pod{args: append(args, flag("state", CutoverFolder), flag("progress", "json")), volume: true, secrets: []mount{{w.o.Cutover.SpecSecret, specFolder}}}
	for _, name := range w.o.Cutover.Secrets {
		p.secrets = append(p.secrets, mount{name, SecretFolder(name)})
	}
	return w.job(r, p)
}
