package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/test/golden"
)

func TestNetworkPlan(t *testing.T) {
	golden.Check(t, "testdata/network.txt", "# inside\n"+bridgePlan()+"# outside\n"+uplinkPlan(7, "/srv/my labs/\"dev\""))
	if alias := aliasFor(strings.Repeat("x", 1000)); len(alias) > 255 {
		t.Errorf("an alias of %d bytes", len(alias))
	}
}

func TestRatePlan(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int64
		want string
	}{
		{"holds 100 ms of a fast line", 100 << 20, "qdisc replace dev eth0 root tbf rate 104857600bps burst 10485760 latency 400ms"},
		{"holds one large segment of a slow line", 1024, "qdisc replace dev eth0 root tbf rate 1024bps burst 131072 latency 400ms"},
		{"takes the limit away", 0, "qdisc delete dev eth0 root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(ratePlan("eth0", c.rate), " "); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestFakeOffset(t *testing.T) {
	for offset, want := range map[time.Duration]string{time.Minute: "+60", -time.Hour: "-3600", 1500 * time.Millisecond: "+2"} {
		if got := fakeOffset(offset); got != want {
			t.Errorf("%s: got %s, want %s", offset, got, want)
		}
	}
}

func TestMissingPackages(t *testing.T) {
	for _, c := range []struct {
		name    string
		present func(string) bool
		keyring bool
		want    []string
	}{
		{"wants nothing where all is there", func(string) bool { return true }, true, nil},
		{"names a package once", func(p string) bool { return p != "ip" && p != "tc" }, true, []string{"iproute2"}},
		{"wants the keyring where the host is not Debian", func(string) bool { return true }, false, []string{"debian-archive-keyring"}},
		{"wants all on an empty host", func(string) bool { return false }, false, []string{"coreutils", "debian-archive-keyring", "e2fsprogs",
			"iproute2", "mmdebstrap", "mount", "openssh-client", "systemd-container", "util-linux"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, missingPackages(c.present, c.keyring)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSeedFiles(t *testing.T) {
	spec := Spec{Machines: 1, Bastion: true, Port: 2222}.defaulted()
	var b strings.Builder
	for _, m := range planMachines("dev", 7, spec) {
		for _, file := range seedFiles(7, true, m, strings.Repeat("0", 32), "ssh-ed25519 AAAA lab\n") {
			b.WriteString("== " + m.Name + ": " + file.path + " " + file.mode.String() + "\n" + file.text)
		}
	}
	golden.Check(t, "testdata/seed.txt", b.String())
}

func TestImageDigestChangesWithItsContent(t *testing.T) {
	seen := map[string]bool{}
	for _, python := range []bool{true, false} {
		for _, mirror := range []string{"", "https://mirror.example/debian"} {
			digest, err := imageDigest(python, mirror)
			again, againErr := imageDigest(python, mirror)
			if err != nil || againErr != nil || digest != again || seen[digest] {
				t.Errorf("python %t, mirror %q: %s then %s (%v, %v)", python, mirror, digest, again, err, againErr)
			}
			seen[digest] = true
		}
	}
}

func TestImageHoldsNothingThatRunsContainers(t *testing.T) {
	for _, name := range imagePackages(true) {
		for _, forbidden := range []string{"containerd", "runc", "nftables", "iptables", "docker", "kube"} {
			if strings.Contains(name, forbidden) {
				t.Errorf("package %s: the bundle must bring it", name)
			}
		}
	}
}

func TestMissingController(t *testing.T) {
	if finding, missing := missingController(hybridHost(), []string{"cpu,cpuacct", "memory", "pids", "freezer"}); missing {
		t.Errorf("controllers mounted together count: %v", finding)
	}
	finding, missing := missingController(hybridHost(), []string{"cpu", "pids", "freezer"})
	if !missing || finding.Severity != Broken || !strings.Contains(finding.Mend, "memory") {
		t.Errorf("no memory controller: %v", finding)
	}
}
