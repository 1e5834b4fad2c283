package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Delete takes the lab away, whole or half-made, whatever has died meanwhile. Deleting what is not there is an error that
// wraps ErrNotFound.
func (l *Lab) Delete(ctx context.Context) error {
	if !exists(l.Dir()) {
		return fmt.Errorf("lab %q: %w", l.opts.Name, ErrNotFound)
	}
	unlock, err := lockFile(ctx, filepath.Join(l.Dir(), "lock"))
	if err != nil {
		return fmt.Errorf("waiting for another command on lab %s: %w", l.opts.Name, err)
	}
	defer unlock()
	// An unreadable or missing state is no obstacle: the claim names the index too.
	if err := l.load(); err != nil {
		l.say("Lab %s has no readable state (%v); going by its claim", l.opts.Name, err)
	}
	return l.destroy(ctx)
}

// destroy removes all that carries the lab's index, then its files. The lab's lock is held.
func (l *Lab) destroy(ctx context.Context) error {
	if err := l.removeRuntime(ctx); err != nil {
		return err
	}
	if err := removeFiles(ctx, l.Dir()); err != nil {
		return fmt.Errorf("deleting lab %s: %w", l.opts.Name, err)
	}
	l.say("Lab %s is gone", l.opts.Name)
	return nil
}

// removeRuntime removes what lives outside the lab's directory.
func (l *Lab) removeRuntime(ctx context.Context) error {
	registry := newRegistry(l.host)
	claims, err := registry.claims()
	if err != nil {
		return err
	}
	for _, c := range claims {
		// The claim decides: after a reboot the index in the state may be another lab's.
		if c.Dir == l.Dir() {
			if err := registry.destroyIndex(ctx, c.Index); err != nil {
				return fmt.Errorf("deleting lab %s: %w", l.opts.Name, err)
			}
		}
	}
	return nil
}

// destroyIndex ends the processes of a lab and removes its cgroups, its network and its claim, in this order: what
// dies half-way is found again by the claim.
func (r registry) destroyIndex(ctx context.Context, index int) error {
	dirs := make([]string, 0, len(r.host.Hierarchies))
	for _, hierarchy := range r.host.Hierarchies {
		dirs = append(dirs, hierarchy.labCgroup(index))
	}
	// Machines may be frozen one by one; thaw each, or they never die.
	for _, dir := range dirs {
		members, _ := filepath.Glob(filepath.Join(dir, "*"))
		_ = r.host.setFrozen(ctx, members, false)
	}
	if err := r.host.killCgroups(ctx, dirs); err != nil {
		return err
	}
	if err := removeCgroups(ctx, dirs); err != nil {
		return err
	}
	if err := removeNetwork(ctx, index); err != nil {
		return err
	}
	return r.release(index)
}

func removeFiles(ctx context.Context, dir string) error {
	if err := removeFilesBut(ctx, dir, "lock"); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// removeFilesBut empties a lab's directory but for one entry.
func removeFilesBut(ctx context.Context, dir, keep string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	if err := releaseDisks(ctx, dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.Name() != keep {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	return err
}

// DeleteStale removes what dead runs left on this host, from any data directory: claims without a lab, creations whose
// creator died, cgroups and links without a claim. It returns one line per removal.
func DeleteStale(ctx context.Context) ([]string, error) {
	host, err := DetectHost()
	if err != nil {
		return nil, err
	}
	r := newRegistry(host)
	// Nobody may claim an index between the look at the claims and the look at what exists.
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	claims, err := r.claims()
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, c := range claims {
		why := c.stale()
		if why == "" {
			continue
		}
		errs = append(errs, r.removeStale(ctx, c))
		removed = append(removed, fmt.Sprintf("network %s of lab %q: %s", networkCIDR(c.Index), c.Name, why))
	}
	for _, index := range r.unclaimed(claims) {
		errs = append(errs, r.destroyIndex(ctx, index))
		removed = append(removed, fmt.Sprintf("network %s: no lab claims it", networkCIDR(index)))
	}
	return removed, errors.Join(errs...)
}

// stale says why a claim is nobody's, or nothing.
func (c claim) stale() string {
	data, readErr := os.ReadFile(filepath.Join(c.Dir, "lab.json"))
	s, decodeErr := decodeState(data)
	switch {
	case c.Creator.alive():
		return ""
	case readErr == nil && decodeErr == nil && s.Index == c.Index && s.Phase == phaseReady:
		if s.Spec.WithCreator {
			return "the process that it belonged to is gone"
		}
		return ""
	case readErr != nil:
		return "its state is gone"
	case decodeErr != nil || s.Index != c.Index:
		return "its state does not name it"
	}
	return "its creator died half-way"
}

// removeStale removes a dead lab, and its files as far as they are known to be its own.
func (r registry) removeStale(ctx context.Context, c claim) error {
	lock := filepath.Join(c.Dir, "lock")
	isLab := filepath.Base(filepath.Dir(c.Dir)) == "labs" && validateLabName(filepath.Base(c.Dir)) == nil
	if !isLab || !exists(lock) {
		return r.destroyIndex(ctx, c.Index)
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	unlock, err := lockFile(ctx, lock)
	if err != nil {
		return fmt.Errorf("locking dead lab %s: %w", c.Dir, err)
	}
	defer unlock()
	if err := r.destroyIndex(ctx, c.Index); err != nil {
		return err
	}
	return removeFiles(ctx, c.Dir)
}

// unclaimed lists indices that own a cgroup or a link but no claim of this boot.
func (r registry) unclaimed(claims []claim) []int {
	found := r.host.cgroupIndices()
	for index := firstIndex; index <= lastIndex; index++ {
		if exists("/sys/class/net/"+hostDev(index)) || isMountPoint(netnsPath(index)) {
			found = append(found, index)
		}
	}
	slices.Sort(found)
	return slices.DeleteFunc(slices.Compact(found), func(index int) bool {
		return slices.ContainsFunc(claims, func(c claim) bool { return c.Index == index })
	})
}
