//go:build lab

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	migration "github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/workload"
	"github.com/slipway-dev/slipway/test/engine"
)

const (
	moveName   = "rack"
	newServer  = "prometheus-rack"
	usersPort  = 30090
	moveVolume = "rack-data"
)

// kindMove is a move that a person asks for with a PrometheusMigration.
type kindMove struct {
	*house
	into    string // of spec.target, what the old server moves into
	service string // address at which users ask
	began   time.Time
	mu      sync.Mutex
	lines   []string // what was seen of the status, when
}

// TestMoveIntoCluster asks the operator to move the old server into the cluster, and approves what it waits for. On the way die the agent on the
// old host, the moving pod, twice, the new server, and the operator with its plane; after the cutover the new server's pod is taken away. A user
// asks from start to end.
func TestMoveIntoCluster(t *testing.T) { moveIntoCluster(t, engine.Prometheus316, false) }

// moveIntoCluster may also take the power of the new server's node after the cutover.
func moveIntoCluster(t *testing.T, version string, power bool) {
	t.Helper()
	h := &kindMove{house: newHouse(t, "e2e-into", 48<<20, targetImages(t, version)), into: fmt.Sprintf(`statefulSet:
      name: %s
      image: %s
      storage: {className: local, volumeName: %s, size: 4Gi}
      securityContext: {runAsUser: 1000, fsGroup: 2000}
      service: {type: NodePort, nodePort: %d}`, newServer, serverImage(version), moveVolume, usersPort)}
	if version == engine.Prometheus255 {
		h.into += "\n  overrides: [target_version_loses_nothing] # every 2.x is refused for the defects that 3.16 mended"
	}
	h.prepare(moveVolume)
	m, err := h.lab.Machine(h.control)
	if err != nil {
		t.Fatal(err)
	}
	h.service = fmt.Sprintf("http://%s:%d", m.Address, usersPort)
	h.ask()
	h.follow()
	users := h.askUsers(h.service)
	users.compare(h.old.serverURL())

	h.reach("blocks travel", func(s *migration.PrometheusMigrationStatus) bool {
		return s.Phase == migration.PhaseStage && s.Transfer != nil
	})
	h.agentDies()
	h.kill9(h.running(workload.RoleMove))
	h.kill()
	h.start()
	h.reach("blocks are being installed", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseInstall })
	h.kill9(h.running(workload.RoleMove))
	h.kill9(h.target())
	h.sameHistory("while blocks are installed")
	h.reach("all blocks are there", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseVerify })
	h.sameHistory("when all are")
	h.reach("both were compared, before and after a restart, and a person is asked", func(s *migration.PrometheusMigrationStatus) bool {
		return conditionTrue(s.Conditions, migration.ConditionVerified) && slices.Contains(s.NeedsApproval, migration.ApprovalCutover)
	})
	h.sameHistory("after the restart")
	h.approveWord(migration.ApprovalCutover)
	h.leads(migration.SideTarget)
	h.sameHistory("after the cutover")
	h.takeAway(h.target())
	h.leads(migration.SideSource)
	h.leads(migration.SideTarget)
	h.sameHistory("after the new server's pod was taken away")
	h.noHole()
	if power {
		h.powerCut()
		h.sameHistory("after the node's power was cut")
		h.noHole()
	}
	users.compare("") // from here on it is seen that nobody asks the old server
	h.reach("nothing but a person is waited for", func(s *migration.PrometheusMigrationStatus) bool {
		return slices.Contains(s.NeedsApproval, migration.ApprovalFinalize)
	})
	h.approveWord(migration.ApprovalFinalize)
	h.reach("the move is final", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseFinalized })
	h.sameHistory("in the end")
	asked, failures := users.result()
	t.Logf("users asked %d times", asked)
	if asked < 60 || len(failures) > 0 {
		t.Errorf("%d of %d questions of users went wrong:\n%s", len(failures), asked, strings.Join(failures, "\n"))
	}
}

// follow notes what a person would see of the status, as it changes, and prints it in the end with the time that each took.
func (h *kindMove) follow() {
	h.began = time.Now()
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		last := ""
		for {
			select {
			case <-h.t.Context().Done():
				return
			case <-tick.C:
			}
			m, err := h.migration()
			if err != nil {
				continue // the plane is away for a while
			}
			s := &m.Status
			text := fmt.Sprintf("%-12s %s", s.Phase, conditionText(s.Conditions, migration.ConditionProgressing))
			if e := s.Endpoint; e != nil {
				text += fmt.Sprintf(" [users: %s %s]", e.LeadsTo, e.Reason)
			}
			if now := number.ReplaceAllString(text, "#"); now != last {
				last = now
				h.note(text)
			}
		}
	}()
	h.t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.t.Logf("the move as a person sees it:\n%s", strings.Join(h.lines, "\n"))
		events, _ := h.try(nil, "kubectl", "get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp")
		columns, _ := h.try(nil, "kubectl", "get", "pmig", "-n", namespace, "-o", "wide")
		h.t.Logf("%s\n%s", columns, events)
	})
}

