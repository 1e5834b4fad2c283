//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/image"
	"github.com/slipway-dev/slipway/lab"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	clusterName = "home"
	namespace   = "monitoring"
	// toolsImage is a name that no registry is asked for, as those of servers are: the images are imported on the node.
	toolsImage = "lab.example/slipway:0.1.0"
	// oldConfig is the configuration of the old server on its machine.
	oldConfig = "/etc/prometheus/prometheus.yml"
	// scrapedTargets is how many targets both servers scrape.
	scrapedTargets = 200
	// historyBlocks are written before the old server starts, of a length that makes them historyDays together.
	historyBlocks = 6
	blockLength   = (historyDays*24 + 12) * time.Hour / historyBlocks
)

// house is a lab in which an old server runs on the first machine, and Slipway built a cluster of the other two.
type house struct {
	*env
	// old has the old server on its machine oldHost.
	old *hostPair
	// kube and set reach the cluster's API server, config says how.
	kube   client.Client
	set    kubernetes.Interface
	config *rest.Config
	// node is the worker's name in the cluster, worker its name in the lab, control that of the other machine.
	node, worker, control string
	// scraped is host:port of the targets, which the test itself is.
	scraped string
}

// newHouse builds the cluster while the history of the old server is made, starts the old server, and brings images to the worker.
func newHouse(t *testing.T, name string, history int64, images map[string]string) *house {
	t.Helper()
	h := &house{env: newEnv(t, name, lab.Spec{Machines: 3, DiskBytes: gib(8)})}
	h.old = &hostPair{t: t, lab: h.lab, bin: h.bin, home: t.TempDir()}
	h.approveAllBut(oldHost)
	h.allIdle(shortTime)
	h.slipway("cluster", "create", clusterName, "--workers", "1", "--profile", "lab", "--addons", "coredns")
	h.scraped = serveTargets(t, h.lab.Gateway())
	h.startOld(history)
	archives := h.archives(images)
	h.ready(installTime, clusterName)
	h.connectCluster()
	h.bringImages(archives)
	return h
}

// approveAllBut adds the machines of the lab to the pool, but for one.
func (h *house) approveAllBut(machine string) {
	h.t.Helper()
	text, err := h.lab.Manifests(lab.ManifestOptions{Namespace: "default", SecretName: "lab-key"})
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := h.lab.Machine(machine)
	if err != nil {
		h.t.Fatal(err)
	}
	var kept []string
	for _, doc := range strings.Split(text, "\n---\n") {
		if !strings.Contains(doc, "\n  name: "+m.Hostname+"\n") {
			kept = append(kept, doc)
		}
	}
	if out, err := h.try([]byte(strings.Join(kept, "\n---\n")), "machine", "add", "-f", "-"); err != nil {
		h.t.Fatalf("adding the machines: %v\n%s", err, out)
	}
}

// connectCluster opens the cluster, and finds its machines.
func (h *house) connectCluster() {
	h.t.Helper()
	h.kube = h.remote(clusterName)
	var err error
	if h.config, err = clientcmd.BuildConfigFromFlags("", filepath.Join(h.home, clusterName+".kubeconfig")); err != nil {
		h.t.Fatal(err)
	}
	if h.set, err = kubernetes.NewForConfig(h.config); err != nil {
		h.t.Fatal(err)
	}
	var nodes corev1.NodeList
	if err := h.kube.List(h.t.Context(), &nodes); err != nil {
		h.t.Fatalf("listing the nodes: %v", err)
	}
	for _, n := range nodes.Items {
		if _, control := n.Labels["node-role.kubernetes.io/control-plane"]; control {
			h.control = h.machineAt(&n)
		} else {
			h.node, h.worker = n.Name, h.machineAt(&n)
		}
	}
	if h.worker == "" || h.control == "" {
		h.t.Fatalf("%d nodes; want a control plane and a worker", len(nodes.Items))
	}
}

// machineAt is the lab's machine that has a node's address.
func (h *house) machineAt(n *corev1.Node) string {
	for _, m := range h.lab.Machines() {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP && a.Address == m.Address {
				return m.Name
			}
		}
	}
	h.t.Fatalf("no machine of the lab has an address of node %s", n.Name)
	return ""
}

