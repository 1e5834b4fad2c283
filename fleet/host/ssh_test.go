package host

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/slipway-dev/slipway/ssh/sshtest"
)

// sandbox is a host whose file system is a folder: an SSH server inside the test that runs the real scripts with the
// real /bin/sh, paths below root, and stand-ins for the programs that look at or touch the machine itself.
type sandbox struct {
	root, bin string
	// greeting is what somebody's .bashrc does.
	greeting string
	login    sshtest.Key
	server   *sshtest.Server
	prober   *SSH
	address  Address
}

var standIns = map[string]string{
	"id":        "echo 0",
	"uname":     `case $1 in -m) echo x86_64 ;; -r) echo 6.1.0-test ;; -n) echo rack7 ;; esac`,
	"nproc":     "echo 4",
	"python3":   "echo Python 3.11.2",
	"nft":       "exit 0",
	"systemctl": "exit 0",
	"sudo":      `[ "$1" = -n ] && shift && exec "$@"`,
	// One sample for each inspection is enough for most tests; a failing dd ends the loop.
	"dd": `if [ -e "$0.once" ]; then rm "$0.once"; exit 1; fi; : >"$0.once"; echo '2300 bytes copied, 0.0005 s, 4 MB/s' >&2`,
}

var bareRoot = map[string]string{
	"etc/os-release":                   "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n",
	"etc/machine-id":                   "0123456789abcdef0123456789abcdef\n",
	"proc/meminfo":                     "MemTotal:       16384000 kB\nMemFree:         1000 kB\n",
	"proc/swaps":                       "Filename\tType\tSize\tUsed\tPriority\n",
	"proc/mounts":                      "/dev/sda1 / ext4 rw 0 0\n",
	"proc/net/tcp":                     "  sl  local_address rem_address   st\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000\n",
	"proc/net/tcp6":                    "",
	"proc/1/comm":                      "systemd\n",
	"sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
}

func newSandbox(t *testing.T, files map[string]string) *sandbox {
	t.Helper()
	s := &sandbox{greeting: "echo Welcome", root: t.TempDir(), bin: t.TempDir(), login: sshtest.NewKey(t)}
	for name, body := range standIns {
		s.program(t, name, body)
	}
	s.write(t, bareRoot)
	s.write(t, files)
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, map[string]string{"proc/uptime": string(uptime), "var/lib/.keep": ""})
	host := sshtest.NewKey(t)
	s.server = sshtest.Start(t, sshtest.Options{
		HostKeys: []gossh.Signer{host.Signer}, Authorized: s.login.Authorized, Handle: s.handle, Forward: true,
	})
	s.prober, err = NewSSH(SSHOptions{VisitTimeout: 20 * time.Second, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.prober.Close)
	s.prober.shell = shell{root: s.root, path: s.bin + ":"}
	s.address = Address{Host: s.server.Host, Port: s.server.Port, User: "root", Key: s.login.PEM}
	return s
}

// handle runs a command line as a login shell does, after its greeting.
func (s *sandbox) handle(ctx context.Context, e sshtest.Exec) int {
	command := exec.CommandContext(ctx, "/bin/sh", "-c", s.greeting+"; "+e.Line)
	command.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "HOME=" + s.root}
	command.Stdin, command.Stdout, command.Stderr = e.Stdin, e.Stdout, e.Stderr
	command.WaitDelay = time.Second
	var exit *exec.ExitError
	switch err := command.Run(); {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		return 255
	}
	return 0
}