// number is what changes in a text while it says the same.
var number = regexp.MustCompile(`[0-9]+`)

func (h *kindMove) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf("%s %5.1f s  %s", time.Now().UTC().Format(time.TimeOnly), time.Since(h.began).Seconds(), text))
}

// agentDies is kill -9 of the agent on the old host.
func (h *kindMove) agentDies() {
	h.t.Helper()
	h.note("--- the agent on the old host is killed")
	h.eventually(shortTime, "the agent runs on the old host", func() error {
		_, err := h.old.try(oldHost, `n=0; for p in /proc/[0-9]*; do case "$(readlink "$p/exe" || :)" in
			*/slipway-agent*) kill -9 "${p#/proc/}"; n=1;; esac; done; test $n = 1`)
		return err
	})
}

// takeAway deletes a pod as kubectl delete --force does.
func (h *kindMove) takeAway(pod *corev1.Pod) {
	h.t.Helper()
	h.note("--- pod " + pod.Name + " is taken away")
	if err := h.kube.Delete(h.t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		h.t.Fatal(err)
	}
}

// powerCut takes the power of the new server's node, and gives it back when users are with the old server.
func (h *kindMove) powerCut() {
	h.t.Helper()
	h.note("--- the node of the new server has no power")
	if err := h.lab.PowerOff(h.t.Context(), h.worker); err != nil {
		h.t.Fatal(err)
	}
	h.leads(migration.SideSource)
	h.note("--- it has power again")
	if err := h.lab.PowerOn(h.t.Context(), h.worker); err != nil {
		h.t.Fatal(err)
	}
	h.leads(migration.SideTarget)
}

// noHole looks for times without a sample behind the seam, up to where the status says that there is none.
func (h *kindMove) noHole() {
	h.t.Helper()
	m, err := h.migration()
	if err != nil || m.Status.Seam == nil || m.Status.End == nil {
		h.t.Fatalf("nobody knows seam and end: %v", err)
	}
	// At how many times, two seconds apart, had the worst target been scraped in the last twelve?
	end := m.Status.End.Unix()
	query := fmt.Sprintf(`min(count_over_time(count_over_time(tickets_total{n="0"}[12s])[%ds:2s] @ %d))`, end-m.Status.Seam.Unix(), end)
	old, err := value(h.t.Context(), h.old.serverURL(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	now := h.targetValue(query)
	h.t.Logf("from the seam to %s, in %s times of two seconds there are samples on the old server, in %s on the new one", m.Status.End.UTC().Format(time.TimeOnly), old, now)
	if fewer(now, old, 1) {
		h.t.Error("a hole is not filled")
	}
}

// leads waits until users are led to a side.
func (h *kindMove) leads(side migration.Side) {
	h.t.Helper()
	h.reach("users are led to the "+string(side), func(s *migration.PrometheusMigrationStatus) bool {
		return s.Phase == migration.PhaseObserve && s.Endpoint != nil && s.Endpoint.LeadsTo == side
	})
}

// ask makes what a person makes: access to the cluster and the old host, a copy of the old configuration, and the migration.
func (h *kindMove) ask() {
	h.t.Helper()
	host, err := h.lab.Machine(oldHost)
	if err != nil {
		h.t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(filepath.Join(h.home, clusterName+".kubeconfig"))
	if err != nil {
		h.t.Fatal(err)
	}
	key := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "rack-key", Namespace: namespace}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: h.sshKey()}}
	h.apply(key.DeepCopy()) // the pods mount it
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, key,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "home", Namespace: namespace}, Data: map[string][]byte{"kubeconfig": kubeconfig}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "rack-config", Namespace: namespace},
			Data: map[string]string{"prometheus.yml": h.oldConfiguration(), "rules--tickets.yml": oldRules}},
	} {
		if err := h.client.Create(h.t.Context(), o); err != nil {
			h.t.Fatalf("making %T %s: %v", o, o.GetName(), err)
		}
	}
	spec := fmt.Sprintf(`
apiVersion: migration.slipway.dev/v1alpha1
kind: PrometheusMigration
metadata: {name: %s, namespace: %s}
spec:
  source:
    url: %q
    host: {address: %s, port: %d, user: root, sshKeySecretName: rack-key, knownHostKey: %q}
    config: {configMapName: rack-config}
  target:
    kubeconfigSecretName: home
    %s
  tools: {image: %s, imagePullPolicy: Never}
  transfer: {maxBytesPerSecond: 4Mi}
  observeForSeconds: 20
`, moveName, namespace, h.old.serverURL(), host.Address, host.Port, host.HostKey, h.into, toolsImage)
	if out, err := h.try([]byte(spec), "kubectl", "apply", "-f", "-"); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
}

