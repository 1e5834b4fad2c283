//go:build plane

package plane_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/plane"
	"github.com/slipway-dev/slipway/plane/planetest"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	deadline      = 3 * time.Minute
	canary        = "canary-5f2b7c"
	supervisorDir = "PLANETEST_SUPERVISOR_DIR"
)

// TestMain makes this test binary a supervisor too, which tests start and kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(supervisorDir); dir != "" {
		if _, err := plane.Start(context.Background(), options(dir)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		select {}
	}
	os.Exit(m.Run())
}

// options do not wait for the disk: a killed process loses nothing that it has written, only a power cut does.
func options(dir string) plane.Options {
	return plane.Options{Dir: dir, Binaries: planetest.Binaries, CRDs: charts.CRDs, Volatile: true}
}

// run starts a plane; a test that has not stopped it by its end does so then.
func run(t *testing.T, dir string) *plane.Plane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	p, err := plane.Start(ctx, options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

func stop(t *testing.T, p *plane.Plane) {
	t.Helper()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, kubeconfig string) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c *kubernetes.Clientset, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"key": canary}}
	if _, err := c.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func mustHave(t *testing.T, c *kubernetes.Clientset, names ...string) {
	t.Helper()
	for _, name := range names {
		secret, err := c.CoreV1().Secrets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || string(secret.Data["key"]) != canary {
			t.Errorf("secret %s: %v, %q", name, err, secret.Data["key"])
		}
	}
}

// eventually waits for a condition with a deadline.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(deadline); !condition(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s until %s", deadline, what)
		}
	}
}

// processes are the pids that the register of a plane names now.
func processes(t *testing.T, dir string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "processes.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]struct{ PID int }
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for name, process := range recorded {
		out[name] = process.PID
	}
	return out
}

// running says whether a process exists and is no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return !strings.HasPrefix(after, " Z")
}

func TestStartStopStart(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	write(t, client(t, p.Kubeconfig()), "first")
	pids, state := processes(t, dir), p.State()
	if len(pids) != 3 {
		t.Errorf("the register names %v, want three programs", pids)
	}
	stop(t, p)
	for name, pid := range pids {
		if running(pid) {
			t.Errorf("%s still runs after Stop", name)
		}
	}
	p = run(t, dir)
	mustHave(t, client(t, p.Kubeconfig()), "first")
	if diff := cmp.Diff(state, p.State()); diff != "" {
		t.Errorf("id and ports change over a restart:\n%s", diff)
	}
}

