//go:build plane

package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/plane"
)

const planeDeadline = 3 * time.Minute

// slipway is this program, built for the test, with a home of its own.
type slipway struct {
	t    *testing.T
	path string
	home upHome
}

// programVariable names the program that TestMain has built.
const programVariable = "SLIPWAY_TEST_PROGRAM"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "slipway-cli-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "slipway")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/slipway").CombinedOutput(); err != nil {
		fmt.Printf("building slipway: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(programVariable, path); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// newSlipway gives the program a home of its own, and stops what runs there at the test's end.
func newSlipway(t *testing.T) *slipway {
	t.Helper()
	s := &slipway{t, os.Getenv(programVariable), upHome(t.TempDir())}
	t.Cleanup(func() {
		if _, err := s.try(context.Background(), "down"); err != nil {
			t.Errorf("stopping what the test started: %v", err)
		}
	})
	return s
}

func (s *slipway) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.path, args...)
	cmd.Env = append(os.Environ(), "SLIPWAY_HOME="+string(s.home))
	return cmd
}

func (s *slipway) try(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, planeDeadline)
	defer cancel()
	out, err := s.command(ctx, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("slipway %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (s *slipway) run(args ...string) string {
	s.t.Helper()
	out, err := s.try(s.t.Context(), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *slipway) client() client.Client {
	s.t.Helper()
	cl, err := (&connection{kubeconfig: filepath.Join(s.home.plane(), "kubeconfig")}).client()
	if err != nil {
		s.t.Fatal(err)
	}
	return cl
}

// mustBeGone waits until no program of the plane runs; they die with their supervisor, a moment later.
func (s *slipway) mustBeGone() {
	s.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-ticker.C {
		programs, err := plane.Programs(s.t.Context(), s.home.plane())
		if os.IsNotExist(err) || strings.Contains(fmt.Sprint(err), "no such file") {
			return // it died before there was a plane
		}
		if err != nil {
			s.t.Fatal(err)
		}
		var left []string
		for _, p := range programs {
			if p.Running {
				left = append(left, p.Name)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%v outlive their supervisor", left)
		}
	}
}

func TestUpAndDown(t *testing.T) {
	s := newSlipway(t)
	out := s.run("up", "--detach", "--executor", "simulated")
	if !strings.Contains(out, "is running") || !strings.Contains(out, s.home.plane()) {
		t.Errorf("up says: %s", out)
	}
	if out := s.run("up"); !strings.Contains(out, "is running") {
		t.Errorf("a second up says: %s", out)
	}
	if out, err := s.try(t.Context(), "up", "--executor", "process"); err == nil || !strings.Contains(out, "slipway down") {
		t.Errorf("a second up with another executor: %v %s", err, out)
	}
	if out := s.run("plane", "status"); strings.Count(out, "ready (process") != 3 {
		t.Errorf("status says: %s", out)
	}
	var made corev1.Namespace
	if err := s.client().Get(t.Context(), client.ObjectKey{Name: v1alpha1.FreezeNamespace}, &made); err != nil {
		t.Errorf("the operator does not run: %v", err)
	}
	s.run("down")
	s.mustBeGone()
	if out := s.run("down"); !strings.Contains(out, "does not run") {
		t.Errorf("a second down says: %s", out)
	}
}

func TestUpInTheForegroundEndsWithCtrlC(t *testing.T) {
	s := newSlipway(t)
	cmd := s.command(t.Context(), "up", "--executor", "simulated")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitStarted()
	if _, err := s.home.waitReady(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "Stopped") {
		t.Errorf("ctrl-C: %v\n%s", err, &out)
	}
	s.mustBeGone()
}

// waitStarted waits until a `slipway up` has written its state.
func (s *slipway) waitStarted() {
	s.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(planeDeadline); time.Now().Before(end); <-ticker.C {
		if _, running, err := s.home.running(); err == nil && running {
			return
		}
	}
	s.t.Fatal("slipway up does not start")
}

// TestUpAfterKill kills it at moments of its start and once it is ready; the next up just works and nothing is lost.
func TestUpAfterKill(t *testing.T) {
	s := newSlipway(t)
	s.run("up", "--detach", "--executor", "simulated")
	machine := &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"},
		Spec:       v1alpha1.MachineSpec{Address: "198.18.0.1", SSHKeySecretName: "key"},
	}
	if err := s.client().Create(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	s.kill()
	for _, delay := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second} {
		cmd := s.command(t.Context(), "up", "--executor", "simulated")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(delay) // the moment of the kill is what is tested, nothing is waited for
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		s.mustBeGone()
	}
	s.run("up", "--detach", "--executor", "simulated")
	if err := s.client().Get(t.Context(), client.ObjectKeyFromObject(machine), machine); err != nil {
		t.Errorf("what was written before the kills: %v", err)
	}
}

func (s *slipway) kill() {
	s.t.Helper()
	state, running, err := s.home.running()
	if err != nil || !running {
		s.t.Fatalf("nothing to kill: %v", err)
	}
	if err := state.Process.End(s.t.Context(), syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.mustBeGone()
}

func TestBackupAndRestoreOfAFleet(t *testing.T) {
	s := newSlipway(t)
	s.run("up", "--detach", "--executor", "simulated")
	machine := &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"},
		Spec:       v1alpha1.MachineSpec{Address: "198.18.0.1", SSHKeySecretName: "key"},
	}
	if err := s.client().Create(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	uid := machine.UID
	file := filepath.Join(t.TempDir(), "backup")
	s.run("plane", "backup", "--file", file)
	if out, err := s.try(t.Context(), "plane", "restore", "--file", file); err == nil || !strings.Contains(out, "slipway down") {
		t.Errorf("restoring into a running one: %v %s", err, out)
	}
	s.run("down")
	if out, err := s.try(t.Context(), "plane", "restore", "--file", file); err == nil || !strings.Contains(out, "never overwritten") {
		t.Errorf("restoring over a plane: %v %s", err, out)
	}
	if err := os.RemoveAll(s.home.plane()); err != nil { // the disk dies
		t.Fatal(err)
	}
	s.run("plane", "restore", "--file", file)
	if out := s.run("up", "--detach", "--executor", "simulated"); !strings.Contains(out, "was restored") {
		t.Errorf("up after the restore says: %s", out)
	}
	if err := s.client().Get(t.Context(), client.ObjectKeyFromObject(machine), machine); err != nil || machine.UID != uid {
		t.Errorf("the machine after the restore: %v, uid %s, want %s", err, machine.UID, uid)
	}
}

func TestOperatorOnAnExistingCluster(t *testing.T) {
	s := newSlipway(t)
	p, err := plane.Start(t.Context(), plane.Options{Dir: s.home.plane(), Binaries: binaries(os.Stderr)}) // no CRDs
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(context.WithoutCancel(t.Context())) }()
	cmd := s.command(t.Context(), "operator", "--kubeconfig", p.Kubeconfig(), "--executor", "simulated", "--install-crds", "--controllers", "machine", "--log-level", "debug")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	started := func(text string) bool {
		return strings.Contains(text, "The operator runs against") && strings.Contains(text, "controller=machine ")
	}
	for lines := bufio.NewScanner(out); !started(seen.String()) && lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
	}
	if text := seen.String(); !strings.Contains(text, "controller=machine ") || strings.Contains(text, "controller=addons") {
		t.Errorf("another choice of controllers runs:\n%s", text)
	}
	if err := s.client().List(t.Context(), &v1alpha1.MachineList{}); err != nil {
		t.Errorf("the definitions are not installed: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(&seen, out)
	if err := cmd.Wait(); err != nil || !strings.Contains(seen.String(), "The operator runs against") {
		t.Errorf("operator: %v\n%s", err, seen.String())
	}
}
