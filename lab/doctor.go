package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Severity of a finding.
type Severity string

// What a finding means for the lab.
const (
	// Fine: nothing to do.
	Fine Severity = "ok"
	// Limited: a lab starts, and something in it will not work.
	Limited Severity = "limited"
	// Broken: no lab starts.
	Broken Severity = "broken"
)

// Finding is one thing that Doctor looked at.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Detail   string   `json:"detail"`
	// Mend is the command that helps; empty when none does.
	Mend string `json:"mend,omitempty"`
}

// Doctor says what this host lacks for a lab and what its kernel can and cannot do. It changes nothing that stays.
func Doctor(ctx context.Context, opts Options) []Finding {
	var findings []Finding
	for _, check := range []func(context.Context) Finding{
		checkRoot, checkTools, checkCgroups, checkLoop, checkNetwork, checkSubnet,
		checkKernelMessages, checkCapabilities, checkFilter, checkRate, checkNetem, checkMemory,
	} {
		findings = append(findings, check(ctx))
	}
	return append(findings, checkSpace(opts), checkLeftovers())
}

func fine(check, detail string) Finding { return Finding{Check: check, Severity: Fine, Detail: detail} }

func checkRoot(context.Context) Finding {
	if os.Geteuid() != 0 {
		return Finding{"root", Broken, "machines need root", "sudo slipway lab doctor"}
	}
	return fine("root", "running as root")
}

func checkTools(context.Context) Finding {
	missing := missingPackages(onPath, exists(debianKeyring))
	if len(missing) == 0 {
		return fine("packages", "all programs are there")
	}
	severity := Limited // lab create installs them
	if !onPath("apt-get") {
		severity = Broken
	}
	list := strings.Join(missing, " ")
	return Finding{"packages", severity, "missing: " + list + " (lab create installs them where apt is)", "apt-get install " + list}
}

func checkCgroups(context.Context) Finding {
	host, err := DetectHost()
	if err != nil {
		return Finding{"cgroups", Broken, err.Error(), "mount -t cgroup2 cgroup2 /sys/fs/cgroup"}
	}
	names := make([]string, 0, len(host.Hierarchies))
	for _, hierarchy := range host.Hierarchies {
		names = append(names, hierarchy.Name)
		if syscall.Access(hierarchy.Mount, 2) != nil {
			return Finding{"cgroups", Broken, hierarchy.Mount + " is read-only", "mount -o remount,rw " + hierarchy.Mount}
		}
	}
	if finding, ok := missingController(host, names); ok {
		return finding
	}
	return fine("cgroups", fmt.Sprintf("version %s: %s", host.Mode, strings.Join(names, " ")))
}

func missingController(host Host, names []string) (Finding, bool) {
	present := map[string]bool{}
	for _, name := range names {
		for part := range strings.SplitSeq(name, ",") {
			present[part] = true
		}
	}
	if host.Mode == CgroupV2 {
		data, _ := os.ReadFile(host.Hierarchies[0].Mount + "/cgroup.controllers")
		for _, name := range strings.Fields(string(data)) {
			present[name] = true
		}
		present["freezer"] = true // part of version 2 itself
	}
	for _, name := range []string{"cpu", "memory", "pids", "freezer"} {
		if !present[name] {
			return Finding{"cgroups", Broken, "controller " + name + " is not there",
				"boot the kernel with cgroup_enable=" + name + ", or mount the controller below /sys/fs/cgroup"}, true
		}
	}
	return Finding{}, false
}

func checkLoop(ctx context.Context) Finding {
	if _, err := run(ctx, "", "losetup", "--find"); err != nil {
		return Finding{"loop devices", Broken, err.Error(), "modprobe loop"}
	}
	return fine("loop devices", "disks of stated size can be mounted")
}

// inScratchNet runs ip and tc in a network namespace that ends with the command.
func inScratchNet(ctx context.Context, script string) error {
	_, err := run(ctx, "", "unshare", "--net", "/bin/sh", "-euc", script)
	return err
}

func checkNetwork(ctx context.Context) Finding {
	if err := inScratchNet(ctx, "ip link add br0 type bridge; ip link add veth0 type veth peer name veth1; ip link set veth0 master br0"); err != nil {
		return Finding{"bridge and veth", Broken, err.Error(), "modprobe bridge veth"}
	}
	return fine("bridge and veth", "each lab gets a network namespace of its own")
}

