package workload

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"time"

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

func number(name string, value int64) []string {
	if value <= 0 {
		return nil
	}
	return []string{flag(name, strconv.FormatInt(value, 10))}
}

// Rehearse looks, before the server is there, whether it can live on its volume and reach what it needs; its report is one line of JSON.
func (w *Workload) Rehearse() (*batchv1.Job, error) {
	r, s := w.o.Rehearsal, w.o.Source
	args := []string{"prometheus", "rehearse", DataDir, flag("source", s.URL), flag("output", "json"), "--quiet"}
	args = slices.Concat(args, number("need", r.NeedBytes), number("largest-block", r.LargestBlockBytes), number("head", r.HeadBytes),
		each("except", w.o.Except), each("override", w.o.Overrides.Rehearse))
	switch {
	case s.Agent != "":
		args = append(args, flag("reach", "agent="+s.Agent))
	case s.Host.Address != "":
		args = append(args, flag("reach", "ssh="+s.Host.address()))
	}
	if r.Version != "" {
		args = append(args, flag("to", r.Version))
	}
	if len(r.Args) > 0 {
		args = append(append(args, "--"), r.Args...)
	}
	return w.job(RoleRehearse, pod{args: args, volume: true})
}

// targetStarts is how long a target that has just become ready may take until its name is known in the cluster and it scrapes as the source does.
const targetStarts = time.Minute

// Preflight compares both running servers; its report is one object of JSON.
func (w *Workload) Preflight() (*batchv1.Job, error) {
	args := []string{"prometheus", "preflight", flag("source", w.o.Source.URL), flag("target", w.o.TargetURL), flag("output", "json"), flag("wait", targetStarts.String())}
	args = slices.Concat(args, each("except", w.o.Except), each("override", w.o.Overrides.Preflight), number("free", w.o.FreeBytes),
		number("scrapes", int64(w.o.Transfer.Scrapes)))
	return w.job(RolePreflight, pod{args: args})
}

// Move brings the history, from the pin to the proof.
func (w *Workload) Move() (*batchv1.Job, error) { return w.move(RoleMove) }

func (w *Workload) move(r Role) (*batchv1.Job, error) {
	from, secret, err := w.o.Source.from()
	if err != nil {
		return nil, fmt.Errorf("planning the pods of migration %s: %w", w.o.Name, err)
	}
	x := w.o.Transfer
	args := append([]string{"prometheus", "migrate"}, from...)
	args = append(args, flag("source-server", w.o.Source.URL), flag("target", w.o.TargetURL), flag("target-data", DataDir), flag("state", MoveFolder), flag("progress", "json"), "--reload-target")
	args = slices.Concat(args, each("except", w.o.Except), each("override", w.o.Overrides.Move), each("lost", x.Lost), number("ceiling", x.CeilingBytes), number("latency-budget", x.LatencyPercent),
		number("scrapes", int64(x.Scrapes)), number("samples", int64(x.Samples)))
	if x.AcceptCoverage {
		args = append(args, "--accept-coverage")
	}
	if x.LongestScrape > 0 {
		args = append(args, flag("seam-span", x.twoScrapes().String()))
	}
	return w.job(r, pod{args: args, volume: true, secrets: []mount{secret}})
}

// from are the flags that say where blocks come from, and the Secret with what lets in there.
func (s *Source) from() ([]string, mount, error) {
	h := s.Host
	switch {
	case s.Agent != "" && s.AgentSecret != "":
		return []string{flag("source", s.Agent), flag("credentials", agentFolder)}, mount{s.AgentSecret, agentFolder}, nil
	case s.Agent != "":
		return nil, mount{}, errors.New("spec.source.agent.credentialsSecretName is empty: it names the Secret with the folder target of slipway prometheus agent init")
	case h.Address == "":
		return nil, mount{}, errors.New("spec.source has neither agent nor host: nobody can read the old data directory")
	case h.KeySecret == "" || h.HostKey == "" || h.User == "":
		return nil, mount{}, errors.New("spec.source.host needs user, sshKeySecretName and knownHostKey: nobody is there to type a password, or to say yes to an unknown host")
	case !path.IsAbs(h.DataDir):
		return nil, mount{}, fmt.Errorf("spec.source.dataDir %q is no absolute path", h.DataDir)
	}
	u := url.URL{Scheme: "ssh", User: url.User(h.User), Host: h.address(), Path: h.DataDir}
	return []string{flag("source", u.String()), flag("ssh-key", sshFolder+"/"+corev1.SSHAuthPrivateKey), flag("host-key", h.HostKey)}, mount{h.KeySecret, sshFolder}, nil
}

// twoScrapes is longer than two scrapes in a row take, whose samples carry the time of their beginning and land at their end.
func (x *Transfer) twoScrapes() time.Duration { return 2*x.LongestScrape + 5*time.Second }

func (h *Host) address() string {
	return net.JoinHostPort(h.Address, strconv.Itoa(int(cmp.Or(h.Port, 22))))
}

// Proof is the move once more, after the target was restarted or did not answer for a while: what it missed is brought, and both are compared.
// It goes by the state of the first one, which has to have ended.
func (w *Workload) Proof() (*batchv1.Job, error) { return w.move(RoleProof) }

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
