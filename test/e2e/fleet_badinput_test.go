//go:build lab

package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/lab"
)

// deploymentYAML is a good deployment; cases replace a part of it.
const deploymentYAML = `apiVersion: fleet.slipway.dev/v1alpha1
kind: ClusterDeployment
metadata: {name: NAME, namespace: default}
spec:
  kubernetes: {version: v1.36.3}
  etcd: {topology: Colocated}
  network: {plugin: flannel, podCIDRs: [10.244.0.0/16], serviceCIDRs: [10.96.0.0/16]}
  apiEndpoint: {type: Direct, name: api.bad.example}
  os: {profile: lab}
  controlPlane: {replicas: 1}
  workers: [{name: general, replicas: 1}]
`

// TestBadInput gives wrong wishes and wrong hosts; each is refused, or reported by name with what to do, and nothing is started.
func TestBadInput(t *testing.T) {
	e := newEnv(t, "e2e-bad", lab.Spec{Machines: 7, WithoutPython: 1, DiskBytes: gib(8)})
	t.Run("wishes", func(t *testing.T) { badWishes(t, e) })
	t.Run("hosts", func(t *testing.T) { badHosts(t, e) })
	t.Run("too few machines", func(t *testing.T) { tooFew(t, e) })
	if ops := e.operations(); len(ops) != 0 {
		t.Errorf("%d operations were started", len(ops))
	}
}

func badWishes(t *testing.T, e *env) {
	for name, c := range map[string]struct{ old, new, says string }{
		"a version with a typo":         {"v1.36.3", "1.36.3", "spec.kubernetes.version"},
		"a version without a bundle":    {"v1.36.3", "v1.63.3", "v1.36.3"},
		"overlapping ranges":            {"10.96.0.0/16", "10.244.128.0/17", "overlap"},
		"an even count of etcd members": {"etcd: {topology: Colocated}", "etcd: {topology: External, machines: {replicas: 2}}", "must be 1, 3 or 5"},
		"an unknown field of the kubelet": {"kubernetes: {version: v1.36.3}", "kubernetes: {version: v1.36.3, componentConfigs: {kubelet: {maxPod: 200}}}",
			"maxPods"},
		"a removed flag": {"kubernetes: {version: v1.36.3}",
			"kubernetes: {version: v1.36.3, componentConfigs: {clusterConfiguration: {apiServer: {extraArgs: [{name: insecure-port, value: \"0\"}]}}}}", "insecure-port"},
		"an unknown addon": {"  workers:", "  addons: [{name: core-dns}]\n  workers:", "coredns"},
	} {
		t.Run(name, func(t *testing.T) {
			id := "bad-" + strings.ReplaceAll(strings.Fields(name)[len(strings.Fields(name))-1], " ", "")
			text := strings.Replace(strings.Replace(deploymentYAML, c.old, c.new, 1), "NAME", id, 1)
			out, err := e.try([]byte(text), "cluster", "create", "-f", "-", "--wait", "--timeout", "30s")
			if err == nil || !strings.Contains(out, c.says) {
				t.Errorf("it said (error %v):\n%s\nwant an error with %q", err, out, c.says)
			}
			_, _ = e.try(nil, "cluster", "delete", id, "--yes", "--wait", "--timeout", "30s") // not there when it was refused at admission
		})
	}
}

// badHosts spoils one machine each and looks at what the pool says of it.
func badHosts(t *testing.T, e *env) {
	e.approve()
	names := map[string]string{}
	for i, m := range e.lab.Machines() {
		names[fmt.Sprint(i+1)] = m.Hostname
	}
	good := ""
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name, machine, says string
		spoil               func(ctx context.Context, machine string)
	}{
		{"host with leftovers of another cluster", names["1"], "LeftoversFound", func(ctx context.Context, m string) {
			must(e.lab.Exec(ctx, m, "mkdir", "-p", "/etc/kubernetes/manifests", "/var/lib/etcd/member"))
		}},
		{"host without space", names["2"], "NoSpace", func(ctx context.Context, m string) { must(nil, e.lab.FillDisk(ctx, m, 64<<20)) }},
		{"clock off by a minute", names["3"], "ClockSkew", func(ctx context.Context, m string) { must(nil, e.lab.SetClock(ctx, m, time.Minute)) }},
		{"unreachable host", names["4"], "Unreachable", func(ctx context.Context, m string) { must(nil, e.lab.PowerOff(ctx, m)) }},
		{"changed host key", names["5"], "HostKeyChanged", func(ctx context.Context, m string) { changeHostKey(e, m) }},
		{"host without Python", "", "NoPython", func(context.Context, string) {}},
	}
	for _, m := range e.lab.Machines() { // the last one with Python stays as it is
		if !m.Python {
			cases[5].machine = m.Hostname
		} else {
			good = m.Hostname
		}
	}
	for i := range cases {
		cases[i].spoil(t.Context(), cases[i].machine)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { reported(t, e, c.machine, c.says) })
	}
	t.Run("wrong SSH key", func(t *testing.T) { wrongKey(t, e, good) })
	t.Run("sudo without rights", func(t *testing.T) { noSudo(t, e, good) })
	t.Run("the same address twice", func(t *testing.T) { twice(t, e, good) })
}

