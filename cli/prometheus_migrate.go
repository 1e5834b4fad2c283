package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/replica"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

type migrateOptions struct {
	move.Options
	from              transfer.MoveOptions
	ssh               sshSource
	replica           replicaOptions
	source, target    server.Options
	except            []string
	scrapes, samples  int
	ceiling, keepFree bytesValue
	output, progress  string
	quiet, dryRun     bool
	undo              bool
	coverageAccepted  bool
	reload            bool
	sourceC, targetC  *server.Client
	proved            func(*proof.Report) // is told each proof in full; nil: nobody
}

// newPrometheusMigrateCommand builds slipway prometheus migrate.
func newPrometheusMigrateCommand() *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate --source FROM --source-server URL --target-data DIR --target URL --state DIR",
		Short: "Bring the history of a running server under another one, with no sample lost",
		Long: `Bring the whole history of a running Prometheus under a new one that runs already and scrapes the same, while both go on. Run it on the host of the new
server. --source is the old data directory, host:port of an agent source there, unix:PATH of one behind SSH, or ssh://user@host[:port]/directory: then slipway-agent is put
there, started as the directory's owner, restarted when it or the link dies, and taken away at the end.

Phases: Pin (hard links on the source), StartTarget (the new server's first sample is S'), Coverage (both scrape the same), Stage (blocks are brought and
verified on this disk), Seam (the block over S' is cut in two), Install (newest first, one at a time, never inside the new server's head), Verify (both servers
are compared, sample by sample). It ends there: queries and alerts are moved by hand or by slipway prometheus cutover. The old server is not touched.

It takes as long as the new server needs to cut its own head once: some three hours with blocks of two. What is waited for, and until about when, is
printed. Killed at any moment, the same command goes on where it was; --dry-run prints what it would do now, and --undo takes back what it brought.

What the new server misses because it is down, frozen or cut off is filled with the old server's samples. Run the command again after its end when the
new server was restarted: it fills what that missed, which takes until the heads are cut again, and compares anew; where nothing was missed it ends at once.
With --replica the old server is one of two that scrape the same. For each range of blocks one of them is chosen, the one with more samples, and it is
said why; samples of both are never put together. Where a block is damaged or a server is gone, the other one stands in if it holds the range whole.
With --progress json standard output is one JSON line for each change (phase, steps, waits, blocks, transfer, proof), every two seconds at most while
only numbers change; a proof in full is a line of its own, {"report": …}. The last line of a run that has come to its end has "done": true or a "stop" with its rule.
Exit codes: 0 all is there and proved, 1 it cannot go on (the reason is named), 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus migrate --source old:9797 --credentials ./target --source-server http://old:9090 --target-data /prometheus --target http://127.0.0.1:9090 --state ./move
  slipway prometheus migrate --source ssh://root@old/var/lib/prometheus --ssh-key ./key --source-server http://old:9090 --target-data /prometheus --target http://127.0.0.1:9090 --state ./move
  slipway prometheus migrate --source /mnt/old --source-server http://old:9090 --target-data /prometheus --target http://127.0.0.1:9090 --state ./move --dry-run`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *migrateOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	f.StringVar(&o.from.From, "source", "", "the old data directory, host:port of an agent source, unix:PATH, or ssh://user@host[:port]/directory")
	o.ssh.agentFlags(cmd)
	f.StringVar(&o.from.Credentials, "credentials", "", "folder target of agent init, for host:port")
	f.StringVar(&o.source.URL, "source-server", "", "address of the old server")
	f.StringVar(&o.target.URL, "target", "", "address of the new server")
	f.StringVar(&o.TargetData, "target-data", "", "data directory of the new server")
	f.StringVar(&o.StateDir, "state", "", "folder for what the next run has to know; one for each migration")
	serverFlags(f, "source-server-", " of the old server", &o.source)
	serverFlags(f, "target-", " of the new server", &o.target)
	o.replica.flags(cmd)
	f.StringSliceVar(&o.except, "except", nil, "job that the new server need not scrape; may be repeated")
	f.BoolVar(&o.coverageAccepted, "accept-coverage", false, "go on although the new server does not scrape the same as the old one")
	f.IntVar(&o.scrapes, "scrapes", 3, "how many scrapes of each target must agree")
	f.IntVar(&o.samples, "samples", 200, "how many pairs of a series and a window the proof compares bit by bit")
	f.DurationVar(&o.SeamSpan, "seam-span", 10*time.Minute, "how far behind the moment when both scrape the same gaps are filled; longer than the longest scrape interval")
	f.StringSliceVar(&o.Lost, "lost", nil, "give up the samples of this block of the source; may be repeated")
	f.StringSliceVar(&o.Overrides, "override", nil, "switch off this rule: "+strings.Join(append(overridable(), replica.RuleOneScrape), ", "))
	f.IntVar(&o.Pull.Parallel, "parallel", 4, "pieces that travel at once")
	f.StringVar(&o.Pull.Seed, "seed", "", "data directory of this host that may hold a part of the same: only the difference travels")
	f.Float64Var(&o.from.LatencyPercent, "latency-budget", 20, "percent by which the old server's query may become slower; an agent that runs already has its own")
	f.Var(&o.ceiling, "ceiling", "most bytes per second, as in 50MiB; 0: none")
	f.Var(&o.keepFree, "keep-free", "leave this much of the disk free, as in 10GiB")
	f.DurationVar(&o.Pull.Patience, "patience", 10*time.Minute, "how long the source may be silent while blocks travel")
	f.DurationVar(&o.Every, "every", 5*time.Second, "how often to look while something is waited for")
	f.BoolVar(&o.reload, "reload-target", false, "somebody else writes the new server's configuration: have it read that again while remote_read has to go (needs --web.enable-lifecycle there)")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done now, and what is waited for")
	f.BoolVar(&o.undo, "undo", false, "take back what the migration brought to the new server, and let go of the old one's blocks")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	progressFlag(cmd, &o.progress)
	for _, name := range []string{"source", "source-server", "target", "target-data", "state"} {
		// These fail for a flag that does not exist only.
		_ = cmd.MarkFlagRequired(name)
	}
	_ = cmd.MarkFlagDirname("target-data")
	_ = cmd.MarkFlagDirname("state")
}

