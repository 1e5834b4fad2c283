package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/test/golden"
)

func hybridHost() Host {
	host := Host{Mode: CgroupV1}
	for _, name := range []string{"cpu,cpuacct", "cpuset", "freezer", "memory", "systemd", "unified"} {
		host.Hierarchies = append(host.Hierarchies, Hierarchy{Name: name, Mount: "/sys/fs/cgroup/" + name, V2: name == "unified"})
	}
	return host
}

func unifiedHost() Host {
	return Host{Mode: CgroupV2, Hierarchies: []Hierarchy{{Name: "cgroup", Mount: "/sys/fs/cgroup", V2: true}}}
}

func legacyHost() Host {
	host := hybridHost()
	host.Hierarchies = host.Hierarchies[:len(host.Hierarchies)-1]
	return host
}

func plannedLaunch(host Host, dir string) launch {
	return launch{host: host, index: 7, machine: planMachine("dev", "m1", 7, 11, Spec{}.defaulted()), dir: dir,
		netns: "/run/slipway-lab/7.net", runtime: "/run/slipway-lab", bridgeDev: bridgeDev}
}

func TestLaunchScript(t *testing.T) {
	for _, c := range []struct {
		golden string
		plan   launch
	}{
		{"launch-hybrid.sh", plannedLaunch(hybridHost(), "/var/lib/labs/dev/machines/m1")},
		{"launch-v1.sh", plannedLaunch(legacyHost(), "/var/lib/labs/dev/machines/m1")},
		{"launch-v2.sh", plannedLaunch(unifiedHost(), "/var/lib/labs/dev/machines/m1")},
		{"launch-quoted.sh", plannedLaunch(unifiedHost(), "/srv/my labs/it's/machines/m1")},
	} {
		t.Run(c.golden, func(t *testing.T) {
			script := c.plan.script()
			golden.Check(t, filepath.Join("testdata", c.golden), script)
			cmd := exec.Command("sh", "-n")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the shell does not take it: %s", out)
			}
		})
	}
}

func TestCgroupDirsCoverEveryHierarchy(t *testing.T) {
	for _, host := range []Host{hybridHost(), unifiedHost(), legacyHost()} {
		dirs := host.cgroupDirs(7, "m1")
		if len(dirs) != len(host.Hierarchies) {
			t.Errorf("%d directories for %d hierarchies", len(dirs), len(host.Hierarchies))
		}
		for i, dir := range dirs {
			if want := filepath.Join(host.Hierarchies[i].Mount, "slipway-lab-7", "m1"); dir != want {
				t.Errorf("got %s, want %s", dir, want)
			}
		}
	}
}

// FuzzQuote holds quoting against the shell itself.
func FuzzQuote(f *testing.F) {
	for _, word := range []string{"", "plain", "two words", "it's", "$HOME", "`id`", "a\nb", "-n", "é", `\`, "*"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsRune(word, 0) || len(word) > 16<<10 {
			t.Skip("no argument holds a zero byte, and none may be longer than a page times 32 once quoted")
		}
		out, err := exec.Command("sh", "-c", "printf '%s' "+quote(word)).Output()
		if err != nil || string(out) != word {
			t.Errorf("%q became %q, %v", word, out, err)
		}
	})
}