// archives packs the tools image as a user does, and others with one program each: name of the image to the file of the program.
func (h *house) archives(programs map[string]string) (files []string) {
	h.t.Helper()
	dir := h.t.TempDir()
	tools := filepath.Join(dir, "slipway.tar")
	h.slipway("image", "build", "--output", tools, "--name", toolsImage, "--no-ca-certificates")
	files = append(files, tools)
	for reference, program := range programs {
		name := filepath.Base(program)
		made, err := image.New(image.Options{Reference: reference, Files: []image.File{{Path: "bin/" + name, Source: program, Mode: 0o755}},
			Entrypoint: []string{"/bin/" + name}, User: "65532:65532", CreatedBy: "a test"})
		if err != nil {
			h.t.Fatal(err)
		}
		file := filepath.Join(dir, name+".tar")
		if err := made.Write(file); err != nil {
			h.t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// bringImages imports archives on the worker.
func (h *house) bringImages(files []string) {
	h.t.Helper()
	for _, file := range files {
		name := filepath.Base(file)
		h.old.bring(h.worker, "/var/tmp", filepath.Dir(file), name)
		h.old.sh(h.worker, `/usr/local/bin/ctr -n k8s.io images import "/var/tmp/$1" >&2; rm "/var/tmp/$1"`, name)
	}
}

// serverImage is the name of the image of a server's version, whose last number is always 0.
func serverImage(version string) string { return "lab.example/prometheus:v" + version + ".0" }

// targetImages are those of the new server.
func targetImages(t *testing.T, version string) map[string]string {
	t.Helper()
	return map[string]string{serverImage(version): engine.Program(t, "prometheus-"+version, "prometheus")}
}

// serveTargets serves the targets that both servers scrape: counters that grow with time alone, so that any two scrapes of a
// second agree about the past.
func serveTargets(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		for i := range 10 {
			fmt.Fprintf(w, "tickets_total{n=\"%d\"} %d\n", i, time.Now().UnixMilli()*int64(i+1))
		}
	})}
	go func() { _ = web.Serve(l) }() // it ends with the test
	t.Cleanup(func() { _ = web.Close() })
	return l.Addr().String()
}

// oldConfiguration is what the old server scrapes and records.
func (h *house) oldConfiguration() string {
	var b strings.Builder
	b.WriteString("global:\n  scrape_interval: 2s\n  evaluation_interval: 2s\n  external_labels: {site: rack}\nrule_files: [rules/*.yml]\nscrape_configs:\n")
	b.WriteString("  - job_name: prometheus # itself\n    static_configs:\n      - targets: ['localhost:9090']\n")
	b.WriteString("  - job_name: tickets\n    static_configs:\n")
	for i := range scrapedTargets {
		fmt.Fprintf(&b, "      - targets: ['%s']\n        labels: {__metrics_path__: /%d, instance: ticket-%d}\n", h.scraped, i, i)
	}
	return b.String()
}

const oldRules = "groups:\n  - name: tickets\n    rules:\n      - record: job:tickets:rate10s\n        expr: sum by (job) (rate(tickets_total[10s]))\n"

// startOld makes the history and starts the old server on its machine. Blocks of its own have 15 seconds, so that a head is cut
// within a test.
func (h *house) startOld(history int64) {
	h.t.Helper()
	dir := h.t.TempDir()
	end := time.Now().Truncate(2 * time.Hour)
	for i := range historyBlocks {
		if err := writeBlock(h.t.Context(), dir, end.Add(-time.Duration(i+1)*blockLength).UnixMilli(), blockLength, history/historyBlocks); err != nil {
			h.t.Fatalf("making the history: %v", err)
		}
	}
	o := h.old
	o.sh(oldHost, `useradd --system --user-group --uid 901 --create-home prometheus && install -d -o prometheus -g prometheus "$@" && install -d /etc/prometheus/rules`, oldData)
	o.unit(oldHost, "prometheus", "prometheus", "")
	server := engine.Program(h.t, "prometheus-"+engine.Prometheus242, "prometheus")
	o.bring(oldHost, "/usr/local/bin", filepath.Dir(server), "prometheus")
	o.bring(oldHost, oldData, dir, ".")
	o.sh(oldHost, `chown -R prometheus:prometheus "$1"; sync`, oldData)
	o.put(oldHost, oldConfig, h.oldConfiguration())
	o.put(oldHost, "/etc/prometheus/rules/tickets.yml", oldRules)
	o.start(oldHost, "prometheus", "/usr/local/bin/prometheus", "--config.file="+oldConfig, "--storage.tsdb.path="+oldData, "--web.listen-address=0.0.0.0:9090",
		"--storage.tsdb.retention.time=60d", "--storage.tsdb.min-block-duration=15s", "--storage.tsdb.max-block-duration=2h")
	h.eventually(shortTime, "the old server answers", func() error { return ask(h.t.Context(), o.serverURL(), "count(up) > 1", false) })
}

// prepare makes the namespace, which enforces the restricted standard of pod security, and a volume on the worker.
func (h *house) prepare(volume string) {
	h.t.Helper()
	folder := "/srv/" + volume
	h.old.sh(h.worker, `install -d -m 755 "$1"`, folder) // of root, as an administrator makes it
	h.apply(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: volume}, Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("4Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain, StorageClassName: "local",
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{h.node}}}}}}},
		}},
	)
}

// apply makes objects in the cluster.
func (h *house) apply(objects ...client.Object) {
	h.t.Helper()
	for _, o := range objects {
		if err := h.kube.Create(h.t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			h.t.Fatalf("making %T %s: %v", o, o.GetName(), err)
		}
	}
}