func checkSubnet(context.Context) Finding {
	host, err := DetectHost()
	if err != nil {
		return Finding{"addresses", Broken, err.Error(), ""}
	}
	taken, err := newRegistry(host).taken()
	if err != nil {
		return Finding{"addresses", Broken, err.Error(), ""}
	}
	if len(taken) >= lastIndex {
		return Finding{"addresses", Broken, "all of 198.18.0.0/16 is in use", "slipway lab delete --stale"}
	}
	return fine("addresses", fmt.Sprintf("%d of %d networks of 198.18.0.0/16 are free", lastIndex-len(taken), lastIndex))
}

func checkKernelMessages(context.Context) Finding {
	if !exists("/dev/kmsg") {
		return Finding{"/dev/kmsg", Broken, "the kubelet reads kernel messages there", "mknod -m 0640 /dev/kmsg c 1 11"}
	}
	return fine("/dev/kmsg", "the kubelet finds the kernel's messages")
}

func checkCapabilities(context.Context) Finding {
	const sysAdmin, sysResource = 21, 24
	if !capable(sysAdmin) {
		return Finding{"capabilities", Broken, "CAP_SYS_ADMIN is missing: no mounts, no namespaces", "start this host's container with --privileged"}
	}
	if !capable(sysResource) {
		return Finding{"capabilities", Limited, "CAP_SYS_RESOURCE is missing: containerd needs restrict_oom_score_adj = true", ""}
	}
	return fine("capabilities", "nothing that machines need is missing")
}

func capable(bit uint) bool {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		var mask uint64
		if _, err := fmt.Sscanf(line, "CapEff:\t%x", &mask); err == nil {
			return mask&(1<<bit) != 0
		}
	}
	return false
}

func checkFilter(context.Context) Finding {
	data, err := os.ReadFile("/proc/kallsyms")
	if err != nil || strings.Contains(string(data), "nft_do_chain") || exists("/sys/module/nf_tables") {
		return fine("nf_tables", "kube-proxy in nftables mode can work")
	}
	return Finding{"nf_tables", Limited, "not loaded: kube-proxy will not work", "modprobe nf_tables"}
}

func checkRate(ctx context.Context) Finding {
	if err := inScratchNet(ctx, "tc qdisc add dev lo root tbf rate 1mbit burst 128k latency 400ms"); err != nil {
		return Finding{"rate limit", Limited, "the fault rate will not work: " + err.Error(), "modprobe sch_tbf"}
	}
	return fine("rate limit", "the fault rate works (tbf)")
}

func checkNetem(ctx context.Context) Finding {
	if err := inScratchNet(ctx, "tc qdisc add dev lo root netem delay 1ms"); err != nil {
		return fine("delay", "the kernel has no netem; the fault delay is a relay in user space")
	}
	return fine("delay", "the fault delay is a relay in user space (netem is there and not needed)")
}

func checkMemory(context.Context) Finding {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return Finding{"memory", Limited, err.Error(), ""}
	}
	total := uint64(info.Totalram) * uint64(info.Unit)
	detail := fmt.Sprintf("%.1f GiB; a machine takes about 50 MiB idle, about 1 GiB as a control plane", float64(total)/(1<<30))
	if total < 2<<30 {
		return Finding{"memory", Limited, detail, ""}
	}
	return fine("memory", detail)
}

func checkSpace(opts Options) Finding {
	opts, err := withDefaults(opts)
	if err != nil {
		return Finding{"disk space", Broken, err.Error(), "export SLIPWAY_HOME=…"}
	}
	dir := opts.Home
	for !exists(dir) && dir != "/" {
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 1)]
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return Finding{"disk space", Broken, err.Error(), ""}
	}
	free := fs.Bavail * uint64(fs.Bsize)
	detail := fmt.Sprintf("%.1f GiB free below %s; disks are sparse: 0.3 GiB per bare machine, 3 GiB per node", float64(free)/(1<<30), dir)
	if free < 2<<30 {
		return Finding{"disk space", Broken, detail, "export SLIPWAY_HOME=… to a file system with room"}
	}
	return fine("disk space", detail)
}

func checkLeftovers() Finding {
	host, err := DetectHost()
	if err != nil {
		return Finding{"left-overs", Broken, err.Error(), ""}
	}
	r := newRegistry(host)
	claims, err := r.claims()
	if err != nil {
		return Finding{"left-overs", Limited, err.Error(), ""}
	}
	count := len(r.unclaimed(claims))
	for _, c := range claims {
		if c.stale() != "" {
			count++
		}
	}
	if count > 0 {
		return Finding{"left-overs", Limited, fmt.Sprintf("%d dead labs hold networks", count), "slipway lab delete --stale"}
	}
	return fine("left-overs", fmt.Sprintf("none; %d labs live", len(claims)))
}
