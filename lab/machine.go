package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bootTimeout is generous: a boot takes 2 s here, and 200 machines may boot at once.
const bootTimeout = 120 * time.Second

func (l *Lab) launchPlan(m Machine) launch {
	return launch{host: l.host, index: l.state.Index, machine: m, dir: l.machineDir(m.Name),
		netns: netnsPath(l.state.Index), runtime: runtimeDir, bridgeDev: bridgeDev}
}

func (l *Lab) memberDirs(member string) []string { return l.host.cgroupDirs(l.state.Index, member) }

// start boots a machine and returns when its launcher runs; awaitBoot waits for sshd.
func (l *Lab) start(m *machineState) error {
	plan := l.launchPlan(m.Machine)
	if err := os.WriteFile(plan.scriptPath(), []byte(plan.script()), 0o700); err != nil {
		return fmt.Errorf("writing launcher of %s: %w", m.Name, err)
	}
	proc, err := l.spawn(m.Name, plan.argv(), filepath.Join(plan.dir, "console.log"))
	if err != nil {
		return fmt.Errorf("starting %s: %w", m.Name, err)
	}
	m.Process = proc
	return nil
}

// spawn starts a process that outlives this one, born inside the member's cgroup.
func (l *Lab) spawn(member string, argv []string, logPath string) (process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process{}, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	release, err := l.bornIn(member, cmd.SysProcAttr)
	if err != nil {
		return process{}, err
	}
	defer release()
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	proc := processOf(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // no zombie while this process lives
	return proc, nil
}

// runIn is run for a program that belongs to a member (a machine, or the setup of the lab): should this process be killed, what
// the program has started itself is found in the cgroup.
func (l *Lab) runIn(ctx context.Context, member, stdin string, argv ...string) (string, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	release, err := l.bornIn(member, attr)
	if err != nil {
		return "", err
	}
	defer release()
	return runWith(ctx, attr, stdin, argv)
}

// bornIn makes a process start its life in the member's version 2 cgroup. On a host that has none, the launch script joins the
// cgroups a moment later.
func (l *Lab) bornIn(member string, attr *syscall.SysProcAttr) (release func(), err error) {
	i := slices.IndexFunc(l.host.Hierarchies, func(h Hierarchy) bool { return h.V2 })
	if i < 0 {
		return func() {}, nil
	}
	dir, err := os.Open(l.memberDirs(member)[i])
	if err != nil {
		return nil, fmt.Errorf("opening cgroup: %w", err)
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return func() { dir.Close() }, nil
}

// awaitBoot waits until sshd greets, the machine dies, or time is up.
func (l *Lab) awaitBoot(ctx context.Context, m *machineState) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	err := waitFor(ctx, func() (bool, error) {
		if !m.Process.alive() {
			return false, errors.New("the machine stopped while it booted")
		}
		return sshGreets(ctx, net.JoinHostPort(m.Address, strconv.Itoa(m.Port))), nil
	})
	if err != nil {
		return fmt.Errorf("booting %s: %w; its console ends with:\n%s", m.Hostname, err, l.consoleTail(m.Name))
	}
	return nil
}

func sshGreets(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "SSH-2.0-")
}

func (l *Lab) consoleTail(machine string) string {
	data, err := os.ReadFile(filepath.Join(l.machineDir(machine), "console.log"))
	if err != nil {
		return err.Error()
	}
	return tail(string(data), 1500)
}

// leader returns the pid, on the host, of the machine's init. A machine outlives the death of its supervisor, so what counts
// is what its cgroups hold.
func (l *Lab) leader(m *machineState) (int, error) {
	for _, pid := range cgroupPIDs(l.memberDirs(m.Name)[:1]) {
		if isInit(pid) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("machine %s of lab %s has no power: slipway lab fault %s/%s power-on",
		m.Name, l.opts.Name, l.opts.Name, m.Name)
}

func (l *Lab) hasPower(m *machineState) bool {
	_, err := l.leader(m)
	return err == nil
}

// isInit tells whether a process is number 1 of a namespace directly below the host's; a pod's init is one level deeper.
func isInit(pid int) bool {
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == "NSpid:" {
			_, dead := startTime(pid)
			return len(fields) == 3 && fields[2] == "1" && !dead
		}
	}
	return false
}

// stop takes the machine's power away: all processes at once, unwritten data lost.
func (l *Lab) stop(ctx context.Context, m *machineState) error {
	dirs := l.memberDirs(m.Name)
	if leader, err := l.leader(m); err == nil {
		_ = l.host.setFrozen(ctx, dirs, true)
		_ = shutdownFilesystem("/proc/" + strconv.Itoa(leader) + "/root")
	}
	if err := l.host.killCgroups(ctx, dirs); err != nil {
		return fmt.Errorf("stopping %s: %w", m.Name, err)
	}
	if err := waitFor(ctx, func() (bool, error) { return !m.Process.alive(), nil }); err != nil {
		return fmt.Errorf("stopping %s: %w", m.Name, err)
	}
	if isMountPoint(netnsPath(l.state.Index)) {
		// The port goes with the machine's network namespace, but only when the kernel gets to it.
		_, _ = run(ctx, "", l.inNet("ip", "link", "delete", portDev(m.Name))...)
	}
	if err := releaseDisks(ctx, l.machineDir(m.Name)); err != nil {
		return fmt.Errorf("stopping %s: %w", m.Name, err)
	}
	m.Process = process{}
	return removeCgroups(ctx, dirs)
}

// shutdownFilesystem makes an ext4 file system drop what it has not written, as a power cut does.
func shutdownFilesystem(path string) error {
	const fsIOCShutdown, noLogFlush = 0x8004587d, 2 // FS_IOC_SHUTDOWN and FS_SHUTDOWN_FLAGS_NOLOGFLUSH of linux/fs.h
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	flags := uint32(noLogFlush)
	return ioctl(dir.Fd(), fsIOCShutdown, &flags)
}