func (o *migrateOptions) run(ctx context.Context, out, errs io.Writer) error {
	if o.undo && o.dryRun {
		return &usageError{errors.New("--undo goes with no --dry-run")}
	}
	if err := o.replica.check(); err != nil {
		return err
	}
	if o.progress == "json" {
		return o.runLines(ctx, out, errs)
	}
	if o.quiet {
		errs = io.Discard
	}
	end, err := o.open(ctx, errs)
	if err != nil {
		return err
	}
	defer end()
	if o.dryRun {
		return o.look(ctx, out)
	}
	if o.undo {
		return o.takeBack(ctx, out)
	}
	s, err := o.runMove(ctx)
	if s == nil {
		return err
	}
	if printed := printMove(out, o.output, s); printed != nil {
		return printed
	}
	return err
}

// runLines runs for a program that reads standard output: a line for each change, and nothing else. People read the other one.
func (o *migrateOptions) runLines(ctx context.Context, out, errs io.Writer) error {
	if o.output != "" || o.dryRun {
		return &usageError{errors.New("--progress json goes with neither --output nor --dry-run")}
	}
	if o.quiet {
		errs = io.Discard
	}
	lines := &progressLines{w: out, now: time.Now}
	o.Report, o.proved = lines.tell, lines.report
	err := o.move(ctx, errs)
	if ctx.Err() == nil {
		lines.end(err)
	}
	return err
}

func (o *migrateOptions) move(ctx context.Context, errs io.Writer) error {
	end, err := o.open(ctx, errs)
	if err != nil {
		return err
	}
	defer end()
	if o.undo {
		done, err := o.undoMove(ctx)
		if err == nil {
			o.Report(undoProgress(done))
		}
		return err
	}
	_, err = o.runMove(ctx)
	return err
}