// pods are those with labels in the namespace, the newest last.
func (h *house) pods(labels map[string]string) []corev1.Pod {
	h.t.Helper()
	var list corev1.PodList
	if err := h.kube.List(h.t.Context(), &list, client.InNamespace(namespace), client.MatchingLabels(labels)); err != nil {
		h.t.Fatalf("listing pods: %v", err)
	}
	return list.Items
}

// kill9 is kill -9 of the one container of a pod, on its node, by the container's own id.
func (h *house) kill9(pod *corev1.Pod) {
	h.t.Helper()
	if len(pod.Status.ContainerStatuses) == 0 {
		h.t.Fatalf("pod %s has no container", pod.Name)
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	h.old.sh(h.worker, `/usr/local/bin/ctr -n k8s.io tasks kill --signal SIGKILL "$1"`, id)
}

// users asks the users' Service once a second from start to end.
type users struct {
	load
	// whole is how many samples of the past every answer must be made of.
	whole string
	// old is a server that has the recent past, too; empty: it is not asked.
	old string
}

// compare has answers about the last minute held against those of a server; empty: against nothing.
func (u *users) compare(server string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.old = server
}

// recent asks how often a target was scraped lately: users must not see fewer, but for scrapes that come later on one of the servers.
func (u *users) recent(ctx context.Context, address string) error {
	u.mu.Lock()
	old := u.old
	u.mu.Unlock()
	if old == "" {
		return nil
	}
	query := fmt.Sprintf(`count_over_time(tickets_total{n="0",instance="ticket-7"}[40s] @ %d)`, time.Now().Add(-5*time.Second).Unix())
	want, err := value(ctx, old, query)
	if err != nil {
		return fmt.Errorf("asking the old server: %w", err)
	}
	got, err := value(ctx, address, query)
	if err == nil && fewer(got, want, 3) {
		err = fmt.Errorf("%s scrapes of the last minute, the old server has %s", got, want)
	}
	return err
}

// askUsers begins to ask at an address, with the number of samples that one series of the history has.
func (h *house) askUsers(address string) *users {
	h.t.Helper()
	u := &users{}
	h.eventually(shortTime, "the users' Service answers", func() (err error) {
		u.whole, err = value(h.t.Context(), address, pastQuery)
		return err
	})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-h.t.Context().Done():
				return
			case <-tick.C:
				u.once(h.t.Context(), address)
			}
		}
	}()
	return u
}

// fewer says that a number is smaller than another one by more than some.
func fewer(a, b string, by float64) bool {
	x, err := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err != nil || err2 != nil || x < y-by
}

// pastQuery counts the samples of the past of one series: an answer of less is a partial one.
const pastQuery = `count_over_time(size_bytes_bucket{le="10"}[40d])`

// once asks all questions; a connection that is refused, or does not come about within a second, may be tried again for five seconds.
func (u *users) once(ctx context.Context, address string) {
	began := time.Now()
	var err error
	for {
		var now, past string
		if now, err = value(ctx, address, `count(up{job="tickets"})`); err == nil {
			past, err = value(ctx, address, pastQuery)
		}
		if err == nil {
			err = u.recent(ctx, address)
		}
		if err == nil && (now != fmt.Sprint(scrapedTargets) || past != u.whole) {
			err = fmt.Errorf("%s targets and %s samples of the past, want %d and %s", now, past, scrapedTargets, u.whole)
		}
		var refused *net.OpError
		if err == nil || !errors.As(err, &refused) || refused.Op != "dial" || time.Since(began) > 5*time.Second {
			break
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if ctx.Err() != nil || u.down {
		return
	}
	u.asked++
	if err != nil {
		u.failures = append(u.failures, time.Now().UTC().Format("15:04:05 ")+err.Error())
	}
}

// value is the one number of an answer; a warning is an error.
func value(ctx context.Context, server, query string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/api/v1/query", strings.NewReader("query="+url.QueryEscape(query)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Each question has a connection of its own: one that is kept open stays with the server that it was opened to.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := readValue(query, resp.Body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", resp.Status, err)
	}
	return text, nil
}

// readValue is the one number of an answer.
func readValue(query string, answer io.Reader) (string, error) {
	var a struct {
		Status, Error string
		Warnings      []string
		Data          struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(answer).Decode(&a); err != nil {
		return "", err
	}
	if a.Status != "success" || len(a.Warnings) > 0 || len(a.Data.Result) != 1 {
		return "", fmt.Errorf("%s %s %s, warnings %q, %d results", query, a.Status, a.Error, a.Warnings, len(a.Data.Result))
	}
	return fmt.Sprint(a.Data.Result[0].Value[1]), nil
}

// sshKey is the key that lets into every machine of the lab.
func (h *house) sshKey() []byte {
	h.t.Helper()
	key, err := os.ReadFile(filepath.Join(h.lab.Dir(), "id_ed25519"))
	if err != nil {
		h.t.Fatal(err)
	}
	return key
}
