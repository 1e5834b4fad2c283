package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/block"
)

// InstallerOptions say where and under which server blocks are installed.
type InstallerOptions struct {
	// Target is the data directory, with the staging folder of a Pull.
	Target string
	// Server is the running server, nil where none runs.
	Server TargetServer
	// Within is how long the server may take to see a block; default 3 minutes: it looks once a minute.
	Within time.Duration
	// Every is how often it is asked; default a second. It must be far below the server's reload interval, so that a block
	// that breaks a reload is gone before the next one.
	Every time.Duration
}

// Installer installs staged blocks one at a time.
type Installer struct{ o InstallerOptions }

// NewInstaller makes an Installer.
func NewInstaller(o InstallerOptions) *Installer {
	if o.Within <= 0 {
		o.Within = 3 * time.Minute
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	return &Installer{o: o}
}

// InstallError says that a block was installed and taken away again. It is staged as before.
type InstallError struct {
	Block string
	Why   string
	// Restarted: the server was restarted meanwhile, which says nothing about the block.
	Restarted bool
}

func (e *InstallError) Error() string {
	return fmt.Sprintf("block %s was taken away again: %s", e.Block, e.Why)
}

// ErrTargetSilent says that the running server gave no answer; what was being installed was taken away again.
var ErrTargetSilent = errors.New("the new server does not answer")

// ErrStillOpen says that the running server has more blocks open than there are folders: one that was moved away comes back under its
// name only after the server has dropped it, or it would go on with the old files.
var ErrStillOpen = errors.New("the new server still has a block open whose folder is gone: it drops it at its next reload, within a minute")

// ErrNotStaged says that a block has to be pulled first.
var ErrNotStaged = errors.New("it is not staged and verified: pull it first")

// Install makes a step's block visible and waits until the server sees it. It is read once more before: a *SpoiledError says that the
// disk does not give back what was verified. What the server cannot load is taken away at once. A block that is there already is done. The rules are asked again with what the server says now: its head may have
// moved since the plan was made.
func (i *Installer) Install(ctx context.Context, s Step) error {
	if err := checkName(s.Block); err != nil {
		return err
	}
	target := filepath.Join(i.o.Target, s.Block)
	if _, err := os.Lstat(target); err == nil {
		return nil
	}
	lock, err := lockStaging(filepath.Join(i.o.Target, StagingFolder))
	if err != nil {
		return err
	}
	defer lock.Close()
	staged, err := i.staged(s.Block)
	if err != nil {
		return fmt.Errorf("installing block %s: %w", s.Block, err)
	}
	if err := recheck(ctx, filepath.Dir(staged), s.Block); err != nil {
		return fmt.Errorf("installing block %s: %w", s.Block, err)
	}
	if i.o.Server == nil {
		_, err := block.Install(staged, i.o.Target)
		return err
	}
	before, err := i.allowed(ctx, s)
	if err != nil {
		return fmt.Errorf("installing block %s: %w", s.Block, err)
	}
	if err := i.mark(s.Block); err != nil {
		return fmt.Errorf("installing block %s: %w", s.Block, err)
	}
	meta, err := block.Install(staged, i.o.Target)
	if err != nil {
		return errors.Join(err, i.unmark())
	}
	return i.see(ctx, s.Block, before, func(now *Observation) bool { return loaded(before, now, meta) })
}

// Resume ends an installation whose end nobody saw, because the program was killed after the rename: the server must have
// looked twice without a complaint, or the block is taken away. Without one it does nothing.
func (i *Installer) Resume(ctx context.Context) error {
	lock, err := lockStaging(filepath.Join(i.o.Target, StagingFolder))
	if err != nil {
		return err
	}
	defer lock.Close()
	text, err := os.ReadFile(i.marker())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for an installation that was not ended: %w", err)
	}
	name := string(text)
	if checkName(name) != nil || !isFolder(filepath.Join(i.o.Target, name)) {
		return i.unmark() // killed before the rename
	}
	before, err := i.o.Server.Observe(ctx)
	if err != nil {
		return fmt.Errorf("ending the installation of block %s: %w: %w", name, ErrTargetSilent, err)
	}
	return i.see(ctx, name, before, func(now *Observation) bool { return now.Reloads >= before.Reloads+2 })
}

// markerFile names the block that is being installed.
const markerFile = "installing"

// marker is a file with the name of the block that is being installed.
func (i *Installer) marker() string {
	return filepath.Join(i.o.Target, StagingFolder, markerFile)
}

func (i *Installer) mark(name string) error {
	f, err := os.OpenFile(i.marker(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(name)
	return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(i.marker())))
}

func (i *Installer) unmark() error {
	if err := os.Remove(i.marker()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ending an installation: %w", err)
	}
	return nil
}