func (s *sandbox) program(t *testing.T, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func (s *sandbox) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, body := range files {
		path := filepath.Join(s.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *sandbox) subject() subject {
	return subject{prober: s.prober, address: s.address, stamp: func(t *testing.T, stages map[string]string) {
		for name, digest := range stages {
			s.write(t, map[string]string{"var/lib/slipway/stages/" + name: digest + "\n"})
		}
	}}
}

func TestSSHContract(t *testing.T) {
	t.Run("directly as root", func(t *testing.T) { testProber(t, newSandbox(t, nil).subject()) })
	t.Run("through a bastion as a user with sudo", func(t *testing.T) {
		s := newSandbox(t, nil)
		s.address.User = "ops"
		jump := sshtest.NewKey(t)
		bastion := sshtest.Start(t, sshtest.Options{HostKeys: []gossh.Signer{jump.Signer}, Authorized: s.login.Authorized, Forward: true})
		s.address.Bastion = &Address{Host: bastion.Host, Port: bastion.Port, User: "jump"}
		testProber(t, s.subject())
	})
}

func TestInspectFindsWhatIsLeft(t *testing.T) {
	s := newSandbox(t, map[string]string{
		"etc/kubernetes/admin.conf":              "x",
		"etc/cni/net.d/10-flannel.conflist":      "x",
		"run/netns/cni-1":                        "",
		"var/lib/etcd/member/wal/0":              "x",
		"etc/systemd/system/kubelet.service":     "x",
		"proc/77/comm":                           "kubelet\n",
		"proc/78/comm":                           "containerd-shim\n",
		"proc/79/comm":                           "etcdish\n",
		"proc/mounts":                            "/dev/sda1 / ext4 rw 0 0\ntmpfs /var/lib/kubelet/pods/1/volumes/x tmpfs rw 0 0\n",
		"proc/swaps":                             "Filename\tType\n/dev/sda2\tpartition\n",
		"proc/net/tcp6":                          "  sl  local_address\n   0: 00000000000000000000000000000000:192B 0:0 0A 0\n   1: 0:280A 0:0 01 0\n",
		"sys/class/net/cni0/mtu":                 "1500",
		"sys/fs/selinux/enforce":                 "1",
		"sys/module/apparmor/parameters/enabled": "Y\n",
		"var/lib/slipway/lease.json":             `{"generation":7,"cluster":"c-1","operation":"o-1"}` + "\n",
		"var/lib/slipway/stages/containerd":      "sha256:cc\n",
		"etc/os-release":                         "NAME=\"Rocky Linux\"\nVERSION_ID=\"9.4\"\n",
		"etc/machine-id":                         "uninitialized\n",
	})
	s.program(t, "nft", `case $2 in
tables) printf 'table ip kube-proxy\ntable inet cni_hostport\ntable inet filter\n' ;;
chains) printf 'table ip nat {\n\tchain KUBE-SERVICES {\n' ;;
esac`)
	s.program(t, "python3", "exit 127")
	s.program(t, "dd", `PATH=/usr/bin:/bin; exec dd "$@"`)
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	got := seen.Facts
	if got.Fsync <= 0 || got.DiskBytes <= 0 || got.DiskFreeBytes <= 0 {
		t.Errorf("fsync %s, disk %d, free %d", got.Fsync, got.DiskBytes, got.DiskFreeBytes)
	}
	got.Fsync, got.ClockOffset, got.DiskBytes, got.DiskFreeBytes = 0, 0, 0, 0
	want := Facts{
		OS: "Rocky Linux 9.4", Architecture: "amd64", Kernel: "6.1.0-test", Hostname: "rack7", CgroupVersion: 2, CPUs: 4,
		MemoryBytes: 16384000 << 10, Swap: true, PortsInUse: []int{6443},
		Security: []string{"AppArmor", "SELinux: enforcing", "nftables: inet filter"},
		Leftovers: []string{
			"files in /etc/cni/net.d", "files in /etc/kubernetes", "files in /var/lib/etcd", "firewall chain KUBE-SERVICES",
			"mount /var/lib/kubelet/pods/1/volumes/x", "network device cni0", "network namespace cni-1",
			"nftables table inet cni_hostport", "nftables table ip kube-proxy",
			"process containerd-shim", "process kubelet", "unit kubelet.service",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if want := (Lease{Generation: 7, Cluster: "c-1", Operation: "o-1"}); seen.Lease != want {
		t.Errorf("lease %+v", seen.Lease)
	}
	if diff := cmp.Diff(map[string]string{"containerd": "sha256:cc"}, seen.Stages); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Join(s.root, "var/lib/.slipway-*")); len(left) > 0 {
		t.Errorf("the probe file is still there: %v", left)
	}
}

func TestInspectOfABareHostFindsNothing(t *testing.T) {
	s := newSandbox(t, nil)
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	if f := seen.Facts; len(f.Leftovers)+len(f.Security)+len(f.PortsInUse) > 0 || f.Swap || f.Python != "3.11.2" {
		t.Errorf("%+v", f)
	}
	if seen.Lease != (Lease{}) || seen.Stages != nil {
		t.Errorf("lease %+v, stages %v", seen.Lease, seen.Stages)
	}
}

func TestInspectCorrectsTheClock(t *testing.T) {
	s := newSandbox(t, nil)
	s.prober.options.Now = func() time.Time { return time.Now().Add(time.Minute) }
	seen, err := s.prober.Inspect(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	if off := seen.Facts.ClockOffset + time.Minute; off.Abs() > 2*time.Second {
		t.Errorf("offset %s, want about -1m0s", seen.Facts.ClockOffset)
	}
}

func TestSSHErrorsSayWhatToDo(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *sandbox)
		kind   Kind
		text   string
	}{
		{"a key that may not log in", func(t *testing.T, s *sandbox) { s.address.Key = sshtest.NewKey(t).PEM }, Authentication, "authorized_keys"},
		{"a Secret that holds no key", func(_ *testing.T, s *sandbox) { s.address.Key = []byte("x") }, KeyInvalid, "ssh-privatekey"},
		{"a host that is down", func(_ *testing.T, s *sandbox) { s.server.Stop() }, Unreachable, "look whether it is up"},
		{"sudo that wants a password", func(t *testing.T, s *sandbox) {
			s.address.User = "ops"
			s.program(t, "sudo", "echo 'sudo: a password is required' >&2; exit 1")
		}, NoSudo, "NOPASSWD"},
		{"no sudo at all", func(t *testing.T, s *sandbox) {
			s.address.User = "ops"
			s.program(t, "sudo", "exit 127")
		}, NoSudo, "install sudo"},
		{"sudo to somebody else", func(t *testing.T, s *sandbox) { s.program(t, "id", "echo 1000") }, NoSudo, "uid 1000"},
		{"a host that prints without end", func(_ *testing.T, s *sandbox) { s.greeting = "yes" }, Faulty, "prints too much"},
		{"a host that lies", func(t *testing.T, s *sandbox) { s.program(t, "nproc", "echo; echo 'root=yes'") }, Faulty, "root=yes"},
		{"a lease that nobody can read", func(t *testing.T, s *sandbox) {
			s.write(t, map[string]string{"var/lib/slipway/lease.json": "\n"})
		}, Faulty, "lease"},
		{"a bastion that is down", func(_ *testing.T, s *sandbox) { s.address.Bastion = &Address{Host: "127.0.0.1", Port: 1, User: "jump"} }, Unreachable, "the bastion 127.0.0.1:1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, nil)
			test.change(t, s)
			_, err := s.prober.Inspect(t.Context(), s.address)
			if text := wantKind(t, err, test.kind); !strings.Contains(text, test.text) || strings.Contains(text, "\n") {
				t.Errorf("%q does not say %q in one line", text, test.text)
			}
		})
	}
}

func TestTakeErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *sandbox)
		kind   Kind
		text   string
	}{
		{"commands that do not end are Busy", func(t *testing.T, s *sandbox) {
			s.program(t, "systemctl", "exit 1")
		}, Busy, "systemd does not answer"},
		{"a lease that nobody can read needs a person", func(t *testing.T, s *sandbox) {
			s.write(t, map[string]string{"var/lib/slipway/lease.json": "garbage\n"})
		}, Faulty, "lease.json"},
		{"a host where nothing can be written needs a person", func(t *testing.T, s *sandbox) {
			s.write(t, map[string]string{"var/lib/slipway": "a file"})
		}, Faulty, "did not take it"},
		{"not being root needs a person", func(t *testing.T, s *sandbox) { s.program(t, "id", "echo 1000") }, NoSudo, "root"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSandbox(t, nil)
			a := s.subject().pinnedAddress(t)
			test.change(t, s)
			_, err := s.prober.Take(t.Context(), a, 0, "cluster", "operation-1")
			if text := wantKind(t, err, test.kind); !strings.Contains(text, test.text) {
				t.Errorf("%q does not say %q", text, test.text)
			}
		})
	}
}

func TestTakeRefusesWordsThatAreNone(t *testing.T) {
	s := newSandbox(t, nil)
	a := s.subject().pinnedAddress(t)
	for _, operation := range []string{"", "a b", "$(reboot)", "a;b", "a\nb"} {
		if _, err := s.prober.Take(t.Context(), a, 0, "cluster", operation); err == nil {
			t.Errorf("Take(%q) succeeded", operation)
		}
	}
}

func TestTakeReplacesAnOldFence(t *testing.T) {
	s := newSandbox(t, map[string]string{"var/lib/slipway/fence": "#!/bin/sh\nexit 1\n"})
	a := s.subject().pinnedAddress(t)
	if _, err := s.prober.Take(t.Context(), a, 0, "cluster", "operation-1"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.root, "var/lib/slipway/fence")
	installed, err := os.ReadFile(path)
	if err != nil || string(installed) != string(s.prober.options.Fence) {
		t.Errorf("the fence is not the embedded one: %v", err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o755, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
}