// undoProgress is the last line of an undo.
func undoProgress(done *move.Undone) move.Progress {
	return move.Progress{Phase: move.Pin, Steps: []string{}, Waits: []string{}, Notes: undoneWords(done), Done: true,
		Transfer: move.TransferProgress{Signals: []string{}}}
}

// undoneWords say what an undo did.
func undoneWords(done *move.Undone) []string {
	words := []string{fmt.Sprintf("%d blocks were taken out of the new server; those of the old one are let go of", len(done.Removed))}
	for _, name := range done.Merged {
		words = append(words, fmt.Sprintf("block %s stays: the new server had merged it with its own samples", name))
	}
	return words
}

// takeBack undoes a migration for people.
func (o *migrateOptions) takeBack(ctx context.Context, out io.Writer) error {
	done, err := o.undoMove(ctx)
	if err != nil {
		return err
	}
	if o.output != "" {
		return printObject(out, o.output, done)
	}
	for _, line := range undoneWords(done) {
		fmt.Fprintln(out, line)
	}
	return nil
}

func (o *migrateOptions) printDecision(out io.Writer, d *move.Decision) error {
	if o.output != "" {
		return printObject(out, o.output, d)
	}
	_, err := fmt.Fprint(out, d)
	return err
}

// open reaches both sides.
func (o *migrateOptions) open(ctx context.Context, errs io.Writer) (func(), error) {
	o.source.Name, o.target.Name = "old server", "new server"
	var err error
	if o.sourceC, err = server.New(o.source); err != nil {
		return nil, &usageError{err}
	}
	if o.targetC, err = server.New(o.target); err != nil {
		return nil, &usageError{err}
	}
	if o.SourceServer, err = transfer.NewPrometheus(o.source); err != nil {
		return nil, err
	}
	if o.TargetServer, err = transfer.NewPrometheus(o.target); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program: %w", err)
	}
	o.Cutter = move.Command{self, "prometheus", "cut"}
	o.from.SourceServer, o.from.Ceiling = o.source, int64(o.ceiling)
	if o.dryRun { // then no query is timed, and nothing is read but lists
		o.from.Still = true
	}
	end, err := o.openSources(ctx, errs)
	if err != nil {
		return nil, err
	}
	o.Pull.KeepFree, o.Pull.Progress = uint64(o.keepFree), pullProgress(errs, time.Now)
	o.Tell = tellMove(errs)
	o.Coverage, o.Bridge, o.Proof, o.LateWindow, o.Outages = o.coverage, o.bridge, o.compare(errs), o.late, o.outages
	if o.replica.pair != nil { // a pair takes none: see its rules
		o.LateWindow = nil
	}
	return end, nil
}

