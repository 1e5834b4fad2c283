package prometheusmigration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
)

// Logs reads the end of the log of a pod's container: at most lines and bytes; 0 lines is the whole log.
type Logs func(ctx context.Context, namespace, pod, container string, lines, bytes int64) ([]byte, error)

// Cluster is one that a target lives in.
type Cluster struct {
	client.Client
	Logs Logs
	// HTTP and Address reach its API server, for the proxy to pods.
	HTTP    *http.Client
	Address string
	// Own says that the migrations live in it, so that they can own objects.
	Own bool

	digest string
}

// Put writes an object whole, by server-side apply in somebody's name: fields of others stay.
func (c *Cluster) Put(ctx context.Context, manager string, o client.Object) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return fmt.Errorf("writing %T %s: %w", o, o.GetName(), err)
	}
	delete(content, "status")
	u := &unstructured.Unstructured{Object: content}
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid"} { // of an object that was read
		unstructured.RemoveNestedField(content, "metadata", field)
	}
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// IsReady says that a pod is ready.
func IsReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// StartOf is when the server's container in a pod started, the zero time while it does not run.
func StartOf(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == "prometheus" && c.State.Running != nil {
			return c.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

// Clusters reaches the clusters of targets.
type Clusters struct {
	local  client.Client
	config *rest.Config
	scheme *runtime.Scheme
	// logs replaces the way to logs where it is not nil.
	logs Logs

	mu  sync.Mutex
	own *Cluster
	all map[string]*Cluster
}

// NewClusters makes it for migrations that live in the cluster of config. local reads and writes there without a cache; logs may be nil.
func NewClusters(config *rest.Config, local client.Client, logs Logs) *Clusters {
	return &Clusters{local: local, config: config, scheme: local.Scheme(), logs: logs, all: map[string]*Cluster{}}
}

// Of is the cluster of a migration's target.
func (c *Clusters) Of(ctx context.Context, m *v1alpha1.PrometheusMigration) (*Cluster, error) {
	name := m.Spec.Target.KubeconfigSecretName
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" {
		if c.own == nil {
			own, err := c.open(c.config)
			if err != nil {
				return nil, err
			}
			own.Own, c.own = true, own
		}
		return c.own, nil
	}
	var secret corev1.Secret
	if err := c.local.Get(ctx, key(m, name), &secret); err != nil {
		return nil, fmt.Errorf("reading spec.target.kubeconfigSecretName: %w", err)
	}
	id := m.Namespace + "/" + name
	digest := string(secret.UID) + "/" + secret.ResourceVersion
	if known := c.all[id]; known != nil && known.digest == digest {
		return known, nil
	}
	config, err := readKubeconfig(secret.Data)
	if err != nil {
		return nil, kube.Human(v1alpha1.ReasonInvalidSpec, fmt.Errorf("reading the kubeconfig in Secret %s: %w", name, err))
	}
	opened, err := c.open(config)
	if err != nil {
		return nil, err
	}
	opened.digest = digest
	c.all[id] = opened
	return opened, nil
}

func (c *Clusters) open(config *rest.Config) (*Cluster, error) {
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the target's cluster: %w", err)
	}
	cl, err := client.New(config, client.Options{HTTPClient: h, Scheme: c.scheme})
	if err != nil {
		return nil, fmt.Errorf("reaching the target's cluster: %w", err)
	}
	set, err := kubernetes.NewForConfigAndClient(config, h)
	if err != nil {
		return nil, fmt.Errorf("reaching the target's cluster: %w", err)
	}
	out := &Cluster{Client: cl, HTTP: h, Address: config.Host, Logs: c.logs}
	if out.Logs == nil {
		out.Logs = podLogs(set)
	}
	return out, nil
}

// podLogs asks the API server. The limit holds also where the server does not keep it.
func podLogs(set kubernetes.Interface) Logs {
	return func(ctx context.Context, namespace, pod, container string, lines, bytes int64) ([]byte, error) {
		o := &corev1.PodLogOptions{Container: container, LimitBytes: ptr.To(bytes)}
		if lines > 0 {
			o.TailLines = &lines
		}
		stream, err := set.CoreV1().Pods(namespace).GetLogs(pod, o).Stream(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the log of pod %s: %w", pod, err)
		}
		defer stream.Close()
		return io.ReadAll(io.LimitReader(stream, bytes))
	}
}

// readKubeconfig takes one that stands by itself: what it names would be a file or a program of this host.
func readKubeconfig(data map[string][]byte) (*rest.Config, error) {
	text := data["value"]
	if text == nil {
		text = data["kubeconfig"]
	}
	if len(text) == 0 {
		return nil, errors.New("it has neither the key value nor kubeconfig")
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return nil, errors.New("it is no kubeconfig") // what the reader says may repeat secrets
	}
	for name, user := range config.AuthInfos {
		if foreign(user) {
			return nil, fmt.Errorf("user %s names a file or a program of the host; put certificates or a token into it", name)
		}
	}
	for name, cluster := range config.Clusters {
		if cluster.CertificateAuthority != "" || cluster.InsecureSkipTLSVerify {
			return nil, fmt.Errorf("cluster %s names a file of the host or does not verify the server; put certificate-authority-data into it", name)
		}
	}
	out, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		return nil, errors.New("its current context names no cluster or no user")
	}
	return out, nil
}

func foreign(u *clientcmdapi.AuthInfo) bool {
	return u.Exec != nil || u.AuthProvider != nil || u.ClientCertificate != "" || u.ClientKey != "" || u.TokenFile != ""
}
