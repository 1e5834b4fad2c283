package executor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/tools/cache"
)

// jobRun is a run and what has been read of the log of its pod.
type jobRun struct {
	name    string
	priming sync.Mutex // guards primed, and lets others wait for it
	primed  bool       // the log was read once
	mu      sync.Mutex // guards all below
	tracker *tracker
	events  []Event
	phase   Phase
	result  *ending      // what the supervisor wrote
	end     *ending      // judged and kept with the Job
	final   *Observation // read back from the Job: finished before this executor came
	reading bool
	ended   bool  // the log has been read to its end, the pod being at its end
	err     error // the log is damaged
}

// jobResult is kept with a finished Job, since its pod and log may go at any time.
type jobResult struct {
	ending
	Hosts   map[string]Host            `json:"hosts"`
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
}

// maxTries is how often the log of a pod that has ended is asked for before it is taken for lost.
const maxTries = 30

// maxResult keeps the annotation with a result within what the API takes.
const maxResult = 200 << 10

func (j *Job) jobs() batchclient.JobInterface {
	return j.options.Client.BatchV1().Jobs(j.options.Namespace)
}

func (j *Job) pods(ctx context.Context, name string) ([]corev1.Pod, error) {
	list, err := j.options.Client.CoreV1().Pods(j.options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labelRun + "=" + name})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}

func (j *Job) forget(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.runs, name)
}

func (j *Job) tell(name string) {
	if j.options.OnChange != nil {
		j.options.OnChange(name)
	}
}

// watch wakes up for what happens to Jobs and pods of runs.
func (j *Job) watch() error {
	factory := informers.NewSharedInformerFactoryWithOptions(j.options.Client, 0, informers.WithNamespace(j.options.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = labelRun }))
	wake := func(obj any) {
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			j.wake(o.GetLabels()[labelRun])
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: wake, UpdateFunc: func(_, now any) { wake(now) }, DeleteFunc: wake}
	for _, informer := range []cache.SharedIndexInformer{factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()} {
		if err := informer.SetTransform(slim); err != nil {
			return fmt.Errorf("watching Jobs: %w", err)
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching Jobs: %w", err)
		}
	}
	factory.Start(j.ctx.Done())
	j.shutdown = factory.Shutdown
	return nil
}

// slim keeps of a watched object what wakes us: that it changed is all that counts.
func slim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), Labels: o.GetLabels(),
		}}, nil
	}
	return obj, nil
}

// wake looks at a run, so that its log is read also when nobody observes it, and tells that it changed.
func (j *Job) wake(name string) {
	if name == "" || j.ctx.Err() != nil {
		return
	}
	j.wg.Go(func() {
		if _, err := j.Observe(j.ctx, name, 1<<62); err != nil && !errors.Is(err, ErrNotFound) && j.ctx.Err() == nil {
			j.options.Log.Error("Could not look at a run", "run", name, "error", err)
		}
		j.tell(name)
	})
}

// adopt gives what is known of a run, reading it from its objects the first time.
func (j *Job) adopt(ctx context.Context, job *batchv1.Job) (*jobRun, error) {
	j.mu.Lock()
	r, ok := j.runs[job.Name]
	j.mu.Unlock()
	if ok {
		return r, nil
	}
	r = &jobRun{name: job.Name, phase: Pending}
	if text, ok := job.Annotations[annotationResult]; ok {
		var result jobResult
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			return nil, fmt.Errorf("reading the result of the Job: %w", err)
		}
		r.end = &result.ending
		r.final = &Observation{Phase: result.Phase, Message: result.Message, Hosts: result.Hosts, Outputs: result.Outputs}
	}
	config, err := j.options.Client.CoreV1().ConfigMaps(job.Namespace).Get(ctx, job.Name, metav1.GetOptions{})
	var spec runSpec
	switch {
	case err == nil:
		err = json.Unmarshal([]byte(config.Data[fileSpec]), &spec)
	case apierrors.IsNotFound(err) && r.final != nil:
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the run: %w", err)
	}
	if r.final == nil {
		if err := j.own(ctx, job); err != nil {
			return nil, err
		}
	}
	r.tracker = newTracker(spec.Hosts)
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.runs[job.Name]; ok {
		return old, nil
	}
	j.runs[job.Name] = r
	return r, nil
}