func TestAPIIsClosed(t *testing.T) {
	p := run(t, t.TempDir())
	config := p.Config()
	config.CertFile, config.KeyFile = "", ""
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Discovery().ServerVersion(); !apierrors.IsUnauthorized(err) {
		t.Errorf("without a certificate: %v, want Unauthorized", err)
	}
	admin := client(t, p.Kubeconfig())
	eventually(t, "the service account exists", func() bool {
		_, err := admin.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	config = p.Config()
	config.CertFile, config.KeyFile = "", ""
	config.BearerToken = token(t, admin)
	if c, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a service account without a role reads Secrets: %v, want forbidden", err)
	}
}

func TestSecretsAreEncryptedAndFilesClosed(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	c := client(t, p.Kubeconfig())
	write(t, c, "first")
	open := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "open"}, Data: map[string]string{"key": "plain-" + "text-91c"}}
	if _, err := c.CoreV1().ConfigMaps("default").Create(t.Context(), open, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if public := strings.HasSuffix(path, ".crt"); info.Mode().Perm()&0o077 != 0 && !public && path != dir {
			t.Errorf("%s has mode %v: others can read it", path, info.Mode())
		}
		if entry.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		for _, word := range []string{canary, "plain-text-91c"} {
			found[word] = found[word] || strings.Contains(string(data), word)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found[canary] {
		t.Error("the value of a Secret can be read on the disk")
	}
	if !found["plain-text-91c"] {
		t.Error("the value of a ConfigMap cannot be found on the disk: this test sees nothing")
	}
}

func TestTwoPlanesSideBySide(t *testing.T) {
	first, second := run(t, t.TempDir()), run(t, t.TempDir())
	write(t, client(t, first.Kubeconfig()), "first")
	write(t, client(t, second.Kubeconfig()), "second")
	if _, err := client(t, second.Kubeconfig()).CoreV1().Secrets("default").Get(t.Context(), "first", metav1.GetOptions{}); err == nil {
		t.Error("the two planes share their data")
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	_, err := plane.Start(t.Context(), options(dir))
	if !errors.Is(err, plane.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second start: %v, want ErrLocked with the pid of the holder", err)
	}
	write(t, client(t, p.Kubeconfig()), "still-works")
}

func TestStartSaysWhyItFails(t *testing.T) {
	broken := options(t.TempDir())
	broken.Binaries = func(ctx context.Context, name string) (string, error) {
		if name == plane.APIServer {
			return "/bin/false", nil
		}
		return planetest.Binaries(ctx, name)
	}
	_, err := plane.Start(t.Context(), broken)
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver ended at its start") {
		t.Errorf("Start: %v, want the name of what failed", err)
	}
	for name, pid := range processes(t, broken.Dir) {
		t.Errorf("%s (%d) was left behind by a start that failed", name, pid)
	}
	p := run(t, broken.Dir) // and the directory is good for the next one
	write(t, client(t, p.Kubeconfig()), "works")
}

// TestPortTakenAtTheLastMoment takes a port between looking for a free one and starting the program.
func TestPortTakenAtTheLastMoment(t *testing.T) {
	late := options(t.TempDir())
	var taken net.Listener
	late.Binaries = func(ctx context.Context, name string) (string, error) {
		if name == plane.APIServer && taken == nil {
			state, err := plane.ReadState(late.Dir)
			if err != nil {
				return "", err
			}
			if taken, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", state.Ports.APIServer)); err != nil {
				return "", err
			}
		}
		return planetest.Binaries(ctx, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	p, err := plane.Start(ctx, late)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(context.Background()) }()
	defer func() { _ = taken.Close() }()
	if p.State().Ports.APIServer == taken.Addr().(*net.TCPAddr).Port {
		t.Error("the port that was taken is still named")
	}
	write(t, client(t, p.Kubeconfig()), "works")
}

func TestKilledChildComesBack(t *testing.T) {
	dir := t.TempDir()
	p := run(t, dir)
	c := client(t, p.Kubeconfig())
	for i, name := range []string{plane.Etcd, plane.APIServer, plane.ControllerManager} {
		var before map[string]int
		eventually(t, "all children run", func() bool { // the API server ends with etcd and comes back
			before = processesIfAny(t, dir)
			return before[name] > 1
		})
		secret := fmt.Sprintf("before-%d", i)
		write(t, c, secret)
		if err := syscall.Kill(before[name], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is back", func() bool {
			pid, ok := processes(t, dir)[name]
			return ok && pid != before[name]
		})
		eventually(t, "the API is ready after "+name+" died", func() bool {
			_, err := c.CoreV1().Secrets("default").Get(t.Context(), secret, metav1.GetOptions{})
			return err == nil
		})
		mustHave(t, c, secret)
	}
	checkControllers(t, c)
}

// checkControllers deletes a namespace: only a controller manager that works makes it go away.
func checkControllers(t *testing.T, c *kubernetes.Clientset) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "leaving"}}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CoreV1().Namespaces().Delete(t.Context(), "leaving", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func() bool {
		_, err := c.CoreV1().Namespaces().Get(t.Context(), "leaving", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	var names []string
	// The delays are where in its start the supervisor dies; 0 is once it is ready.
	for i, delay := range []time.Duration{0, 5 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond, 2 * time.Second} {
		supervisor, ready := superviseElsewhere(t, dir)
		if delay == 0 {
			<-ready
			name := fmt.Sprintf("secret-%d", i)
			write(t, client(t, filepath.Join(dir, "kubeconfig")), name)
			names = append(names, name)
		} else {
			select {
			case <-ready:
			case <-time.After(delay): // the moment of the kill is what is tested, nothing is waited for
			}
		}
		left := processesIfAny(t, dir)
		if err := supervisor.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = supervisor.Wait()
		for name, pid := range left {
			eventually(t, name+" died with its supervisor", func() bool { return !running(pid) })
		}
	}
	p := run(t, dir)
	mustHave(t, client(t, p.Kubeconfig()), names...)
}

func processesIfAny(t *testing.T, dir string) map[string]int {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "processes.json")); err != nil {
		return nil
	}
	return processes(t, dir)
}

// superviseElsewhere runs a plane in a process of its own; the channel is closed when it is ready.
func superviseElsewhere(t *testing.T, dir string) (*exec.Cmd, <-chan struct{}) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^$")
	command.Env = append(os.Environ(), supervisorDir+"="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	ready := make(chan struct{})
	go func() {
		defer close(ready)
		buffer := make([]byte, 4096)
		n, _ := output.Read(buffer)
		if text := string(buffer[:n]); n > 0 && !strings.HasPrefix(text, "ready") {
			t.Errorf("the supervisor says: %s", text)
		}
	}()
	return command, ready
}

func token(t *testing.T, c *kubernetes.Clientset) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	answer, err := c.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.Token
}
