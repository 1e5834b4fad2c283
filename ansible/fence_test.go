package ansible

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The fence runs here in a shell, with programs of the test in place of systemctl, systemd-run and id. What systemd itself
// does is tested in the lab.
const (
	fakeSystemctl = `#!/bin/sh
echo "systemctl $*" >>"$CALLS"
case $1 in
list-units) [ -z "${BROKEN:-}" ] && printf '%s\n' $SLICES || exit 1 ;;
esac
`
	fakeSystemdRun = `#!/bin/sh
echo "systemd-run $*" >>"$CALLS"
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
`
	fakeID = `#!/bin/sh
echo "${FAKE_UID:-0}"
`
)

type fence struct {
	t    *testing.T
	dir  string
	env  []string
	path string
}

func newFence(t *testing.T, env ...string) *fence {
	t.Helper()
	f := &fence{t: t, dir: filepath.Join(t.TempDir(), "state"), env: env}
	f.path = filepath.Join(f.dir, "fence")
	script, err := Fence()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(filepath.Dir(f.dir), "bin")
	for path, text := range map[string]string{
		f.path: string(script), filepath.Join(bin, "systemctl"): fakeSystemctl,
		filepath.Join(bin, "systemd-run"): fakeSystemdRun, filepath.Join(bin, "id"): fakeID,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.env = append(f.env, "PATH="+bin+":"+os.Getenv("PATH"), "CALLS="+filepath.Join(filepath.Dir(f.dir), "calls"))
	return f
}

// run gives output, complaint and exit code of one call.
func (f *fence) run(args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	command := exec.CommandContext(f.t.Context(), "/bin/sh", append([]string{f.path}, args...)...)
	command.Env = f.env
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Error(err)
	}
	return strings.TrimSpace(out.String()), strings.TrimSpace(complaint.String()), command.ProcessState.ExitCode()
}

func (f *fence) calls() string {
	b, _ := os.ReadFile(filepath.Join(filepath.Dir(f.dir), "calls"))
	return string(b)
}

func (f *fence) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func TestFenceTake(t *testing.T) {
	cases := []struct {
		name, lease, want string
		args              []string
		code              int
	}{
		{"takes a host that nobody ever had", "", `{"generation":1,"cluster":"c","operation":"o-1"}`, []string{"0", "c", "o-1"}, 0},
		{"takes over with the right expectation", `{"generation":4,"cluster":"b","operation":"p-1"}`, `{"generation":5,"cluster":"c","operation":"o-1"}`, []string{"4", "c", "o-1"}, 0},
		{"takes again what it took", `{"generation":5,"cluster":"c","operation":"o-1"}`, `{"generation":5,"cluster":"c","operation":"o-1"}`, []string{"4", "c", "o-1"}, 0},
		{"leaves a host that another operation took first", `{"generation":5,"cluster":"c","operation":"o-2"}`, `{"generation":5,"cluster":"c","operation":"o-2"}`, []string{"4", "c", "o-1"}, 75},
		{"leaves a host that another cluster took for an operation of that name", `{"generation":5,"cluster":"b","operation":"o-1"}`, `{"generation":5,"cluster":"b","operation":"o-1"}`, []string{"4", "c", "o-1"}, 75},
		{"leaves a host whose generation is newer", `{"generation":9,"cluster":"","operation":""}`, `{"generation":9,"cluster":"","operation":""}`, []string{"4", "c", "o-1"}, 75},
		{"leaves a host whose generation is older", `{"generation":2,"cluster":"","operation":""}`, `{"generation":2,"cluster":"","operation":""}`, []string{"4", "c", "o-1"}, 75},
		{"stops at a lease that cannot be read", `{"gen`, "", []string{"0", "c", "o-1"}, 75},
		{"refuses a name that could break out of the lease", "", "", []string{"0", `c","x":"`, "o-1"}, 64},
		{"refuses an expectation that is no number", "", "", []string{"-1", "c", "o-1"}, 64},
		{"refuses a take without operation", "", "", []string{"0", "c", ""}, 64},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFence(t)
			if c.lease != "" {
				f.write("lease.json", c.lease+"\n")
			}
			got, complaint, code := f.run(append([]string{"take"}, c.args...)...)
			if got != c.want || code != c.code {
				t.Errorf("got %s with code %d (%s), want %s with code %d", got, code, complaint, c.want, c.code)
			}
			if shown, _, _ := f.run("show"); code == 0 && shown != c.want {
				t.Errorf("the lease is %s", shown)
			}
		})
	}
}

func TestFenceTakeEndsOlderGenerations(t *testing.T) {
	f := newFence(t, "SLICES=slipway-g3.slice slipway-g4.slice slipway-g5.slice")
	f.write("lease.json", `{"generation":4,"cluster":"c","operation":"o-1"}`+"\n")
	if _, complaint, code := f.run("take", "4", "c", "o-2"); code != 0 {
		t.Fatal(complaint)
	}
	var stopped []string
	for line := range strings.SplitSeq(f.calls(), "\n") {
		if unit, ok := strings.CutPrefix(line, "systemctl stop "); ok {
			stopped = append(stopped, unit)
		}
	}
	if diff := cmp.Diff([]string{"slipway-g3.slice", "slipway-g4.slice"}, stopped); diff != "" {
		t.Error(diff)
	}
}