// prime reads the log of a run that an earlier operator started, once, so that nothing that was known is missing.
func (j *Job) prime(ctx context.Context, r *jobRun) error {
	r.priming.Lock()
	defer r.priming.Unlock()
	if r.primed {
		return nil
	}
	pods, err := j.pods(ctx, r.name)
	if err != nil {
		return err
	}
	r.primed = true
	if len(pods) == 0 || !started(&pods[0]) {
		return nil
	}
	if err := j.readOnce(ctx, r, pods[0].Name, false); err != nil {
		j.options.Log.Info("Could not read the log of a pod, will try again", "pod", pods[0].Name, "error", err)
	}
	return nil
}

// judge brings a run up to date with its Job, its pod and its log, and writes down its end.
func (j *Job) judge(ctx context.Context, r *jobRun, job *batchv1.Job) error {
	pods, err := j.pods(ctx, r.name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(pods) > 0 && !r.reading && !r.ended && r.err == nil && started(&pods[0]) {
		r.reading = true
		j.wg.Go(func() { j.read(r, pods[0].Name) })
	}
	if r.end != nil && job.Annotations[annotationResult] != "" {
		return nil
	}
	if r.phase == Pending && len(pods) > 0 && started(&pods[0]) {
		r.phase = Running
	}
	end := r.judge(job, pods)
	if end == nil {
		return nil
	}
	return j.finish(ctx, r, *end)
}

// started says that a pod has, or has had, a process.
func started(pod *corev1.Pod) bool {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil || s.State.Terminated != nil {
			return true
		}
	}
	return over(pod)
}

// over says that a pod will not run any more.
func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// judge says how a run has ended, if it has. A result that the supervisor wrote counts more than what became of the pod.
func (r *jobRun) judge(job *batchv1.Job, pods []corev1.Pod) *ending {
	cancelled := job.Annotations[annotationCancel] != ""
	switch {
	case r.end != nil:
		return r.end
	case r.result != nil && (r.result.Phase != Lost || !cancelled):
		return r.result
	case r.err != nil:
		end := unreadable(r.err)
		return &end
	case cancelled && !r.reading && !slices.ContainsFunc(pods, alive):
		return &ending{Phase: Cancelled, Message: messageCancelled}
	}
	return r.judgePods(job, pods)
}

func alive(p corev1.Pod) bool { return !over(&p) }

// judgePods says how a run has ended of which the supervisor did not say how.
func (r *jobRun) judgePods(job *batchv1.Job, pods []corev1.Pod) *ending {
	switch {
	case slices.ContainsFunc(pods, unanswered):
		return &ending{Phase: Lost, Message: "the node of the pod does not answer, so nobody can say whether the run goes on"}
	case len(pods) == 0 && finishedJob(job) != "":
		return &ending{Phase: Lost, Message: "the pod of the run is gone and has left no result: " + finishedJob(job)}
	case len(pods) > 0 && over(&pods[0]) && r.ended:
		return lastWord(&pods[0])
	}
	return nil
}

// unanswered says that a pod should have been gone for a minute and is still there.
func unanswered(p corev1.Pod) bool {
	return p.DeletionTimestamp != nil && !over(&p) && time.Since(p.DeletionTimestamp.Time) > time.Minute
}

// finishedJob says how a Job that will make no pod any more has ended; empty when it may.
func finishedJob(job *batchv1.Job) string {
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobFailed || c.Type == batchv1.JobComplete) {
			return truncate(fmt.Sprintf("the Job is %s: %s %s", c.Type, c.Reason, c.Message), maxMessage)
		}
	}
	return ""
}

// lastWord is how a run ended whose log holds no result: what the supervisor left as its termination message would
// name a phase, but not how the hosts are, so the run is lost.
func lastWord(pod *corev1.Pod) *ending {
	why := pod.Status.Reason + " " + pod.Status.Message
	for _, s := range pod.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil {
			why = fmt.Sprintf("%s, exit code %d %s", t.Reason, t.ExitCode, pod.Status.Message)
		}
	}
	return &ending{Phase: Lost, Message: truncate("the pod of the run has ended without a result: "+why, maxMessage)}
}

