package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Faults as they are noted and listed.
const (
	faultPower  = "power-off"
	faultCable  = "unplug"
	faultFreeze = "freeze"
	faultDisk   = "fill-disk"
	faultRate   = "rate"
	faultDelay  = "delay"
	faultSlow   = "slow"
	faultClock  = "clock"
)

const ballast = "/var/lib/slipway-lab-ballast"

// fault runs fn for a machine under the lab's lock and notes or forgets the fault.
func (l *Lab) fault(ctx context.Context, machine, name string, on bool, fn func(*machineState) error) error {
	return l.under(ctx, func() error {
		m, err := l.find(machine)
		if err != nil {
			return err
		}
		if err := fn(m); err != nil {
			return fmt.Errorf("%s of %s (%t): %w", name, m.Hostname, on, err)
		}
		m.Faults = slices.DeleteFunc(m.Faults, func(f string) bool { return f == name })
		if on {
			m.Faults = append(m.Faults, name)
			slices.Sort(m.Faults)
		}
		return nil
	})
}

// PowerOff pulls the plug: every process ends at once and what was not synced to disk is lost.
func (l *Lab) PowerOff(ctx context.Context, machine string) error {
	return l.fault(ctx, machine, faultPower, true, func(m *machineState) error {
		// Cable and rate belong to the port, a freeze and a limit of its cores to the processes: they end with the power.
		ends := []string{faultCable, faultRate, faultFreeze, faultSlow}
		m.Faults = slices.DeleteFunc(m.Faults, func(f string) bool { return slices.Contains(ends, f) })
		return l.stop(ctx, m)
	})
}

// PowerOn boots a machine from the disk that it had, and returns when its sshd answers. A running machine stays as it is.
func (l *Lab) PowerOn(ctx context.Context, machine string) error {
	return l.fault(ctx, machine, faultPower, false, func(m *machineState) error {
		if l.hasPower(m) {
			return nil
		}
		if err := l.ensureNetwork(ctx); err != nil {
			return err
		}
		// A machine that died by itself has left-overs that PowerOff would have taken.
		if err := l.stop(ctx, m); err != nil {
			return err
		}
		if err := l.host.makeCgroups(l.state.Index, m.Name, m.MemoryBytes); err != nil {
			return err
		}
		if err := l.start(m); err != nil {
			return err
		}
		return l.awaitBoot(ctx, m)
	})
}

// ensureNetwork brings the lab's network back after a reboot of the management host.
func (l *Lab) ensureNetwork(ctx context.Context) error {
	if isMountPoint(netnsPath(l.state.Index)) {
		return nil
	}
	if _, err := newRegistry(l.host).reserve(ctx, l.opts.Name, l.Dir(), l.state.Index); err != nil {
		return err
	}
	if err := l.makeNetwork(ctx); err != nil {
		return err
	}
	return newRegistry(l.host).settle(l.state.Index, l.opts.Name, l.Dir(), l.state.Spec.WithCreator)
}

// Unplug pulls the network cable: the machine sees its link go down.
func (l *Lab) Unplug(ctx context.Context, machine string) error {
	return l.setCable(ctx, machine, false)
}

// Plug puts the cable back.
func (l *Lab) Plug(ctx context.Context, machine string) error { return l.setCable(ctx, machine, true) }

func (l *Lab) setCable(ctx context.Context, machine string, in bool) error {
	return l.fault(ctx, machine, faultCable, !in, func(m *machineState) error {
		if _, err := l.leader(m); err != nil {
			return err
		}
		word := map[bool]string{true: "up", false: "down"}[in]
		_, err := run(ctx, "", l.inNet("ip", "link", "set", portDev(m.Name), word)...)
		return err
	})
}

// Freeze stops all processes of a machine; its kernel still answers pings and accepts connections.
func (l *Lab) Freeze(ctx context.Context, machine string) error {
	return l.setFrozen(ctx, machine, true)
}

// Thaw lets a frozen machine go on.
func (l *Lab) Thaw(ctx context.Context, machine string) error {
	return l.setFrozen(ctx, machine, false)
}

func (l *Lab) setFrozen(ctx context.Context, machine string, frozen bool) error {
	return l.fault(ctx, machine, faultFreeze, frozen, func(m *machineState) error {
		if _, err := l.leader(m); err != nil {
			return err
		}
		return l.host.setFrozen(ctx, l.memberDirs(m.Name), frozen)
	})
}

// LimitCores limits how much of the cores of this host a machine gets, such as 0.5; zero takes the limit away.
func (l *Lab) LimitCores(ctx context.Context, machine string, cores float64) error {
	if cores != 0 && (cores < minCores || cores > maxCores) {
		return fmt.Errorf("limiting the cores of %s: %g is not between %g and %g", machine, cores, minCores, maxCores)
	}
	return l.fault(ctx, machine, faultSlow, cores != 0, func(m *machineState) error {
		if _, err := l.leader(m); err != nil {
			return err
		}
		return limitCores(l.memberDirs(m.Name), cores)
	})
}

