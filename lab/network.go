package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	bridgeDev = "br0"
	uplinkDev = "uplink"
)

func netnsPath(index int) string { return filepath.Join(runtimeDir, strconv.Itoa(index)+".net") }

// hostDev is the management host's end of the lab's cable.
func hostDev(index int) string { return "slw" + strconv.Itoa(index) }

// portDev is a machine's port on the bridge, as systemd-nspawn names it.
func portDev(machine string) string { return "vb-" + machine }

// inNet puts a command into the lab's network namespace.
func (l *Lab) inNet(argv ...string) []string {
	return append([]string{"nsenter", "--net=" + netnsPath(l.state.Index)}, argv...)
}

// makeNetwork makes the namespace, the bridge and the host's cable to it. What exists is made anew.
func (l *Lab) makeNetwork(ctx context.Context) error {
	index := l.state.Index
	if err := removeNetwork(ctx, index); err != nil {
		return err
	}
	if err := l.host.makeCgroups(index, setupMember, 0); err != nil {
		return err
	}
	path := netnsPath(index)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("making network namespace: %w", err)
	}
	if _, err := l.runIn(ctx, setupMember, "", "unshare", "--net="+path, "true"); err != nil {
		return fmt.Errorf("making network namespace: %w", err)
	}
	if _, err := l.runIn(ctx, setupMember, bridgePlan(), l.inNet("ip", "-batch", "-")...); err != nil {
		return fmt.Errorf("making bridge: %w", err)
	}
	// Frames between machines are not the business of a packet filter; the file exists only with br_netfilter loaded.
	const filter = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if exists(filter) {
		if _, err := l.runIn(ctx, setupMember, "", l.inNet("sh", "-c", "echo 0 > "+filter)...); err != nil {
			return fmt.Errorf("taking the packet filter off the bridge: %w", err)
		}
	}
	if _, err := l.runIn(ctx, setupMember, uplinkPlan(index, l.Dir()), "ip", "-batch", "-"); err != nil {
		return fmt.Errorf("connecting this host to the lab: %w", err)
	}
	if _, err := l.runIn(ctx, setupMember, "", l.inNet("ip", "link", "set", uplinkDev, "master", bridgeDev, "up")...); err != nil {
		return fmt.Errorf("connecting this host to the lab: %w", err)
	}
	return nil
}

// bridgePlan is the batch for ip inside the namespace.
func bridgePlan() string {
	return strings.Join([]string{
		"link set lo up",
		"link add " + bridgeDev + " type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
		"link set " + bridgeDev + " up",
		"",
	}, "\n")
}

// uplinkPlan is the batch for ip on the host; the alias is the owner's tag.
func uplinkPlan(index int, owner string) string {
	dev := hostDev(index)
	return strings.Join([]string{
		fmt.Sprintf("link add %s type veth peer name %s netns %s", dev, uplinkDev, netnsPath(index)),
		fmt.Sprintf("link set %s alias %s", dev, aliasFor(owner)),
		fmt.Sprintf("address add %s/24 dev %s", gatewayAddress(index), dev),
		fmt.Sprintf("link set %s up", dev),
		"",
	}, "\n")
}

// aliasFor keeps within the kernel's 255 bytes and ip's quoting.
func aliasFor(owner string) string {
	alias := "slipway-lab:" + strings.Map(func(r rune) rune {
		if r <= ' ' || r == '"' || r == '\\' || r > '~' {
			return '_'
		}
		return r
	}, owner)
	return alias[:min(len(alias), 250)]
}

// removeNetwork takes the bridge, all ports and the namespace away; what is not there is no error.
func removeNetwork(ctx context.Context, index int) error {
	dev := hostDev(index)
	if exists("/sys/class/net/" + dev) {
		if _, err := run(ctx, "", "ip", "link", "delete", dev); err != nil {
			return fmt.Errorf("removing link: %w", err)
		}
	}
	path := netnsPath(index)
	if isMountPoint(path) {
		// The links go now and not whenever the kernel gets to it: a lost process may hold the namespace a while longer.
		_, linkErr := run(ctx, "", "nsenter", "--net="+path, "ip", "link", "delete", bridgeDev)
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("removing network namespace: %w", errors.Join(err, linkErr))
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing network namespace: %w", err)
	}
	return nil
}

func isMountPoint(path string) bool {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for _, m := range parseMounts(string(data)) {
		if m.point == path {
			return true
		}
	}
	return false
}
