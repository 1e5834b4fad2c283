package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/test/golden"
)

// jobHarness is a Job over a client, with a played node.
func jobHarness(t *testing.T, client kubernetes.Interface, space, venv string, wait time.Duration) (*harness, *kubelet) {
	options := &JobOptions{Client: client, Namespace: space, Image: "slipway:test", Retry: 50 * time.Millisecond}
	h, k := jobHarnessFor(t, options, venv)
	h.wait = wait
	return h, k
}

func jobHarnessFor(t *testing.T, options *JobOptions, venv string) (*harness, *kubelet) {
	client, space := options.Client, options.Namespace
	dir := t.TempDir()
	k := &kubelet{
		t: t, client: client, space: space, dir: dir, python: filepath.Join(venv, "bin", "python3"),
		content: filepath.Join(dir, "content"), pods: map[string]*podProcess{},
	}
	if err := os.CopyFS(k.content, os.DirFS("testdata/content")); err != nil {
		t.Fatal(err)
	}
	h := &harness{
		open: func() Executor {
			j, err := NewJob(*options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = j.Close() })
			return j
		},
		crash: func(e Executor) { _ = e.(*Job).Close() },
		release: func(name string) {
			if err := os.WriteFile(filepath.Join(k.content, "playbooks", "release-"+name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		kill:    k.kill,
		outputs: true,
		noise:   func(string) string { return objects(t, client, space) },
	}
	return h, k
}

// objects is what people can see who may not read Secrets; what is being deleted is left out.
func objects(t *testing.T, client kubernetes.Interface, space string) string {
	t.Helper()
	ctx := t.Context()
	jobs, err := client.BatchV1().Jobs(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	configs, err := client.CoreV1().ConfigMaps(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := client.CoreV1().Secrets(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]any{jobs.Items, configs.Items})
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, s := range secrets.Items {
		names += s.Name + "\n"
	}
	return string(text) + names
}

func TestJobContract(t *testing.T) {
	venv := standinVenv(t)
	contract(t, func(t *testing.T) *harness { return unitJobHarness(t, venv) })
}

// unitJobHarness has neither an API server nor a Job controller: both are played.
func unitJobHarness(t *testing.T, venv string) *harness {
	client := fake.NewClientset()
	options := &JobOptions{Client: client, Namespace: "fleet", Image: "slipway:test", Retry: 50 * time.Millisecond}
	h, k := jobHarnessFor(t, options, venv)
	h.wait = 30 * time.Second
	options.logs = func(_ context.Context, pod string, _ bool) (io.ReadCloser, error) {
		text, _ := k.log(pod)
		return io.NopCloser(bytes.NewReader(text)), nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.play(ctx)
	k.wg.Go(func() { playJobs(ctx, t, client) })
	t.Cleanup(func() { cancel(); k.end() })
	return h
}

// playJobs does what the Job controller and the garbage collector do, as far as the contract needs it.
func playJobs(ctx context.Context, t *testing.T, client kubernetes.Interface) {
	made := map[string]bool{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := playJobsOnce(ctx, client, made); err != nil && ctx.Err() == nil {
			t.Logf("job controller: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func playJobsOnce(ctx context.Context, client kubernetes.Interface, made map[string]bool) error {
	jobs, err := client.BatchV1().Jobs("fleet").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, job := range jobs.Items {
		suspended := ptr.Deref(job.Spec.Suspend, false)
		there[job.Name] = !suspended
		if suspended || made[job.Name] {
			continue
		}
		made[job.Name] = true
		pod := &corev1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec}
		pod.Name, pod.Namespace, pod.Spec.NodeName = job.Name+"-x", "fleet", "node-fleet"
		if _, err := client.CoreV1().Pods("fleet").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	pods, err := client.CoreV1().Pods("fleet").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		if !there[pod.Labels[labelRun]] {
			if err := client.CoreV1().Pods("fleet").Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestJobManifests(t *testing.T) {
	r := run("5b0c7e1e-1", playbookGood)
	r.Labels = map[string]string{LabelCluster: "shop", "slipway.dev/operation": "shop-scale-x7k2p"}
	o := JobOptions{
		Client: fake.NewClientset(), Namespace: "slipway-system", Image: "registry.example/slipway:0.1.0",
		OwnerReferences: func(Run) []metav1.OwnerReference {
			return []metav1.OwnerReference{{APIVersion: "fleet.slipway.dev/v1alpha1", Kind: "Operation", Name: "shop-scale-x7k2p", UID: "5b0c7e1e"}}
		},
	}
	j, err := NewJob(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	config, secret, job, err := j.options.manifests(r, "sha256:0123")
	if err != nil {
		t.Fatal(err)
	}
	config.Data[fileSupervisor] = "(supervisor/supervise.py)\n"
	var text []byte
	for _, o := range []any{config, secret, job} {
		b, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, "---\n"...), b...)
	}
	golden.Check(t, filepath.Join("testdata", "job.golden.yaml"), string(text))
}

func TestJobJudgement(t *testing.T) {
	pod := func(change func(*corev1.Pod)) []corev1.Pod {
		p := corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		change(&p)
		return []corev1.Pod{p}
	}
	failed := batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}
	for name, c := range map[string]*struct {
		run  jobRun
		job  batchv1.Job
		pods []corev1.Pod
		want string
	}{
		"goes on while the pod runs":        {pods: pod(func(*corev1.Pod) {}), want: ""},
		"goes on while there is no pod yet": {want: ""},
		"believes the supervisor":           {run: jobRun{result: &ending{Phase: Succeeded}}, want: "Succeeded: "},
		"keeps what was judged":             {run: jobRun{end: &ending{Phase: Failed}, result: &ending{Phase: Succeeded}}, want: "Failed: "},
		"is lost when the pod went with no word": {job: batchv1.Job{Status: batchv1.JobStatus{Conditions: []batchv1.JobCondition{failed}}},
			want: "Lost: the pod of the run is gone and has left no result: the Job is Failed: BackoffLimitExceeded "},
		"is lost when memory ran out": {run: jobRun{ended: true}, pods: pod(func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodFailed
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}}}
		}), want: "Lost: the pod of the run has ended without a result: OOMKilled, exit code 137 "},
		"waits for the end of the log": {pods: pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), want: ""},
		"is lost when the node does not answer": {pods: pod(func(p *corev1.Pod) {
			p.DeletionTimestamp = ptr.To(metav1.NewTime(time.Now().Add(-2 * time.Minute)))
		}), want: "Lost: the node of the pod does not answer, so nobody can say whether the run goes on"},
		"is lost when the log is damaged":                 {run: jobRun{err: errors.New("event 3")}, want: "Lost: what the run reported cannot be read: event 3"},
		"is cancelled when the pod is gone":               {job: cancelledJob(), want: "Cancelled: the run was cancelled"},
		"is not cancelled while the pod runs":             {job: cancelledJob(), pods: pod(func(*corev1.Pod) {}), want: ""},
		"has succeeded if it did before it was cancelled": {run: jobRun{result: &ending{Phase: Succeeded}}, job: cancelledJob(), want: "Succeeded: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if end := c.run.judge(&c.job, c.pods); end != nil {
				got = fmt.Sprintf("%s: %s", end.Phase, end.Message)
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func cancelledJob() batchv1.Job {
	return batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationCancel: "true"}}}
}

func TestReadLog(t *testing.T) {
	var got []string
	text := "Traceback: {\n{\"log\":\"PLAY\\n\"}\n{\"event\":{\"sequence\":1}}\n{broken\n{\"result\":{\"phase\":\"Failed\"}}\n{\"event\":{\"sequ"
	err := readLog(strings.NewReader(text), func(l logLine) error {
		got = append(got, fmt.Sprintf("%q %s %v", l.Log, l.Event, l.Result != nil))
		return nil
	})
	want := []string{`"Traceback: {\n"  false`, `"PLAY\n"  false`, `"" {"sequence":1} false`, `"{broken\n"  false`, `""  true`}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
