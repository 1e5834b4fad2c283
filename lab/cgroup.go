package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupPrefix = "slipway-lab-"
	// setupMember holds what works on the lab itself and on no machine.
	setupMember = "setup"
)

// killTimeout is how long processes may take to vanish after SIGKILL: the time of one slow disk flush.
const killTimeout = 30 * time.Second

// labCgroup is the directory of a whole lab in one hierarchy.
func (h Hierarchy) labCgroup(index int) string {
	return filepath.Join(h.Mount, cgroupPrefix+strconv.Itoa(index))
}

// cgroupDirs are the directories of one machine (or of the relays), one per hierarchy.
func (h Host) cgroupDirs(index int, member string) []string {
	dirs := make([]string, 0, len(h.Hierarchies))
	for _, hierarchy := range h.Hierarchies {
		dirs = append(dirs, filepath.Join(hierarchy.labCgroup(index), member))
	}
	return dirs
}

// cgroupIndices lists the labs that own a cgroup in any hierarchy.
func (h Host) cgroupIndices() []int {
	var found []int
	for _, hierarchy := range h.Hierarchies {
		paths, _ := filepath.Glob(filepath.Join(hierarchy.Mount, cgroupPrefix+"*"))
		for _, path := range paths {
			index, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), cgroupPrefix))
			if err == nil && !slices.Contains(found, index) {
				found = append(found, index)
			}
		}
	}
	slices.Sort(found)
	return found
}

// makeCgroups makes a member's directories in every hierarchy and gives them what they need to hold a process.
func (h Host) makeCgroups(index int, member string, memoryBytes int64) error {
	limited := memoryBytes == 0
	for _, hierarchy := range h.Hierarchies {
		parent := hierarchy.Mount
		for _, dir := range []string{hierarchy.labCgroup(index), filepath.Join(hierarchy.labCgroup(index), member)} {
			if err := makeCgroup(hierarchy, h.Mode, parent, dir); err != nil {
				return err
			}
			parent = dir
		}
		done, err := limitMemory(parent, memoryBytes)
		if err != nil {
			return err
		}
		limited = limited || done
	}
	if !limited {
		return errors.New("limiting memory: no hierarchy has the memory controller; see slipway lab doctor")
	}
	return nil
}

func makeCgroup(hierarchy Hierarchy, mode CgroupMode, parent, dir string) error {
	if mode == CgroupV2 {
		if err := enableControllers(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making cgroup: %w", err)
	}
	if hierarchy.V2 {
		return nil
	}
	// A version 1 cpuset is born empty and takes no process until it has cpus and memory nodes.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("copying %s: %w", file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return fmt.Errorf("copying %s: %w", file, err)
		}
	}
	return nil
}

// enableControllers passes every controller on to the children of a version 2 cgroup.
func enableControllers(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading controllers: %w", err)
	}
	for _, controller := range strings.Fields(string(available)) {
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		if err != nil {
			return fmt.Errorf("passing on controller %s below %s: %w", controller, dir, err)
		}
	}
	return nil
}

// limitMemory says whether the directory could take the limit.
func limitMemory(dir string, limit int64) (done bool, err error) {
	for _, file := range []string{"memory.limit_in_bytes", "memory.max"} {
		path := filepath.Join(dir, file)
		if limit == 0 || !exists(path) {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
			return false, fmt.Errorf("limiting memory: %w", err)
		}
		done = true
	}
	return done, nil
}

// cgroupPIDs returns every process below the directories.
func cgroupPIDs(dirs []string) []int {
	var pids []int
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil // a cgroup that vanishes under the walk holds nobody
			}
			data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, field := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// killCgroups ends everything below the directories at once: frozen first, so that nobody sees a neighbour die.
func (h Host) killCgroups(ctx context.Context, dirs []string) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	freezeErr := h.setFrozen(ctx, dirs, true)
	var left []int
	err := waitFor(ctx, func() (bool, error) {
		left = cgroupPIDs(dirs)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = h.setFrozen(ctx, dirs, false) // a frozen process dies when it thaws
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("killing processes %v: %w", left, errors.Join(err, freezeErr))
	}
	return nil
}

// setFrozen stops or resumes everything below the directories; it returns when the kernel says so.
func (h Host) setFrozen(ctx context.Context, dirs []string, frozen bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, dir := range dirs {
		if err := h.setDirFrozen(ctx, dir, frozen); err != nil {
			return fmt.Errorf("freezing or thawing %s: %w", dir, err)
		}
	}
	return nil
}

func (h Host) setDirFrozen(ctx context.Context, dir string, frozen bool) error {
	if v1 := filepath.Join(dir, "freezer.state"); exists(v1) {
		word := map[bool]string{true: "FROZEN", false: "THAWED"}[frozen]
		return waitFor(ctx, func() (bool, error) {
			if err := os.WriteFile(v1, []byte(word), 0o644); err != nil {
				return false, err
			}
			now, err := os.ReadFile(v1)
			return strings.TrimSpace(string(now)) == word, err
		})
	}
	v2 := filepath.Join(dir, "cgroup.freeze")
	if !exists(v2) || h.Mode == CgroupV1 { // on a hybrid host the version 1 freezer does the work
		return nil
	}
	word := map[bool]string{true: "1", false: "0"}[frozen]
	if err := os.WriteFile(v2, []byte(word), 0o644); err != nil {
		return err
	}
	return waitFor(ctx, func() (bool, error) {
		events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		return strings.Contains(string(events), "frozen "+word), err
	})
}

const (
	// cpuPeriod is how often a limited machine gets its share, in microseconds; the kernel's own default.
	cpuPeriod = 100_000
	// minCores is the least that the kernel takes: a millisecond per period.
	minCores, maxCores = 0.01, 1024.0
)

// limitCores sets how much of the cores the processes in a machine's directories get together; zero is all of them.
func limitCores(dirs []string, cores float64) error {
	v1, v2 := "-1", "max"
	if cores != 0 {
		v1 = strconv.Itoa(int(cores * cpuPeriod))
		v2 = v1
	}
	for _, dir := range dirs {
		for name, text := range map[string]string{"cpu.cfs_quota_us": v1, "cpu.max": fmt.Sprintf("%s %d", v2, cpuPeriod)} {
			if !exists(filepath.Join(dir, name)) {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				return fmt.Errorf("limiting cores: %w", err)
			}
			return nil
		}
	}
	return errors.New("limiting cores: this kernel has no CFS bandwidth control")
}

// removeCgroups removes the directories and all below them, deepest first.
func removeCgroups(ctx context.Context, dirs []string) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	for _, dir := range dirs {
		var last error
		err := waitFor(ctx, func() (bool, error) {
			last = removeCgroupTree(dir)
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("removing cgroup: %w", last)
		}
	}
	return nil
}

func removeCgroupTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