func TestFenceTakeIsNoSuccessWhenSystemdDoesNotAnswer(t *testing.T) {
	f := newFence(t, "BROKEN=1")
	if _, _, code := f.run("take", "0", "c", "o-1"); code != 70 {
		t.Errorf("code %d, want 70", code)
	}
}

func TestFenceRun(t *testing.T) {
	const lease = `{"generation":3,"cluster":"c","operation":"o-1"}`
	cases := []struct {
		name, lease string
		args        []string
		want        string
		code        int
	}{
		{"runs for the holder", lease, []string{"3", "o-1", "--", "echo", "a  b", "$HOME"}, "a  b $HOME", 0},
		{"gives the code of the command", lease, []string{"3", "o-1", "--", "sh", "-c", "exit 7"}, "", 7},
		{"refuses an older generation", lease, []string{"2", "o-1", "--", "echo", "x"}, "", 76},
		{"refuses another operation", lease, []string{"3", "o-0", "--", "echo", "x"}, "", 76},
		{"refuses on a host that was released", `{"generation":3,"cluster":"","operation":""}`, []string{"3", "", "--", "echo", "x"}, "", 76},
		{"refuses on a host that nobody took", "", []string{"0", "", "--", "echo", "x"}, "", 76},
		{"wants a command", lease, []string{"3", "o-1", "--"}, "", 64},
		{"wants the two dashes", lease, []string{"3", "o-1", "echo", "x"}, "", 64},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFence(t)
			if c.lease != "" {
				f.write("lease.json", c.lease+"\n")
			}
			got, complaint, code := f.run(append([]string{"run"}, c.args...)...)
			if got != c.want || code != c.code {
				t.Errorf("got %q with code %d (%s), want %q with code %d", got, code, complaint, c.want, c.code)
			}
			if code == 0 && !strings.Contains(f.calls(), "--slice=slipway-g3.slice") {
				t.Errorf("not in the slice of its generation: %s", f.calls())
			}
		})
	}
}

// A take that comes between the first look and the scope must not be overlooked.
func TestFenceRunLooksAgainInsideTheScope(t *testing.T) {
	f := newFence(t)
	f.write("lease.json", `{"generation":3,"cluster":"c","operation":"o-1"}`+"\n")
	script := strings.Replace(fakeSystemdRun, "exec", `echo '{"generation":4,"cluster":"c","operation":"o-2"}' >"`+f.dir+`/lease.json"; exec`, 1)
	if err := os.WriteFile(filepath.Join(filepath.Dir(f.dir), "bin", "systemd-run"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, _, code := f.run("run", "3", "o-1", "--", "echo", "x"); out != "" || code != 76 {
		t.Errorf("ran with %q and code %d", out, code)
	}
}

func TestFenceReleaseKeepsTheGeneration(t *testing.T) {
	f := newFence(t)
	f.write("lease.json", `{"generation":3,"cluster":"c","operation":"o-1"}`+"\n")
	f.write("stages/etcd", "sha256:1\n")
	if _, _, code := f.run("release", "2"); code != 75 {
		t.Errorf("released with an older generation: code %d", code)
	}
	if stages, _, _ := f.run("stages"); stages != "etcd sha256:1" {
		t.Errorf("stages %q", stages)
	}
	for range 2 {
		if got, complaint, code := f.run("release", "3"); code != 0 || got != `{"generation":3,"cluster":"","operation":""}` {
			t.Errorf("got %s with code %d: %s", got, code, complaint)
		}
	}
	if stages, _, code := f.run("stages"); stages != "" || code != 0 {
		t.Errorf("stages %q with code %d", stages, code)
	}
}

func TestFenceIsTakenByOneOfMany(t *testing.T) {
	f := newFence(t)
	var group sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		group.Go(func() { _, _, codes[i] = f.run("take", "0", "c", "o-"+string(rune('a'+i))) })
	}
	group.Wait()
	won := 0
	for _, code := range codes {
		switch code {
		case 0:
			won++
		case 75:
		default:
			t.Errorf("code %d", code)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d took the host", won, len(codes))
	}
}

func TestFenceKeepsItsFilesFromOthers(t *testing.T) {
	f := newFence(t)
	f.run("take", "0", "c", "o-1")
	info, err := os.Stat(filepath.Join(f.dir, "lease.json"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the lease has mode %v", info.Mode())
	}
}

func TestFenceRefusesUsersWithoutRights(t *testing.T) {
	f := newFence(t, "FAKE_UID=1000")
	if _, complaint, code := f.run("show"); code != 77 || !strings.Contains(complaint, "root") {
		t.Errorf("code %d: %s", code, complaint)
	}
}
