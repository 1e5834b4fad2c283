package grafana

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
)

// Options say what is brought where. All but Override and Tell are needed.
type Options struct {
	Host Host
	// Dir is the folder that becomes the data directory of the new Grafana; its provisioning lies in slipway/provisioning below it.
	Dir string
	// Data and Provisioning are the folders of the old one on its host.
	Data, Provisioning string
	// Source is the address of the old Prometheus, Users that of the users' Service, which data sources get in its place.
	Source, Users string
	Override      []string
	// Tell is told what is done; nil: nobody.
	Tell func(text string)

	// tmp is where the host has the copy for a while, and ways are the ways in which it may be made; tests set them.
	tmp, ways string
}

// Folders within Options.Dir: what has come and is not used yet, and the provisioning.
const (
	incomingFolder     = "slipway/incoming"
	provisioningFolder = "slipway/provisioning"
)

// bringing is one run.
type bringing struct {
	Options
	incoming string
	findings []rule.Finding
	// folders are those of the data directory that were brought, beside the database.
	folders []string
	way     string
}

// Bring takes a consistent copy of the old Grafana's database, its plugins, its provisioning and the dashboards that this names, and has
// nothing of it used before all of it is there and was checked. Killed at any moment and run again it begins anew, and ends with the same.
func Bring(ctx context.Context, o Options) (*Report, error) {
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.tmp == "" {
		o.tmp, o.ways = "/var/tmp", "sqlite python file"
	}
	b := &bringing{Options: o, incoming: filepath.Join(o.Dir, incomingFolder)}
	if err := os.MkdirAll(filepath.Dir(b.incoming), 0o750); err != nil {
		return nil, fmt.Errorf("making a folder for what comes: %w", err)
	}
	lock, err := durable.TryLock(filepath.Join(o.Dir, "slipway", "lock"))
	if err != nil {
		return nil, fmt.Errorf("another run brings data to %s: %w", o.Dir, err)
	}
	defer func() { _ = lock.Close() }() // its end lets go of it in any case
	if err := os.RemoveAll(b.incoming); err != nil {
		return nil, fmt.Errorf("taking away what an earlier run left: %w", err)
	}
	for _, step := range []func(context.Context) error{b.bringProvisioning, b.bringDatabase, b.bringFolders} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		if rule.Stops(rule.Override(b.findings, o.Override)) > 0 {
			return report(b.findings, o.Override, ""), b.forget()
		}
	}
	if err := b.install(); err != nil {
		return nil, err
	}
	return report(b.findings, o.Override, fmt.Sprintf("the database (by %s), the provisioning and %d folders were brought", b.way, len(b.folders))), b.forget()
}

func (b *bringing) forget() error {
	if err := os.RemoveAll(b.incoming); err != nil {
		return fmt.Errorf("taking away what is not needed: %w", err)
	}
	return nil
}

func (b *bringing) find(f rule.Finding) { b.findings = append(b.findings, f) }

// fetch streams a tar of the host into a folder.
func (b *bringing) fetch(ctx context.Context, what, script, into string) (stderr string, files int, err error) {
	b.Tell("bringing " + what)
	in, out := io.Pipe()
	type end struct {
		files int
		err   error
	}
	done := make(chan end, 1)
	go func() {
		n, err := unpack(in, into)
		_ = in.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // ends the host's side where this one gave up
		done <- end{n, err}
	}()
	code, stderr, err := b.Host.Stream(ctx, script, out)
	_ = out.Close() // of a pipe: never an error
	e := <-done
	if err == nil {
		err = exitError(code, what, stderr)
	}
	if errors.Is(err, errNoFolder) {
		return stderr, 0, err // an empty stream is no tar, and says no more
	}
	if err = errors.Join(err, e.err); err != nil {
		return stderr, e.files, fmt.Errorf("bringing %w", err)
	}
	return stderr, e.files, nil
}

func (b *bringing) bringProvisioning(ctx context.Context) error {
	into := filepath.Join(b.incoming, "provisioning")
	if err := os.MkdirAll(into, 0o750); err != nil {
		return fmt.Errorf("making a folder for what comes: %w", err)
	}
	_, n, err := b.fetch(ctx, b.Provisioning, words(folderScript, "dir", b.Provisioning), into)
	if errors.Is(err, errNoFolder) {
		b.find(rule.Finding{Rule: RuleDataIsThere, Verdict: rule.Note, Where: b.Provisioning, Says: "the old host has no such folder: nothing is provisioned"})
		return nil
	}
	if err != nil {
		return err
	}
	b.find(rule.Finding{Rule: RuleDataIsThere, Verdict: rule.Fine, Where: b.Provisioning, Says: fmt.Sprintf("%d files of provisioning", n)})
	return nil
}