func (h *kindMove) migration() (*migration.PrometheusMigration, error) {
	var m migration.PrometheusMigration
	err := h.client.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: moveName}, &m)
	return &m, err
}

// reach waits until the status says what is waited for.
func (h *kindMove) reach(what string, is func(*migration.PrometheusMigrationStatus) bool) {
	h.t.Helper()
	began := time.Now()
	h.eventually(6*shortTime, what, func() error {
		m, err := h.migration()
		if err != nil {
			return err
		}
		s := &m.Status
		if is(s) {
			return nil
		}
		text := fmt.Sprintf("%s: %s; waits %q, stop %v", s.Phase, conditionText(s.Conditions, migration.ConditionProgressing), s.Waits, s.Stop)
		return errors.New(text)
	})
	h.t.Logf("%s %3.0f s: %s", time.Now().UTC().Format(time.TimeOnly), time.Since(began).Seconds(), what)
}

// approveWord adds a word to spec.approved.
func (h *kindMove) approveWord(word migration.Approval) {
	h.t.Helper()
	m, err := h.migration()
	if err != nil {
		h.t.Fatal(err)
	}
	before := m.DeepCopy()
	m.Spec.Approved = append(m.Spec.Approved, word)
	if err := h.client.Patch(h.t.Context(), m, client.MergeFrom(before)); err != nil {
		h.t.Fatal(err)
	}
}

// target is the new server's pod.
func (h *house) target() *corev1.Pod {
	h.t.Helper()
	var pod corev1.Pod
	if err := h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: newServer + "-0"}, &pod); err != nil {
		h.t.Fatal(err)
	}
	return &pod
}

// running is the pod of a role that runs.
func (h *house) running(role workload.Role) *corev1.Pod {
	h.t.Helper()
	for _, p := range h.pods(map[string]string{workload.LabelName: moveName, workload.LabelRole: string(role)}) {
		if p.Status.Phase == corev1.PodRunning {
			return &p
		}
	}
	h.t.Fatalf("no pod of role %s runs", role)
	return nil
}

// sameHistory counts the raw samples of the time before the seam on the old server, on the new one, and as users get them.
func (h *kindMove) sameHistory(when string) {
	h.t.Helper()
	m, err := h.migration()
	if err != nil || m.Status.Seam == nil {
		h.t.Fatalf("nobody knows the seam: %v", err)
	}
	// The status tells whole seconds.
	var counts []string
	for _, name := range []string{"queue_seconds", "latency_seconds", "requests_total", "size_bytes_bucket", "tickets_total"} {
		counts = append(counts, fmt.Sprintf("sum(count_over_time(%s[40d] @ %d))", name, m.Status.Seam.Unix()))
	}
	query := strings.Join(counts, " + ")
	old, err := value(h.t.Context(), h.old.serverURL(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	now, err := value(h.t.Context(), h.service, query)
	if err != nil {
		h.t.Fatal(err)
	}
	if e := m.Status.Endpoint; e != nil && e.LeadsTo == migration.SideTarget {
		if _, err := value(h.t.Context(), h.service, `count(prometheus_build_info{version!~"2[.]42[.].*"})`); err != nil {
			h.t.Errorf("%s: users do not see the new server: %v", when, err)
		}
	}
	target := h.targetValue(query)
	if h.t.Logf("%s: %s samples before the seam on the old server, %s on the new one, %s as users get them", when, old, target, now); old != now || old != target {
		h.t.Error("samples are missing, or are there twice")
	}
}

// targetValue asks the new server itself, through the API server, until it answers: it may be on its way back.
func (h *kindMove) targetValue(query string) (text string) {
	h.t.Helper()
	h.eventually(shortTime, "the new server answers", func() error {
		ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
		defer cancel()
		body, err := h.set.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name(newServer+"-0:9090").SubResource("proxy").
			Suffix("api/v1/query").Param("query", query).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("%w: %s", err, body)
		}
		text, err = readValue(query, bytes.NewReader(body))
		return err
	})
	return text
}