// openSources opens the old data directory, and that of its replica.
func (o *migrateOptions) openSources(ctx context.Context, errs io.Writer) (func(), error) {
	source, first, err := o.openFrom(ctx, errs, o.from, o.ssh, o.source)
	if err != nil {
		return nil, err
	}
	o.Source = source
	if o.SourceName, err = sourceName(o.from.From); err != nil {
		first()
		return nil, err
	}
	if info, err := os.Stat(o.from.From); o.ceiling > 0 && (err != nil || !info.IsDir()) { // a directory of this host is held where it is read
		o.Pull.Pace = transfer.NewThrottle(transfer.ThrottleOptions{Budget: transfer.Budget{Ceiling: int64(o.ceiling)}}).Wait
	}
	if o.replica.from.From == "" {
		return first, nil
	}
	second, err := o.openReplica(ctx, errs)
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

// openFrom opens an old data directory, here or on its host.
func (o *migrateOptions) openFrom(ctx context.Context, errs io.Writer, from transfer.MoveOptions, over sshSource, old server.Options) (transfer.Source, func(), error) {
	if !isSSH(from.From) {
		return transfer.OpenSource(ctx, from)
	}
	args := []string{fmt.Sprintf("-latency-budget=%g", from.LatencyPercent)}
	if o.dryRun {
		args = []string{"-full-speed"}
	} else if over.server.URL == "" {
		if old.User != "" || old.TokenFile != "" {
			return nil, nil, &usageError{errors.New("--agent-server is missing: where the old server is reached from its own host, with --agent-server-password-file or the like there")}
		}
		over.server = server.Options{URL: old.URL}
	}
	a, err := over.open(ctx, from.From, args, errs)
	if err != nil {
		return nil, nil, err
	}
	return a.Source(), a.Close, nil
}

// tellMove prints the next step, and waits when they change. Their times move a little while servers scrape.
func tellMove(w io.Writer) func(*move.Decision) {
	told := map[string]bool{}
	return func(d *move.Decision) {
		var lines []string
		if len(d.Steps) > 0 {
			lines = append(lines, d.Steps[0].Text)
		} else {
			for _, text := range d.Waits {
				lines = append(lines, "waiting: "+text)
			}
		}
		for _, n := range d.Notes {
			lines = append(lines, "note: "+n)
		}
		for _, line := range lines {
			if told[line] {
				continue
			}
			told[line] = true
			fmt.Fprintf(w, "%s %s\n", time.Now().UTC().Format("15:04:05"), line)
		}
	}
}

// coverage is the gate: both scrape the same.
func (o *migrateOptions) coverage(ctx context.Context) (string, error) {
	if o.coverageAccepted {
		return "", nil
	}
	r, err := survey.NewCoverage(survey.CoverageOptions{Source: o.sourceC, Target: o.targetC, Scrapes: o.scrapes, Except: o.except}).Check(ctx)
	if err != nil && ctx.Err() == nil && o.replica.client != nil { // one of two is enough
		r, err = survey.NewCoverage(survey.CoverageOptions{Source: o.replica.client, Target: o.targetC, Scrapes: o.scrapes, Except: o.except}).Check(ctx)
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return err.Error(), nil
	}
	if r.Verdict == survey.CoverageEqual {
		return "", nil
	}
	return r.Says + " (--accept-coverage goes on all the same, --except leaves a job)", nil
}

// outages says when the new server scraped nothing.
func (o *migrateOptions) outages(ctx context.Context, since int64) (list []seam.Range, err error) {
	found, err := survey.Outages(ctx, survey.OutageOptions{Source: o.sourceC, Target: o.targetC, Since: time.UnixMilli(since)})
	for _, x := range found {
		list = append(list, seam.Range{From: x.From.UnixMilli(), To: x.To.UnixMilli()})
	}
	return list, err
}

// bridge says what the new server still asks others for.
func (o *migrateOptions) bridge(ctx context.Context) (string, error) {
	seen, err := survey.Observe(ctx, o.targetC)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return err.Error(), nil
	}
	if len(seen.Config.RemoteRead) == 0 {
		return "", nil
	}
	from := strings.Join(seen.Config.RemoteRead, ", ")
	if !o.reload {
		return fmt.Sprintf("the history is there: take remote_read (%s) out of the new server's configuration and reload it, so that it answers for itself when both are compared", from), nil
	}
	if err := o.targetC.Reload(ctx); err != nil && ctx.Err() == nil {
		return fmt.Sprintf("the new server does not read its configuration again, in which remote_read (%s) has to go: %v", from, err), nil
	}
	return fmt.Sprintf("the history is there: the new server reads its configuration again and again, until remote_read (%s) is gone from it", from), nil
}

// late asks the old server how late a sample may come.
func (o *migrateOptions) late(ctx context.Context) (time.Duration, error) {
	seen, err := survey.Observe(ctx, o.sourceC)
	if err != nil {
		return 0, err
	}
	return time.Duration(seen.Config.OutOfOrderMillis) * time.Millisecond, nil
}