// reported asks for a new inspection and waits until the machine says what is wrong, and what to do.
func reported(t *testing.T, e *env, machine, says string) {
	e.slipway("machine", "release", machine)
	e.eventually(shortTime, machine+" says "+says, func() error {
		m, err := e.machine(machine)
		if err != nil {
			return err
		}
		for _, c := range m.Status.Conditions {
			if c.Status == metav1.ConditionFalse && c.Reason == says && len(c.Message) > 20 && !conditionTrue(m.Status.Conditions, v1alpha1.ConditionReady) {
				t.Logf("%s: %s", c.Reason, c.Message)
				return nil
			}
		}
		return fmt.Errorf("%s is %s: %+v", machine, m.Status.Phase, m.Status.Conditions)
	})
}

func changeHostKey(e *env, machine string) {
	var m *v1alpha1.Machine
	e.eventually(shortTime, "the host key is pinned", func() error {
		var err error
		if m, err = e.machine(machine); err == nil && m.Spec.HostKey == "" {
			err = errors.New("no key yet")
		}
		return err
	})
	if _, err := e.lab.Exec(e.t.Context(), machine, "sh", "-c", "rm -f /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && (systemctl restart ssh || true)"); err != nil {
		e.t.Fatal(err)
	}
}

func wrongKey(t *testing.T, e *env, machine string) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "wrong"}, Type: corev1.SecretTypeSSHAuth,
		Data: map[string][]byte{corev1.SSHAuthPrivateKey: pem.EncodeToMemory(block)}}
	if err := e.client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	other(t, e, machine, "wrong-key", "AuthenticationFailed", func(m *v1alpha1.Machine) { m.Spec.SSHKeySecretName = "wrong" })
}

func noSudo(t *testing.T, e *env, machine string) {
	key := "install -d -m 700 -o guest /home/guest/.ssh && cp /root/.ssh/authorized_keys /home/guest/.ssh/ && chown guest /home/guest/.ssh/authorized_keys"
	if _, err := e.lab.Exec(t.Context(), machine, "sh", "-c", "useradd -m guest && "+key); err != nil {
		t.Fatal(err)
	}
	other(t, e, machine, "no-sudo", "NoSudo", func(m *v1alpha1.Machine) { m.Spec.User = "guest" })
}

func twice(t *testing.T, e *env, machine string) {
	other(t, e, machine, "twin", "DuplicateHost", func(*v1alpha1.Machine) {})
}

// other adds a second Machine for a host, changed, and waits for what it says.
func other(t *testing.T, e *env, machine, name, says string, change func(*v1alpha1.Machine)) {
	old, err := e.machine(machine)
	if err != nil {
		t.Fatal(err)
	}
	if says != "DuplicateHost" { // the same host twice would hide what is looked for
		if err := e.client.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		e.eventually(shortTime, "the machine is gone", func() error {
			if _, err := e.machine(machine); err == nil {
				return errors.New("it is there")
			}
			return nil
		})
	}
	m := &v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: *old.Spec.DeepCopy()}
	m.Spec.ClaimRef, m.Spec.Quarantine, m.Spec.HostKey = nil, nil, ""
	change(m)
	if err := e.client.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	reported(t, e, name, says)
	if err := e.client.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if says != "DuplicateHost" {
		again := &v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: machine}, Spec: old.Spec}
		if err := e.client.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		e.phase(shortTime, machine, v1alpha1.MachineIdle)
	}
}

// tooFew wants more workers than the pool has; the message says how many are missing and why the others do not fit.
func tooFew(t *testing.T, e *env) {
	text := strings.Replace(strings.Replace(deploymentYAML, "NAME", "huge", 1), "replicas: 1}]", "replicas: 50}]", 1)
	text = strings.Replace(text, "controlPlane: {replicas: 1}", "controlPlane: {replicas: 1, selector: {matchLabels: {pool: nowhere}}}", 1) // so nothing can start
	if out, err := e.try([]byte(text), "cluster", "create", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	e.eventually(shortTime, "the deployment says what is missing", func() error {
		d, err := e.deployment("huge")
		if err != nil {
			return err
		}
		text := conditionText(d.Status.Conditions, v1alpha1.ConditionMachinesClaimed)
		if !strings.Contains(text, "of 50") || !strings.Contains(text, "pool=nowhere") {
			return errors.New(text)
		}
		t.Log(text)
		return nil
	})
	e.slipway("cluster", "delete", "huge", "--yes")
	e.gone(cleanTime, "huge")
}
