package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// kubelet plays the node of the contract test: it starts the command of each pod as a process of this machine, with
// ConfigMap and Secret as folders, tells its state, and serves its log. The supervisor is the real one.
type kubelet struct {
	t       *testing.T
	client  kubernetes.Interface
	space   string
	dir     string
	python  string
	content string

	mu   sync.Mutex
	pods map[string]*podProcess
	wg   sync.WaitGroup
}

type podProcess struct {
	dir     string
	command *exec.Cmd
	done    chan struct{}
}

// node is the name of the Node: each namespace of the test has one.
func (k *kubelet) node() string { return "node-" + k.space }

// play looks after the pods until the test ends, then kills them.
func (k *kubelet) play(ctx context.Context) {
	k.wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := k.look(ctx); err != nil && ctx.Err() == nil {
				k.t.Logf("kubelet: %v", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// end kills all pods and waits for them.
func (k *kubelet) end() {
	k.wg.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		p.kill()
		<-p.done
		// In a pod this lies on the volume that goes with it.
		if sockets, err := os.ReadFile(filepath.Join(p.dir, "work", fileControl)); err == nil {
			_ = os.RemoveAll(string(sockets))
		}
	}
}

func (k *kubelet) look(ctx context.Context) error {
	list, err := k.client.CoreV1().Pods(k.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for i := range list.Items {
		pod := &list.Items[i]
		there[pod.Name] = true
		if err := k.one(ctx, pod); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("pod %s: %w", pod.Name, err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, p := range k.pods {
		if !there[name] {
			p.kill()
		}
	}
	return nil
}

func (k *kubelet) one(ctx context.Context, pod *corev1.Pod) error {
	k.mu.Lock()
	p := k.pods[pod.Name]
	k.mu.Unlock()
	pods := k.client.CoreV1().Pods(k.space)
	switch {
	case pod.DeletionTimestamp != nil:
		if p != nil {
			_ = p.command.Process.Signal(syscall.SIGTERM)
			<-p.done
		}
		if err := k.tell(ctx, pod, p); err != nil {
			return err
		}
		return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	case pod.Spec.NodeName == "":
		return pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: k.node()}}, metav1.CreateOptions{})
	case p == nil:
		if over(pod) {
			return nil
		}
		return k.start(ctx, pod)
	}
	return k.tell(ctx, pod, p)
}

// start makes the volumes of a pod and starts its command.
func (k *kubelet) start(ctx context.Context, pod *corev1.Pod) error {
	dir := filepath.Join(k.dir, pod.Name)
	folders, err := k.volumes(ctx, pod, dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(folders["input"], fileSpec))
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	if spec["content"] != "/opt/slipway/content/test" {
		return fmt.Errorf("the content is %v", spec["content"])
	}
	spec["work"], spec["input"], spec["secrets"], spec["content"] = folders["work"], folders["input"], folders["secrets"], k.content
	if text, err = json.Marshal(spec); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, fileSpec), text, 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	c := pod.Spec.Containers[0]
	replace := strings.NewReplacer(mountInput+"/"+fileSpec, filepath.Join(dir, fileSpec), mountInput, folders["input"])
	command := exec.Command(k.python)
	for _, word := range c.Command[1:] {
		command.Args = append(command.Args, replace.Replace(word))
	}
	command.Dir, command.Stdout, command.Stderr = folders["work"], log, log
	for _, e := range c.Env {
		command.Env = append(command.Env, e.Name+"="+strings.ReplaceAll(e.Value, mountWork, folders["work"]))
	}
	command.Env = append(command.Env, "PATH="+filepath.Dir(k.python)+":"+os.Getenv("PATH"))
	if err := command.Start(); err != nil {
		return err
	}
	p := &podProcess{dir: dir, command: command, done: make(chan struct{})}
	go func() { _ = command.Wait(); close(p.done) }()
	k.mu.Lock()
	k.pods[pod.Name] = p
	k.mu.Unlock()
	return k.tell(ctx, pod, p)
}

func (k *kubelet) volumes(ctx context.Context, pod *corev1.Pod, dir string) (map[string]string, error) {
	folders := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		files := map[string][]byte{}
		switch {
		case v.ConfigMap != nil:
			config, err := k.client.CoreV1().ConfigMaps(k.space).Get(ctx, v.ConfigMap.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for name, text := range config.Data {
				files[name] = []byte(text)
			}
		case v.Secret != nil:
			secret, err := k.client.CoreV1().Secrets(k.space).Get(ctx, v.Secret.SecretName, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			for _, item := range v.Secret.Items {
				files[item.Path] = secret.Data[item.Key]
			}
		}
		folders[v.Name] = filepath.Join(dir, v.Name)
		if err := os.MkdirAll(folders[v.Name], 0o700); err != nil {
			return nil, err
		}
		for name, b := range files {
			if err := writePrivate(filepath.Join(folders[v.Name], name), b); err != nil {
				return nil, err
			}
		}
	}
	return folders, nil
}

// tell writes the state of a pod when it has changed.
func (k *kubelet) tell(ctx context.Context, pod *corev1.Pod, p *podProcess) error {
	status := corev1.ContainerStatus{Name: container}
	phase := corev1.PodRunning
	select {
	case <-doneOf(p):
		code := int32(137)
		if p != nil && p.command.ProcessState.ExitCode() >= 0 {
			code = int32(p.command.ProcessState.ExitCode())
		}
		phase = corev1.PodSucceeded
		status.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Completed"}
		if code != 0 {
			phase, status.State.Terminated.Reason = corev1.PodFailed, "Error"
		}
	default:
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Now()}
	}
	if pod.Status.Phase == phase {
		return nil
	}
	pod.Status.Phase, pod.Status.ContainerStatuses = phase, []corev1.ContainerStatus{status}
	_, err := k.client.CoreV1().Pods(k.space).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

func doneOf(p *podProcess) chan struct{} {
	if p != nil {
		return p.done
	}
	c := make(chan struct{})
	close(c)
	return c
}

// kill kills the container of a run, as the kernel does when memory is short.
func (k *kubelet) kill(name string) {
	list, err := k.client.CoreV1().Pods(k.space).List(context.Background(), metav1.ListOptions{LabelSelector: labelRun + "=" + name})
	if err != nil || len(list.Items) != 1 {
		k.t.Fatalf("pods of %s: %v, %v", name, list, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pods[list.Items[0].Name].kill()
}

// kill kills everything in a container, as its end does.
func (p *podProcess) kill() {
	select {
	case <-p.done:
		return // its number may be another process' by now
	default:
	}
	for _, pid := range append(descendants(p.command.Process.Pid), p.command.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// descendants lists all processes below one.
func descendants(root int) (found []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if _, _, parent, err := readStat(pid); err == nil && parent == root {
			found = append(append(found, pid), descendants(pid)...)
		}
	}
	return found
}

// log is what a pod has written so far.
func (k *kubelet) log(pod string) ([]byte, chan struct{}) {
	k.mu.Lock()
	p := k.pods[pod]
	k.mu.Unlock()
	if p == nil {
		return nil, doneOf(nil)
	}
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return b, p.done
}

// ServeHTTP answers /containerLogs/<namespace>/<pod>/<container> as a kubelet does.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 5 || parts[1] != "containerLogs" {
		http.NotFound(w, r)
		return
	}
	for sent := 0; ; {
		text, done := k.log(parts[3])
		over := false
		select {
		case <-done:
			text, _ = k.log(parts[3])
			over = true
		default:
		}
		if _, err := w.Write(text[sent:]); err != nil {
			return
		}
		sent = len(text)
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		if over || r.URL.Query().Get("follow") != "true" {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// register makes the Node of a served kubelet known.
func (k *kubelet) register(ctx context.Context, server *httptest.Server) error {
	address, err := url.Parse(server.URL)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		return err
	}
	node, err := k.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.node()}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Hostname()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}
