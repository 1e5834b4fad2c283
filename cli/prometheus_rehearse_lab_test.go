//go:build lab

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/test/engine"
)

// firstStart starts a real server as a user, as people do at first: in a directory of the volume, with its default path of the data. It
// returns what the server said when it ended or became ready.
func firstStart(t *testing.T, dir string, uid uint32) (said string, ready bool) {
	t.Helper()
	program := engine.Program(t, "prometheus-"+engine.Prometheus316, "prometheus")
	config := filepath.Join(dir, "..", "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The program is held open: the path to it is closed to the user.
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	address := engine.FreeAddress(t)
	cmd := exec.Command("/proc/self/fd/3", "--config.file=../prometheus.yml", "--web.listen-address="+address)
	var out bytes.Buffer
	cmd.Dir, cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = dir, []*os.File{f}, &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return out.String(), false
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("the server neither ended nor became ready:\n%s", out.String())
		case <-tick.C:
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/-/ready", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				continue
			}
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				<-ended
				return out.String(), true
			}
		}
	}
}

// TestPermissionDeniedOnTheDataDirectory is one of the surprises of moving by hand. It shows it with a real server first, and then that the
// rehearsal says it before there is a server, and that doing what it says is enough.
func TestPermissionDeniedOnTheDataDirectory(t *testing.T) {
	const uid = 1000
	top, err := os.MkdirTemp("", "slipway-rehearse-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(top) })
	volume := filepath.Join(top, "volume") // of root, as a new volume is
	if err := errors.Join(os.Chmod(top, 0o755), os.Mkdir(volume, 0o755)); err != nil {
		t.Fatal(err)
	}
	old := engine.Start(t, engine.Prometheus{Version: engine.Prometheus242, Config: "scrape_configs: [{job_name: a, scrape_interval: 1s, static_configs: [{targets: []}]}]\n"})

	said, ready := firstStart(t, volume, uid)
	if ready || !strings.Contains(said, "mkdir data/: permission denied") {
		t.Fatalf("by hand it is not denied (ready: %v):\n%s", ready, said)
	}
	rehearse := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "../bin/slipway", "prometheus", "rehearse", volume, "--uid", strconv.Itoa(uid), "--groups", "2000", "--file-size", "16Mi", "--source", old.URL)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := rehearse()
	for _, want := range []string{"writable_by_server   Refused", "MakeDirectory: mkdir: permission denied as uid 1000, gid 1000, groups [2000]",
		"give the directory to that user, or set fsGroup (Kubernetes)", "stand in the way"} {
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("no %q (%v) in\n%s", want, err, out)
		}
	}
	// What it says first, halfway: the folder is the user's, and what was copied into it as root is not.
	wal := filepath.Join(volume, "wal")
	if err := errors.Join(os.Chown(volume, uid, uid), os.Mkdir(wal, 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err = rehearse(); err == nil || !strings.Contains(out, "UseWhatIsThere: wal, which belongs to uid 0, gid 0 (mode 0755): permission denied") {
		t.Errorf("%v in\n%s", err, out)
	}
	if err := os.Chown(wal, uid, uid); err != nil {
		t.Fatal(err)
	}
	if out, err = rehearse(); err != nil || !strings.Contains(out, fmt.Sprintf("a server of uid %d can run here", uid)) {
		t.Errorf("%v in\n%s", err, out)
	}
	if said, ready = firstStart(t, volume, uid); !ready {
		t.Errorf("after it was mended:\n%s", said)
	}
}
