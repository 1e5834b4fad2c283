package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// JobOptions say where Jobs run.
type JobOptions struct {
	// Client reaches the cluster that runs the Jobs. It needs, in Namespace: jobs (get, list,
	// watch, create, patch, delete), configmaps (get, create, patch, delete), secrets (create, patch, delete), pods (get,
	// list, watch), pods/log (get).
	Client kubernetes.Interface
	// Namespace holds the objects of all runs.
	Namespace string
	// Image holds Python with ansible-core and ansible-runner, ssh, the content, and a user 65532 in /etc/passwd.
	Image            string
	ImagePullPolicy  corev1.PullPolicy
	ImagePullSecrets []corev1.LocalObjectReference
	// Python is the interpreter in the image; empty: /opt/slipway/venv/bin/python3.
	Python string
	// ContentDir gives the directory of a content version in the image; nil: /opt/slipway/content/<version>.
	ContentDir func(version string) string
	// Resources of the pod; empty: 250m and 512Mi asked for, 2Gi at most.
	Resources          corev1.ResourceRequirements
	ServiceAccountName string
	NodeSelector       map[string]string
	Tolerations        []corev1.Toleration
	// OwnerReferences own the objects of a run; nil: none.
	OwnerReferences func(run Run) []metav1.OwnerReference
	// OnChange is told the name of a run in which something happened; it is called from any goroutine and must not block.
	OnChange func(name string)
	// Log gets what the executor cannot return to a caller; nil: nowhere.
	Log *slog.Logger
	// Retry is how long the reader of a pod's log waits after the log has ended before its pod; 0: 2 s.
	Retry time.Duration

	// logs opens the log of a pod; tests without a kubelet set it.
	logs func(ctx context.Context, pod string, follow bool) (io.ReadCloser, error)
}

// Job runs ansible-runner in a Kubernetes Job: never restarted, never two pods at once. The supervisor writes its
// events to the log of the pod; the API objects are all the memory that there is.
type Job struct {
	options JobOptions
	ctx     context.Context
	stop    context.CancelFunc
	// shutdown waits for the watches.
	shutdown func()
	wg       sync.WaitGroup
	mu       sync.Mutex
	runs     map[string]*jobRun
}

