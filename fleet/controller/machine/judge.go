package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/host"
	"k8s.io/utils/ptr"
)

// Requirements are what a host must have before it may be claimed.
type Requirements struct {
	// FreeBytes is the free space below /var/lib. 0 means 4 GiB.
	FreeBytes int64
	// ClockSkew is how far its clock may be off. 0 means 30 s.
	ClockSkew time.Duration
	// Systems are the distributions with a supported version, as the inspection names them. Empty means Debian 12.
	Systems []string
	// Architectures are the processors that there are bundles for. Empty means amd64.
	Architectures []string
}

// oldestPython is the oldest minor of Python 3 that Ansible runs on.
const oldestPython = 9

func (r Requirements) withDefaults() Requirements {
	if r.FreeBytes == 0 {
		r.FreeBytes = 4 << 30
	}
	if r.ClockSkew == 0 {
		r.ClockSkew = 30 * time.Second
	}
	if len(r.Systems) == 0 {
		r.Systems = []string{"Debian 12"}
	}
	if len(r.Architectures) == 0 {
		r.Architectures = []string{"amd64"}
	}
	return r
}

// Verdict is what speaks against a host; an empty reason means nothing.
type Verdict struct{ Reason, Message string }

// judge says what speaks first against the use of a host, and what to do.
func (r Requirements) judge(f host.Facts) Verdict {
	skew := f.ClockOffset.Abs()
	switch {
	case !slices.Contains(r.Architectures, f.Architecture):
		return Verdict{v1alpha1.ReasonUnsupportedHost, fmt.Sprintf("the processor is %s: there are bundles for %s", worded(f.Architecture), strings.Join(r.Architectures, ", "))}
	case !slices.ContainsFunc(r.Systems, func(s string) bool { return f.OS == s || strings.HasPrefix(f.OS, s+".") }):
		return Verdict{v1alpha1.ReasonUnsupportedHost, fmt.Sprintf("the system is %s: supported are %s", worded(f.OS), strings.Join(r.Systems, ", "))}
	case !pythonFits(f.Python):
		return Verdict{v1alpha1.ReasonNoPython, fmt.Sprintf("Python is %s: install Python 3.%d or newer as /usr/bin/python3", worded(f.Python), oldestPython)}
	case f.DiskFreeBytes < r.FreeBytes:
		return Verdict{v1alpha1.ReasonNoSpace, fmt.Sprintf("less than %s are free below /var/lib: make room or give it a larger disk", gib(r.FreeBytes))}
	case skew > r.ClockSkew:
		return Verdict{v1alpha1.ReasonClockSkew, fmt.Sprintf("the clock is more than %d s off: set it and keep it by NTP", int(r.ClockSkew.Seconds()))}
	case len(f.Leftovers) > 0:
		return Verdict{v1alpha1.ReasonLeftovers, "remains of a cluster: " + limited(f.Leftovers) + ": remove them or reinstall the host"}
	case len(f.PortsInUse) > 0:
		ports := make([]string, len(f.PortsInUse))
		for i, p := range f.PortsInUse {
			ports[i] = strconv.Itoa(p)
		}
		return Verdict{v1alpha1.ReasonLeftovers, "something listens on ports that Kubernetes needs: " + limited(ports) + ": stop it"}
	}
	return Verdict{}
}

func pythonFits(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return major == "3" && err == nil && n >= oldestPython
}

// facts turns what an inspection found into its place in the status. What changes all the time (free space, clock,
// disk latency) keeps the old number while it is near it, so that an inspection that finds nothing new writes nothing.
func facts(f host.Facts, old *v1alpha1.MachineFacts) *v1alpha1.MachineFacts {
	if old == nil {
		old = &v1alpha1.MachineFacts{}
	}
	out := &v1alpha1.MachineFacts{
		MachineID: cut(f.MachineID, 64), OS: cut(f.OS, 128), Architecture: cut(f.Architecture, 32), Kernel: cut(f.Kernel, 128),
		CPUs: int32(max(f.CPUs, 0)), MemoryBytes: max(f.MemoryBytes, 0), DiskBytes: max(f.DiskBytes, 0), Python: cut(f.Python, 32),
		Security: words(f.Security, 16, 64), Leftovers: words(f.Leftovers, 32, 256),
	}
	if f.CgroupVersion == 1 || f.CgroupVersion == 2 {
		out.CgroupVersion = int32(f.CgroupVersion)
	}
	out.DiskFreeBytes = near(old.DiskFreeBytes, max(f.DiskFreeBytes, 0), max(out.DiskBytes/20, 1<<30))
	out.ClockOffsetSeconds = near(old.ClockOffsetSeconds, int64(f.ClockOffset.Round(time.Second)/time.Second), 2)
	if us := f.Fsync.Microseconds(); us > 0 {
		out.FsyncMicroseconds = *near(ptr.To(old.FsyncMicroseconds), us, us/2)
		out.FsyncMicroseconds = max(out.FsyncMicroseconds, 1)
	}
	for _, p := range f.PortsInUse {
		if len(out.PortsInUse) < 32 && !slices.Contains(out.PortsInUse, int32(p)) {
			out.PortsInUse = append(out.PortsInUse, int32(p))
		}
	}
	slices.Sort(out.PortsInUse)
	return out
}

// near keeps the old number while the new one is within the tolerance.
func near(old *int64, now, tolerance int64) *int64 {
	if old != nil && *old != 0 && now-*old <= tolerance && *old-now <= tolerance {
		return old
	}
	return &now
}

// words makes a set that the API takes: sorted, without repetition, limited in number and length.
func words(in []string, most, length int) []string {
	var out []string
	for _, w := range in {
		if w = cut(w, length); w != "" {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), most)]
}

func limited(in []string) string {
	sorted := words(in, len(in), 256)
	if len(sorted) > 8 {
		return strings.Join(sorted[:8], ", ") + " and more"
	}
	return strings.Join(sorted, ", ")
}

func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

func worded(s string) string {
	if s == "" {
		return "missing"
	}
	return s
}

func gib(bytes int64) string { return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', 1, 64) + " GiB" }
