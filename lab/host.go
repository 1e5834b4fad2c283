package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// CgroupMode is how the host mounts its control groups.
type CgroupMode string

// The two modes that machines can be started on.
const (
	// CgroupV1 is version 1, alone or hybrid (a version 2 hierarchy beside it).
	CgroupV1 CgroupMode = "v1"
	// CgroupV2 is version 2 alone.
	CgroupV2 CgroupMode = "v2"
)

// Hierarchy is one cgroup file system.
type Hierarchy struct {
	// Name is the last part of the mount point; the version 2 one of a hybrid host is called unified.
	Name string
	// Mount is where it is mounted.
	Mount string
	// V2 tells its version.
	V2 bool
}

// Host is what the launch plan needs to know about the management host.
type Host struct {
	Mode        CgroupMode
	Hierarchies []Hierarchy
}

// DetectHost reads the cgroup mounts of this host.
func DetectHost() (Host, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Host{}, fmt.Errorf("reading mounts: %w", err)
	}
	return parseHost(string(data))
}

func parseHost(mountinfo string) (Host, error) {
	var host Host
	seen := map[string]bool{}
	for _, m := range parseMounts(mountinfo) {
		if (m.fsType != "cgroup" && m.fsType != "cgroup2") || seen[m.point] {
			continue
		}
		seen[m.point] = true
		host.Hierarchies = append(host.Hierarchies,
			Hierarchy{Name: filepath.Base(m.point), Mount: m.point, V2: m.fsType == "cgroup2"})
	}
	sort.Slice(host.Hierarchies, func(i, j int) bool { return host.Hierarchies[i].Mount < host.Hierarchies[j].Mount })
	host.Mode = CgroupV2
	for _, h := range host.Hierarchies {
		if !h.V2 {
			host.Mode = CgroupV1
		}
	}
	if len(host.Hierarchies) == 0 {
		return host, fmt.Errorf("no cgroup file system is mounted: mount one at /sys/fs/cgroup")
	}
	return host, nil
}

type mount struct {
	point, fsType, source string
}

func parseMounts(mountinfo string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		mounts = append(mounts, mount{point: unescapeMount(left[4]), fsType: right[0], source: unescapeMount(right[1])})
	}
	return mounts
}

// unescapeMount undoes the octal escapes that the kernel writes for blanks and backslashes.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