// NewJob starts to watch the Jobs of a namespace. Close ends that; the Jobs go on.
func NewJob(options JobOptions) (*Job, error) {
	switch {
	case options.Client == nil || options.Namespace == "":
		return nil, errors.New("an executor of Jobs needs a client and a namespace")
	case options.Image == "":
		return nil, errors.New("an executor of Jobs needs an image")
	}
	if options.Python == "" {
		options.Python = "/opt/slipway/venv/bin/python3"
	}
	if options.ContentDir == nil {
		options.ContentDir = func(version string) string { return path.Join("/opt/slipway/content", version) }
	}
	if options.Resources.Requests == nil && options.Resources.Limits == nil {
		options.Resources = corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("512Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
		}
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Retry == 0 {
		options.Retry = 2 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	j := &Job{options: options, ctx: ctx, stop: stop, runs: map[string]*jobRun{}}
	if err := j.watch(); err != nil {
		stop()
		return nil, err
	}
	return j, nil
}

// Close ends all watching; the Jobs go on.
func (j *Job) Close() error {
	j.stop()
	j.shutdown()
	j.wg.Wait()
	return nil
}

// Kind is Job.
func (j *Job) Kind() string { return "Job" }

// Start makes the objects of a run; the Job is made last and is what makes the run exist.
func (j *Job) Start(ctx context.Context, run Run) error {
	if err := run.Validate(); err != nil {
		return err
	}
	digest, err := run.Digest()
	if err != nil {
		return err
	}
	if err := j.start(ctx, run, digest); err != nil {
		return fmt.Errorf("starting run %s: %w", run.Name, err)
	}
	return nil
}

func (j *Job) start(ctx context.Context, run Run, digest string) error {
	old, err := j.jobs().Get(ctx, run.Name, metav1.GetOptions{})
	if err == nil {
		return sameDigest(old, digest)
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	pods, err := j.pods(ctx, run.Name)
	if err != nil {
		return err
	}
	if len(pods) > 0 {
		return fmt.Errorf("pod %s of an earlier run of this name has not gone yet", pods[0].Name)
	}
	config, secret, job, err := j.options.manifests(run, digest)
	if err != nil {
		return err
	}
	if err := j.putInput(ctx, config, secret); err != nil {
		return err
	}
	crashPoint("executor.job.start.stored")
	job, err = j.jobs().Create(ctx, job, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if old, err = j.jobs().Get(ctx, run.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		return sameDigest(old, digest)
	}
	if err != nil {
		return fmt.Errorf("making the Job: %w", err)
	}
	crashPoint("executor.job.start.made")
	return j.own(ctx, job)
}

func sameDigest(job *batchv1.Job, digest string) error {
	if job.Annotations[annotationDigest] != digest {
		return ErrDigestMismatch
	}
	return nil
}

// putInput makes ConfigMap and Secret. What is there already was left by a start that never came to make a Job.
func (j *Job) putInput(ctx context.Context, config *corev1.ConfigMap, secret *corev1.Secret) error {
	if err := j.removeInput(ctx, config.Name); err != nil {
		return err
	}
	core := j.options.Client.CoreV1()
	if _, err := core.ConfigMaps(config.Namespace).Create(ctx, config, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the ConfigMap: %w", err)
	}
	if _, err := core.Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the Secret: %w", err)
	}
	return nil
}

// removeInput deletes the Secret and the ConfigMap of a run, the Secret first.
func (j *Job) removeInput(ctx context.Context, name string) error {
	core := j.options.Client.CoreV1()
	if err := core.Secrets(j.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the Secret: %w", err)
	}
	if err := core.ConfigMaps(j.options.Namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the ConfigMap: %w", err)
	}
	return nil
}

// own lets the Job own its ConfigMap and Secret, so that they go with it when a person deletes it.
func (j *Job) own(ctx context.Context, job *batchv1.Job) error {
	owners := append([]metav1.OwnerReference{}, job.OwnerReferences...)
	owners = append(owners, metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job", Name: job.Name, UID: job.UID, BlockOwnerDeletion: ptr.To(false)})
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": owners}})
	if err != nil {
		return fmt.Errorf("encoding owners: %w", err)
	}
	core := j.options.Client.CoreV1()
	_, err = core.Secrets(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err == nil {
		_, err = core.ConfigMaps(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("letting the Job own its input: %w", err)
	}
	return nil
}

// Observe tells how a run goes.
func (j *Job) Observe(ctx context.Context, name string, since int) (Observation, error) {
	job, err := j.jobs().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		j.forget(name)
		return Observation{}, fmt.Errorf("observing run %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, err)
	}
	r, err := j.adopt(ctx, job)
	if err != nil {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, err)
	}
	if err := errors.Join(j.prime(ctx, r), j.judge(ctx, r, job)); err != nil {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, err)
	}
	return r.observe(since), nil
}

// Cancel suspends the Job, which deletes its pod; the run is Cancelled when the pod has gone.
func (j *Job) Cancel(ctx context.Context, name string) error {
	o, err := j.Observe(ctx, name, 0)
	if err != nil {
		return fmt.Errorf("cancelling: %w", err)
	}
	if o.Phase.Finished() {
		return nil
	}
	patch := []byte(`{"metadata":{"annotations":{"` + annotationCancel + `":"true"}},"spec":{"suspend":true}}`)
	if _, err := j.jobs().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("cancelling run %s: %w", name, err)
	}
	return nil
}

// Remove deletes all objects of a finished run, its Secret first.
func (j *Job) Remove(ctx context.Context, name string) error {
	o, err := j.Observe(ctx, name, 0)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return fmt.Errorf("removing: %w", err)
	case !o.Phase.Finished():
		return fmt.Errorf("removing run %s: %w", name, ErrNotFinished)
	}
	if err := j.remove(ctx, name); err != nil {
		return fmt.Errorf("removing run %s: %w", name, err)
	}
	j.forget(name)
	return nil
}

func (j *Job) remove(ctx context.Context, name string) error {
	if err := j.removeInput(ctx, name); err != nil {
		return err
	}
	now := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
	if err := j.jobs().Delete(ctx, name, now); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting the Job: %w", err)
	}
	return nil
}

// Logs opens what ansible-playbook printed, without secrets.
func (j *Job) Logs(ctx context.Context, name string, follow bool) (io.ReadCloser, error) {
	pods, err := j.pods(ctx, name)
	if err == nil && len(pods) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, err)
	}
	stream, err := j.stream(ctx, pods[0].Name, follow)
	if err != nil {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, err)
	}
	reader, writer := io.Pipe()
	go func() {
		defer stream.Close()
		err := readLog(stream, func(l logLine) error {
			if l.Log == "" {
				return nil
			}
			_, err := io.WriteString(writer, l.Log)
			return err
		})
		writer.CloseWithError(err)
	}()
	return reader, nil
}