// see waits until the server has seen an installed block, and takes it away where it has not.
func (i *Installer) see(ctx context.Context, name string, before *Observation, seen func(now *Observation) bool) error {
	target, staged := filepath.Join(i.o.Target, name), filepath.Join(i.o.Target, StagingFolder, name)
	why, err := i.watch(ctx, before, target, seen)
	if why != "" || err != nil {
		err = undo(name, target, staged, why, err)
	}
	return errors.Join(err, i.unmark())
}

// undo takes a block away again. Not under a context: also when we are told to end, a block that nobody saw loaded does
// not stay.
func undo(name, target, staged, why string, err error) error {
	back := takeAway(target, staged)
	if errors.Is(back, fs.ErrNotExist) { // the server has deleted it
		back = nil
	}
	if back != nil {
		return errors.Join(err, fmt.Errorf("taking block %s away again (%s): %w; move it out of the data directory by hand before the server restarts", name, why, back))
	}
	if err != nil {
		return fmt.Errorf("installing block %s: %w; it was taken away again", name, err)
	}
	return &InstallError{Block: name, Why: why, Restarted: why == restarted}
}

// staged is the folder of a block that was verified.
func (i *Installer) staged(name string) (string, error) {
	folder := filepath.Join(i.o.Target, StagingFolder)
	j, err := openJournal(folder)
	if err != nil {
		return "", err
	}
	defer func() { _ = j.close() }() // nothing was added
	staged := filepath.Join(folder, name)
	if b := j.of(name); b == nil || !b.whole || treeBytes(staged) != b.bytes() {
		return "", ErrNotStaged
	}
	return staged, nil
}

// RuleError is a rule that no longer holds at the moment of the installation.
type RuleError struct{ Refusal Refusal }

func (e *RuleError) Error() string {
	return fmt.Sprintf("%s: %s", e.Refusal.Rule, e.Refusal.Message)
}

// allowed asks the server, and the rules that depend on it, again.
func (i *Installer) allowed(ctx context.Context, s Step) (*Observation, error) {
	now, err := i.o.Server.Observe(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTargetSilent, err)
	}
	if folders, err := i.folders(); err != nil || now.BlocksLoaded > folders {
		return nil, cmp.Or(err, fmt.Errorf("%w (it has %d, there are %d)", ErrStillOpen, now.BlocksLoaded, folders))
	}
	entry := block.Entry{Name: s.Block, Bytes: s.Bytes, Verdict: block.OK, Meta: &block.Meta{MinTime: s.MinTime, MaxTime: s.MaxTime}}
	p := &planner{World: World{Head: &now.Head}, plan: &Plan{}}
	for _, rule := range []Rule{{Name: RuleHeadIsKnown, broken: (*planner).headUnknown}, {Name: RuleEndsBeforeHead, broken: (*planner).insideHead}} {
		if message := rule.broken(p, &entry); message != "" {
			return nil, &RuleError{Refusal{Block: s.Block, Rule: rule.Name, Message: message}}
		}
	}
	return now, nil
}

// folders counts those of blocks, whatever is in them.
func (i *Installer) folders() (n int64, err error) {
	entries, err := os.ReadDir(i.o.Target)
	if err != nil {
		return 0, fmt.Errorf("listing the data directory: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && checkName(e.Name()) == nil {
			n++
		}
	}
	return n, nil
}

// watch waits until the server has seen the block; why says what went wrong instead.
func (i *Installer) watch(ctx context.Context, before *Observation, target string, seen func(now *Observation) bool) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, i.o.Within)
	defer cancel()
	for {
		now, err := i.o.Server.Observe(ctx)
		if err == nil {
			if why := complaint(before, now, target); why != "" || seen(now) {
				return why, nil
			}
		}
		if pause(ctx, i.o.Every) != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				if err != nil {
					err = fmt.Errorf("%w: %w", ErrTargetSilent, err)
				}
				return fmt.Sprintf("the server has not loaded it within %v", i.o.Within), err
			}
			return "", ctx.Err()
		}
	}
}

const restarted = "the server was restarted meanwhile"

// complaint is what went wrong on the server since the block was installed.
func complaint(before, now *Observation, target string) string {
	_, err := os.Lstat(target)
	switch {
	case now.Reloads < before.Reloads:
		return restarted
	case now.ReloadFailures > before.ReloadFailures:
		return "the server's reload failed; its log says why"
	case now.RetentionDeletes > before.RetentionDeletes && err != nil:
		return "the server's retention deleted it"
	case now.CompactionsFailed > before.CompactionsFailed:
		return "a compaction of the server failed; its log says why"
	}
	return ""
}

// loaded says that the server has the block. It may have been compacted into another one already: then the oldest time
// tells, after two reloads, because the first may have begun before the block was there.
func loaded(before, now *Observation, meta *block.Meta) bool {
	return now.BlocksLoaded > before.BlocksLoaded || now.Reloads >= before.Reloads+2 && now.LowestTimestamp <= meta.MinTime
}

// takeAway puts an installed block back where it was staged.
func takeAway(target, staged string) error {
	if err := os.Rename(target, staged); err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(filepath.Dir(target)), durable.SyncDir(filepath.Dir(staged)))
}