// finish writes the end of a run down with its Job and deletes its Secret.
func (j *Job) finish(ctx context.Context, r *jobRun, end ending) error {
	r.end = &end
	o := r.tracker.observation(end)
	result := jobResult{ending: ending{Phase: o.Phase, Message: o.Message, TimedOut: end.TimedOut}, Hosts: o.Hosts, Outputs: o.Outputs}
	text, err := json.Marshal(result)
	if err == nil && len(text) > maxResult {
		for name, h := range result.Hosts {
			h.Task, h.Message = truncate(h.Task, 40), truncate(h.Message, 40)
			result.Hosts[name] = h
		}
		result.Outputs = nil
		text, err = json.Marshal(result)
	}
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	if err := j.options.Client.CoreV1().Secrets(j.options.Namespace).Delete(ctx, r.name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the Secret: %w", err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotationResult: string(text)}}})
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	if _, err := j.jobs().Patch(ctx, r.name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("keeping the result: %w", err)
	}
	return nil
}

func (r *jobRun) observe(since int) Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var o Observation
	switch {
	case r.final != nil:
		o = *r.final
	case r.end != nil:
		o = r.tracker.observation(*r.end)
	default:
		o = r.tracker.observation(ending{Phase: r.phase})
	}
	if since = max(since, 0); since < len(r.events) {
		o.Events = slices.Clone(r.events[since:])
	}
	return o
}

// logLine is one line of the log of a pod.
type logLine struct {
	Event  json.RawMessage `json:"event"`
	Log    string          `json:"log"`
	Result *ending         `json:"result"`
}

// readLog takes a log apart. A line that is not the supervisor's is text; a last line without an end is dropped.
func readLog(stream io.Reader, each func(logLine) error) error {
	reader := bufio.NewReaderSize(stream, 64<<10)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(line) > maxLine {
			return fmt.Errorf("a line of the log is longer than %d bytes", maxLine)
		}
		var l logLine
		if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &l) != nil {
			l = logLine{Log: string(line)}
		}
		if err := each(l); err != nil {
			return err
		}
	}
}

func (j *Job) stream(ctx context.Context, pod string, follow bool) (io.ReadCloser, error) {
	if j.options.logs != nil {
		return j.options.logs(ctx, pod, follow)
	}
	options := &corev1.PodLogOptions{Container: container, Follow: follow}
	return j.options.Client.CoreV1().Pods(j.options.Namespace).GetLogs(pod, options).Stream(ctx)
}

// read follows the log of a pod until there is a result, or the pod has ended. A log that breaks off is read again
// from its start, since the numbers of the events tell which are known.
func (j *Job) read(r *jobRun, pod string) {
	defer func() {
		r.mu.Lock()
		r.reading = false
		r.mu.Unlock()
		j.wake(r.name)
	}()
	for tries := 0; j.ctx.Err() == nil; tries++ {
		// Only what is read after the pod is seen to have ended is all that it wrote.
		last, gone := j.podOver(pod)
		err := j.readOnce(j.ctx, r, pod, true)
		r.mu.Lock()
		done := r.result != nil || r.err != nil || gone || last && (err == nil || tries >= maxTries)
		r.ended = done
		r.mu.Unlock()
		if done {
			return
		}
		if err != nil && !apierrors.IsBadRequest(err) && j.ctx.Err() == nil {
			j.options.Log.Info("Could not read the log of a pod, will try again", "pod", pod, "error", err)
		}
		wait := time.NewTimer(j.options.Retry)
		select {
		case <-j.ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
}

func (j *Job) podOver(name string) (last, gone bool) {
	pod, err := j.options.Client.CoreV1().Pods(j.options.Namespace).Get(j.ctx, name, metav1.GetOptions{})
	if err != nil {
		return false, apierrors.IsNotFound(err)
	}
	return over(pod), false
}

func (j *Job) readOnce(ctx context.Context, r *jobRun, pod string, follow bool) error {
	stream, err := j.stream(ctx, pod, follow)
	if err != nil {
		return err
	}
	defer stream.Close()
	seen := 0
	return readLog(stream, func(l logLine) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case l.Result != nil && l.Result.Phase.Finished():
			r.result = l.Result
		case l.Event != nil:
			if seen++; seen <= len(r.events) {
				return nil
			}
			if r.err = r.add(l.Event); r.err != nil {
				return r.err
			}
			defer j.tell(r.name)
		}
		return nil
	})
}

func (r *jobRun) add(text []byte) error {
	e, err := parseEvent(text, len(r.events)+1)
	if err == nil {
		err = r.tracker.add(e)
	}
	if err == nil {
		r.events = append(r.events, e)
	}
	return err
}