// bringDatabase brings it, opens it, and turns the data sources in it and in the provisioning.
func (b *bringing) bringDatabase(ctx context.Context) error {
	into := filepath.Join(b.incoming, "database")
	script := words(databaseScript, "data", b.Data, "base", b.tmp, "ways", b.ways)
	stderr, _, err := b.fetch(ctx, b.Data, script, into)
	if err != nil {
		if errors.Is(err, errBusy) {
			b.find(rule.Finding{Rule: RuleDatabaseQuiet, Verdict: rule.Refused, Where: b.Data, Says: err.Error()})
			return nil
		}
		b.find(rule.Finding{Rule: RuleDataIsThere, Verdict: rule.Refused, Where: b.Data, Says: err.Error()})
		return nil
	}
	b.way = wayOf(stderr)
	b.find(rule.Finding{Rule: RuleDatabaseQuiet, Verdict: rule.Fine, Where: b.Data, Says: "a consistent copy was made by " + b.way})
	t, err := turnDatabase(ctx, filepath.Join(into, "grafana.db"), b.Source, b.Users)
	var bad *notWhole
	if errors.As(err, &bad) {
		b.find(rule.Finding{Rule: RuleDatabaseWhole, Verdict: rule.Refused, Where: b.Data + "/grafana.db", Says: bad.Error(), Fix: "look at the old one: sqlite3 grafana.db 'PRAGMA integrity_check'"})
		return nil
	}
	if err != nil {
		return err
	}
	b.find(rule.Finding{Rule: RuleDatabaseWhole, Verdict: rule.Fine, Where: b.Data + "/grafana.db", Says: "every page of the copy was read"})
	provisioned, err := turnProvisioning(filepath.Join(b.incoming, "provisioning"), b.Source, b.Users)
	if err != nil {
		b.find(rule.Finding{Rule: RuleSourceFound, Verdict: rule.Refused, Where: b.Provisioning, Says: err.Error()})
		return nil
	}
	t.add(provisioned)
	for _, f := range t.judge(b.Source, b.Users) {
		b.find(f)
	}
	return nil
}

// wayOf is how the script made the copy.
func wayOf(stderr string) string {
	for line := range strings.Lines(stderr) {
		if way, ok := strings.CutPrefix(strings.TrimSpace(line), "slipway-way="); ok {
			return server.Clip(map[string]string{"sqlite": "sqlite3", "python": "python3", "file": "its files"}[way], 20)
		}
	}
	return "an unknown way"
}

// bringFolders brings plugins, and what the provisioning names below the data directory.
func (b *bringing) bringFolders(ctx context.Context) error {
	named, err := dashboardDirs(filepath.Join(b.incoming, "provisioning"))
	if err != nil {
		b.find(rule.Finding{Rule: RuleDashboardsReach, Verdict: rule.Refused, Where: b.Provisioning, Says: err.Error()})
		return nil
	}
	folders := []string{"plugins"}
	var away []string
	for _, at := range named {
		rel, below := within(b.Data, at)
		_, provisioned := within(b.Provisioning, at)
		switch {
		case provisioned:
		case below && rel != "" && !overlaps(rel, "slipway") && !strings.HasPrefix(rel, "grafana.db"):
			folders = append(folders, rel)
		default:
			away = append(away, at)
		}
	}
	if len(away) > 0 {
		b.find(rule.Finding{Rule: RuleDashboardsReach, Verdict: rule.Refused, Where: b.Provisioning, Says: "dashboards are provisioned from " + some(away) + ", which is neither below " + b.Data + " nor below " + b.Provisioning,
			Fix: "move them below one of both in the old Grafana; or let the rule pass, and mount them by hand"})
		return nil
	}
	for i, rel := range folders {
		if overlapsAny(rel, folders[:i]) {
			continue
		}
		_, _, err := b.fetch(ctx, path.Join(b.Data, rel), words(folderScript, "dir", path.Join(b.Data, rel)), filepath.Join(b.incoming, "data", rel))
		if errors.Is(err, errNoFolder) {
			continue
		}
		if err != nil {
			return err
		}
		b.folders = append(b.folders, rel)
	}
	return nil
}

func overlaps(a, b string) bool {
	_, in := within(a, b)
	_, holds := within(b, a)
	return in || holds
}

func overlapsAny(a string, all []string) bool {
	for _, b := range all {
		if _, in := within(b, a); in {
			return true
		}
	}
	return false
}

// install puts what came in the place of what was there. Grafana does not run meanwhile; a kill in between leaves a folder that the next
// run fills again.
func (b *bringing) install() error {
	for _, end := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(filepath.Join(b.Dir, "grafana.db"+end)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("taking away what was there: %w", err)
		}
	}
	moves := [][2]string{{filepath.Join(b.incoming, "provisioning"), filepath.Join(b.Dir, provisioningFolder)}}
	for _, rel := range b.folders {
		moves = append(moves, [2]string{filepath.Join(b.incoming, "data", rel), filepath.Join(b.Dir, rel)})
	}
	for _, m := range moves {
		if err := os.RemoveAll(m[1]); err != nil {
			return fmt.Errorf("taking away what was there: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(m[1]), 0o750); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := os.Rename(m[0], m[1]); err != nil {
			return fmt.Errorf("putting what came in its place: %w", err)
		}
	}
	// The database comes last: without it there is no data directory.
	file := filepath.Join(b.Dir, "grafana.db")
	if err := os.Rename(filepath.Join(b.incoming, "database", "grafana.db"), file); err != nil {
		return fmt.Errorf("putting the database in its place: %w", err)
	}
	return durable.SyncDir(b.Dir)
}
