//go:build lab && long

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	migration "github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/workload"
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
	service string // address at which users ask
}

// TestMoveIntoCluster asks the operator to move the old server into the cluster, and approves what it waits for. On the way die the
// moving pod, twice, and the operator with its plane; the new server dies after the cutover. A user asks from start to end.
func TestMoveIntoCluster(t *testing.T) {
	h := &kindMove{house: newHouse(t, "e2e-into", 96<<20, targetImages(t))}
	h.prepare(moveVolume)
	m, err := h.lab.Machine(h.control)
	if err != nil {
		t.Fatal(err)
	}
	h.service = fmt.Sprintf("http://%s:%d", m.Address, usersPort)
	h.ask()
	users := h.askUsers(h.service)

	h.reach("blocks travel", func(s *migration.PrometheusMigrationStatus) bool {
		return s.Phase == migration.PhaseStage && s.Transfer != nil
	})
	h.kill9(h.running(workload.RoleMove))
	h.kill()
	h.start()
	h.reach("blocks are being installed", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseInstall })
	h.kill9(h.running(workload.RoleMove))
	h.reach("both were compared, before and after a restart, and a person is asked", func(s *migration.PrometheusMigrationStatus) bool {
		return conditionTrue(s.Conditions, migration.ConditionVerified) && slices.Contains(s.NeedsApproval, migration.ApprovalCutover)
	})
	h.approveWord(migration.ApprovalCutover)
	h.reach("users are with the new server", func(s *migration.PrometheusMigrationStatus) bool {
		return s.Phase == migration.PhaseObserve && s.Endpoint != nil && s.Endpoint.LeadsTo == migration.SideTarget
	})
	h.sameHistory()
	h.kill9(h.target())
	h.reach("users went back to the old server", func(s *migration.PrometheusMigrationStatus) bool { return s.Endpoint.LeadsTo == migration.SideSource })
	h.reach("and are with the new one again", func(s *migration.PrometheusMigrationStatus) bool { return s.Endpoint.LeadsTo == migration.SideTarget })
	h.approveWord(migration.ApprovalFinalize)
	h.reach("the move is final", func(s *migration.PrometheusMigrationStatus) bool { return s.Phase == migration.PhaseFinalized })
	h.sameHistory()
	asked, failures := users.result()
	t.Logf("users asked %d times", asked)
	if asked < 60 || len(failures) > 0 {
		t.Errorf("%d of %d questions of users went wrong:\n%s", len(failures), asked, strings.Join(failures, "\n"))
	}
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
    statefulSet:
      name: %s
      image: %s
      storage: {className: local, volumeName: %s, size: 4Gi}
      securityContext: {runAsUser: 1000, fsGroup: 2000}
      service: {type: NodePort, nodePort: %d}
  tools: {image: %s, imagePullPolicy: Never}
  transfer: {maxBytesPerSecond: 6Mi}
  coverage: {except: [prometheus]} # the old server's own metrics end with it
  observeForSeconds: 20
`, moveName, namespace, h.old.serverURL(), host.Address, host.Port, host.HostKey, newServer, serverImage, moveVolume, usersPort, toolsImage)
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

// sameHistory counts the raw samples of the time before the seam on the old server and as users get them.
func (h *kindMove) sameHistory() {
	h.t.Helper()
	m, err := h.migration()
	if err != nil || m.Status.Seam == nil {
		h.t.Fatalf("nobody knows the seam: %v", err)
	}
	if _, err := value(h.t.Context(), h.service, `count(prometheus_build_info{version=~"3[.].*"})`); err != nil {
		h.t.Errorf("users do not see the new server: %v", err)
	}
	// The status tells whole seconds.
	query := fmt.Sprintf(`sum(count_over_time({job=~"shop|tickets"}[20d] @ %d))`, m.Status.Seam.Unix())
	old, err := value(h.t.Context(), h.old.serverURL(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	now, err := value(h.t.Context(), h.service, query)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.t.Logf("%s samples before the seam on the old server, %s on the new one", old, now); old != now {
		h.t.Error("samples are missing, or are there twice")
	}
}
