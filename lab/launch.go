package lab

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// rebootStatus is EXIT_FORCE_RESTART of systemd's exit-status.h.
const rebootStatus = 133

// launch is all that the start of one machine depends on.
type launch struct {
	host      Host
	index     int
	machine   Machine
	dir       string // the machine's directory: disk.img, root, console.log
	netns     string // the lab's network namespace, a bound file
	runtime   string // holds the namespaces of all labs
	bridgeDev string
}

// argv is what is executed: the script, in the lab's network and in a mount namespace of its own.
func (p launch) argv() []string {
	return []string{"nsenter", "--net=" + p.netns, "unshare", "--mount", "--propagation", "private", "/bin/sh", p.scriptPath()}
}

func (p launch) scriptPath() string { return filepath.Join(p.dir, "boot.sh") }

// script joins the cgroups, mounts the disk and runs systemd-nspawn until the machine is off. It is pure: same plan, same text.
func (p launch) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# Boots %s. Written and run by slipway lab, which makes the cgroups and the network first:\n#   %s\nset -eu\n\n",
		p.machine.Hostname, strings.Join(quoteAll(p.argv()), " "))
	fmt.Fprintf(&b, "# Every hierarchy, or two machines share one and kill each other's pods.\n")
	for _, dir := range p.host.cgroupDirs(p.index, p.machine.Name) {
		fmt.Fprintf(&b, "echo 0 > %s\n", quote(filepath.Join(dir, "cgroup.procs")))
	}
	fmt.Fprintf(&b, "\n# This namespace must not keep the network of another lab alive.\nfor net in %s/*.net; do\n  umount \"$net\" || true\ndone\n",
		quote(p.runtime))
	fmt.Fprintf(&b, "mkdir -p /run/systemd/nspawn\nmount -t tmpfs -o mode=0700 tmpfs /run/systemd/nspawn\n")
	fmt.Fprintf(&b, "\n# Freed by the kernel when the last process of the machine is gone.\nmount -o loop,noatime %s %s\n\n",
		quote(filepath.Join(p.dir, "disk.img")), quote(p.root()))
	p.writeLoop(&b)
	return b.String()
}

// writeLoop writes what boots the machine again when it asks for that.
func (p launch) writeLoop(b *strings.Builder) {
	own := quote(p.host.cgroupDirs(p.index, p.machine.Name)[0])
	join := ""
	if p.host.Mode == CgroupV2 {
		fmt.Fprintf(b, "# This shell must not stay where systemd-nspawn passes controllers on to its children.\n"+
			"mkdir -p %[1]s/launcher\necho 0 > %[1]s/launcher/cgroup.procs\n", own)
		join = fmt.Sprintf("  find %[1]s -mindepth 1 -depth -type d ! -name launcher -exec rmdir {} \\;\n"+
			"  for controller in $(cat %[1]s/cgroup.subtree_control); do echo \"-$controller\" > %[1]s/cgroup.subtree_control; done\n", own)
	}
	fmt.Fprintf(b, "# systemd-nspawn --keep-unit ends with %[1]d when the machine wants to reboot.\nstatus=%[1]d\n"+
		"while [ \"$status\" = %[1]d ]; do\n%[2]s  status=0\n  (\n", rebootStatus, join)
	if p.host.Mode == CgroupV2 {
		fmt.Fprintf(b, "    echo 0 > %s/cgroup.procs\n", own)
	}
	fmt.Fprintf(b, "    exec env %s \\\n      systemd-nspawn %s\n  ) || status=$?\ndone\nexit \"$status\"\n",
		strings.Join(p.environment(), " "), strings.Join(quoteAll(p.nspawnArgs()), " \\\n      "))
}

func (p launch) root() string { return filepath.Join(p.dir, "root") }

func (p launch) environment() []string {
	unified := "0"
	if p.host.Mode == CgroupV2 {
		unified = "1"
	} else if slices.ContainsFunc(p.host.Hierarchies, func(h Hierarchy) bool { return h.V2 }) {
		unified = "" // hybrid: systemd-nspawn sees it by itself
	}
	env := []string{"SYSTEMD_NSPAWN_API_VFS_WRITABLE=1", "SYSTEMD_NSPAWN_USE_CGNS=1"}
	if unified != "" {
		env = append(env, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="+unified)
	}
	return env
}

func (p launch) nspawnArgs() []string {
	return []string{
		"--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only",
		"--directory=" + p.root(),
		"--machine=" + p.machine.Name, "--hostname=" + p.machine.Hostname,
		"--network-bridge=" + p.bridgeDev,
		"--capability=all", "--private-users=no",
		"--system-call-filter=@keyring bpf add_key keyctl",
		"--bind=/dev/kmsg",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
	}
}

func quoteAll(words []string) []string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = quote(word)
	}
	return quoted
}

// quote makes a word safe for a POSIX shell; plain words stay as they are.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,@+%", r)
	}
	if word != "" && strings.TrimFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