// compare is the proof at the end.
func (o *migrateOptions) compare(errs io.Writer) func(context.Context, move.ProofInput) (*proof.Report, error) {
	return func(ctx context.Context, in move.ProofInput) (*proof.Report, error) {
		r, err := o.prove(ctx, in, errs)
		if err != nil {
			return nil, err
		}
		page := filepath.Join(o.StateDir, "proof.html")
		if err := writePage(page, r); err != nil {
			return nil, err
		}
		fmt.Fprintf(errs, "The report is %s\n", page)
		if o.proved != nil {
			o.proved(r)
		}
		return r, nil
	}
}

// newPrometheusStatusCommand builds slipway prometheus status.
func newPrometheusStatusCommand() *cobra.Command {
	var dir, output string
	cmd := &cobra.Command{
		Use:   "status --state DIR",
		Short: "Say how far a migration is",
		Long: `Say how far a migration is, as slipway prometheus migrate left it in its folder: phase, S', blocks and pieces, what is waited for, why it stopped.
It asks no server and may run beside the migration.
Exit codes: 0 the state was read, 1 there is none, 2 wrong usage.`,
		Example:           `  slipway prometheus status --state ./move`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := move.ReadState(dir)
			if err != nil {
				return err
			}
			return printMove(cmd.OutOrStdout(), output, s)
		},
	}
	outputFlag(cmd, &output, "json", "yaml")
	cmd.Flags().StringVar(&dir, "state", "", "folder of the migration")
	// These fail for a flag that does not exist only.
	_ = cmd.MarkFlagRequired("state")
	_ = cmd.MarkFlagDirname("state")
	return cmd
}

// printMove prints a state for people, or whole.
func printMove(out io.Writer, format string, s *move.State) error {
	if format != "" {
		return printObject(out, format, s)
	}
	fmt.Fprintf(out, "%s: %s -> %s, changed %s\n", s.Phase, s.Source, s.Target, s.Changed.Format("2006-01-02T15:04:05Z"))
	var bytes int64
	for _, e := range s.Frozen {
		bytes += e.Bytes
	}
	fmt.Fprintf(out, "%d blocks of the source, %s\n", len(s.Frozen), size(bytes))
	if s.Seam > 0 {
		fmt.Fprintf(out, "S' is %s\n", instantMillis(s.Seam))
	}
	for i, r := range s.Rounds {
		fmt.Fprintf(out, "round %d: the new server lacks nothing of the old one from %s to %s once it is done\n", i+1, instantMillis(r.From), instantMillis(r.End))
	}
	for _, g := range s.Filled() {
		fmt.Fprintf(out, "filled: %d samples of the old server from %s to %s, when the new one scraped nothing\n", g.Samples, instantMillis(g.From), instantMillis(g.To))
	}
	if s.Covered > 0 && s.TargetStarted > s.Covered {
		fmt.Fprintf(out, "the new server was restarted at %s: run slipway prometheus migrate again, which fills what it missed\n", instantMillis(s.TargetStarted))
	}
	for _, c := range s.Cuts {
		name := c.Block
		if name == "" {
			name = "nothing, the new server has it all,"
		}
		fmt.Fprintf(out, "cut: %s of block %s, %s to %s\n", name, c.Source, instantMillis(c.From), instantMillis(c.To))
	}
	if p := s.Proof; p != nil {
		fmt.Fprintf(out, "%s at %s: %s\n", p.Verdict, p.At.Format("2006-01-02T15:04:05Z"), p.Summary)
	}
	for _, n := range slices.Concat(withPrefix("note: ", s.Notes), withPrefix("waiting: ", s.Waits)) {
		fmt.Fprintln(out, n)
	}
	if s.Stopped != "" {
		fmt.Fprintf(out, "stopped: %s\n", s.Stopped)
	}
	return nil
}

func withPrefix(prefix string, list []string) (all []string) {
	for _, text := range list {
		all = append(all, prefix+text)
	}
	return all
}

func instantMillis(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