// FillDisk leaves about leaveBytes of the machine's root disk free. The space is taken, not written.
func (l *Lab) FillDisk(ctx context.Context, machine string, leaveBytes int64) error {
	if leaveBytes < 0 {
		return fmt.Errorf("filling the disk of %s: %d bytes cannot be left free", machine, leaveBytes)
	}
	return l.fault(ctx, machine, faultDisk, true, func(m *machineState) error {
		leader, err := l.leader(m)
		if err != nil {
			return err
		}
		if _, err := l.console(ctx, m, `rm -f "$1"; sync`, ballast); err != nil {
			return err
		}
		var fs syscall.Statfs_t
		if err := syscall.Statfs(filepath.Join("/proc", strconv.Itoa(leader), "root"), &fs); err != nil {
			return fmt.Errorf("measuring free space: %w", err)
		}
		// Bfree and not Bavail: root may use the reserve, and so may what runs as root.
		take := int64(fs.Bfree)*fs.Bsize - leaveBytes
		// An extent tree needs some blocks itself, so an allocation of everything fails: step down until it fits.
		_, err = l.console(ctx, m, `size=$2; until fallocate -l "$size" "$1" 2>/dev/null; do size=$((size - 1048576));`+
			` [ "$size" -gt 0 ] || exit 0; done`, ballast, strconv.FormatInt(max(take, 0), 10))
		return err
	})
}

// FreeDisk gives the space back.
func (l *Lab) FreeDisk(ctx context.Context, machine string) error {
	return l.fault(ctx, machine, faultDisk, false, func(m *machineState) error {
		_, err := l.console(ctx, m, `rm -f "$1"`, ballast)
		return err
	})
}

// LimitRate limits what a machine sends and what it receives to bytesPerSecond each; zero takes the limit away.
func (l *Lab) LimitRate(ctx context.Context, machine string, bytesPerSecond int64) error {
	if bytesPerSecond != 0 && bytesPerSecond < 1024 {
		return fmt.Errorf("limiting the rate of %s: %d bytes per second is below 1024", machine, bytesPerSecond)
	}
	return l.fault(ctx, machine, faultRate, bytesPerSecond != 0, func(m *machineState) error {
		leader, err := l.leader(m)
		if err != nil {
			return err
		}
		toMachine := append(l.inNet("tc"), ratePlan(portDev(m.Name), bytesPerSecond)...)
		fromMachine := append([]string{"nsenter", "--target", strconv.Itoa(leader), "--net", "tc"}, ratePlan("eth0", bytesPerSecond)...)
		for _, argv := range [][]string{toMachine, fromMachine} {
			if _, err := run(ctx, "", argv...); err != nil && (bytesPerSecond != 0 || !noQdisc(err)) {
				return err
			}
		}
		return nil
	})
}

// ratePlan is the arguments of tc: a token bucket that holds 100 ms of traffic, at least one full segment of 64 KiB.
func ratePlan(dev string, bytesPerSecond int64) []string {
	if bytesPerSecond == 0 {
		return []string{"qdisc", "delete", "dev", dev, "root"}
	}
	burst := max(bytesPerSecond/10, 1<<17)
	return []string{"qdisc", "replace", "dev", dev, "root", "tbf", "rate", strconv.FormatInt(bytesPerSecond, 10) + "bps",
		"burst", strconv.FormatInt(burst, 10), "latency", "400ms"}
}

func noQdisc(err error) bool {
	return strings.Contains(err.Error(), "handle of zero") || strings.Contains(err.Error(), "No such file")
}

// SetClock moves the wall clock of everything that is started from now on in a machine, sshd included, by offset; zero
// takes the offset away. The kernel has one wall clock for all machines, so this is libfaketime, preloaded: programs that
// are linked statically (kubelet, containerd, all of Go) keep the true time.
func (l *Lab) SetClock(ctx context.Context, machine string, offset time.Duration) error {
	return l.fault(ctx, machine, faultClock, offset != 0, func(m *machineState) error {
		if offset == 0 {
			_, err := l.console(ctx, m, `rm -f /etc/ld.so.preload /etc/faketimerc; systemctl restart ssh.service`)
			return err
		}
		_, err := l.console(ctx, m, `printf '%s\n' "$1" > /etc/faketimerc; `+
			`ls /usr/lib/*/faketime/libfaketime.so.1 > /etc/ld.so.preload.new; mv /etc/ld.so.preload.new /etc/ld.so.preload; `+
			`systemctl restart ssh.service`, fakeOffset(offset))
		return err
	})
}

// fakeOffset writes an offset as libfaketime reads it: a sign and seconds.
func fakeOffset(offset time.Duration) string {
	return fmt.Sprintf("%+d", int64(math.Round(offset.Seconds())))
}

// Heal undoes every fault of a machine; what is not broken stays as it is. A machine without power boots.
func (l *Lab) Heal(ctx context.Context, machine string) error {
	if err := l.StopRelays(ctx, machine); err != nil {
		return err
	}
	if err := l.PowerOn(ctx, machine); err != nil {
		return err
	}
	m, err := l.find(machine)
	if err != nil {
		return err
	}
	cure := map[string]func() error{
		faultFreeze: func() error { return l.Thaw(ctx, machine) },
		faultCable:  func() error { return l.Plug(ctx, machine) },
		faultDisk:   func() error { return l.FreeDisk(ctx, machine) },
		faultRate:   func() error { return l.LimitRate(ctx, machine, 0) },
		faultSlow:   func() error { return l.LimitCores(ctx, machine, 0) },
		faultClock:  func() error { return l.SetClock(ctx, machine, 0) },
	}
	var errs []error
	faults := slices.Clone(m.Faults)
	for _, name := range []string{faultFreeze, faultCable, faultDisk, faultRate, faultSlow, faultClock} {
		if slices.Contains(faults, name) {
			errs = append(errs, cure[name]())
		}
	}
	return errors.Join(errs...)
}
