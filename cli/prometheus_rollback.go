package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-dev/slipway/migration/cutover"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

type rollbackOptions struct {
	cutoverOptions
	moveState, credentials string
	source, target         server.Options
	keepBlocks             bool
}

// newPrometheusRollbackCommand builds slipway prometheus rollback.
func newPrometheusRollbackCommand() *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback --state DIR",
		Short: "Bring everything back to the old server, at any phase",
		Long: `Rollback takes a move back, from wherever it is: the last first.

What cutover changed is put back: files byte by byte, data sources to the address that they had. The source sends alerts again, and is
heard, before the target falls silent. What somebody else changed meanwhile is not touched: the rule unchanged_since refuses and shows the difference.
Then, where DIR (or --move-state) holds the state of slipway prometheus migrate, the blocks that it brought are taken out of the target's data directory,
what is staged is removed, and the source lets go of its pin. Blocks in which the target merged its own samples with the source's stay, and are named.

Nothing is lost by it: the source was never stopped. If it does not answer now, the rule source_answers_for_rollback says what stays and what was put back;
the history then stays on the target, which may be its only copy. After finalize there is no rollback.
Exit codes: 0 done, 1 a rule refuses or something did not work (run it again), 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus rollback --state ./state --dry-run
  slipway prometheus rollback --state ./state
  slipway prometheus rollback --state ./move --source-server http://old:9090 --target http://127.0.0.1:9090 --credentials ./target`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.back(cmd) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.moveState, "move-state", "", "folder of slipway prometheus migrate; default DIR")
	f.StringVar(&o.credentials, "credentials", "", "folder target of agent init, for a source agent")
	f.StringVar(&o.source.URL, "source-server", "", "address of the old server; default what cutover knows")
	f.StringVar(&o.target.URL, "target", "", "address of the new server; default what cutover knows")
	serverFlags(f, "source-server-", " of the old server", &o.source)
	serverFlags(f, "target-", " of the new server", &o.target)
	f.BoolVar(&o.keepBlocks, "keep-blocks", false, "leave the history that was brought on the new server")
	_ = cmd.MarkFlagDirname("move-state")
	return cmd
}

// back puts back what people see, and then what was brought.
func (o *rollbackOptions) back(cmd *cobra.Command) error {
	known, err := cutover.Known(o.StateDir)
	if err != nil {
		return err
	}
	moved, err := o.moved(known)
	if err != nil {
		return err
	}
	if known == nil && o.file == "" && moved != nil {
		return o.blocksAlone(cmd, moved)
	}
	return o.run(cmd, func(ctx context.Context, c cutover.Options) (*cutover.Report, error) {
		if o.dryRun {
			return o.plan(ctx, c, moved)
		}
		if moved == nil {
			return cutover.Rollback(ctx, c)
		}
		last := holdLast(&c)
		r, err := cutover.Rollback(ctx, c)
		if err != nil {
			last(nil)
			return r, err
		}
		r.Blocks, err = o.undo(ctx, moved)
		last(err)
		return r, err
	})
}

// holdLast keeps the line that says done until the blocks are gone too.
func holdLast(c *cutover.Options) func(error) {
	tell := c.Report
	if tell == nil {
		return func(error) {}
	}
	var held *cutover.Progress
	c.Report = func(p cutover.Progress) {
		if p.Done {
			held = &p
			return
		}
		tell(p)
	}
	return func(err error) {
		if held == nil {
			return
		}
		if err != nil {
			held.Done, held.Stop = false, cutover.Stopped(err).Stop
		}
		tell(*held)
	}
}

func (o *rollbackOptions) plan(ctx context.Context, c cutover.Options, moved *move.State) (*cutover.Report, error) {
	r, err := cutover.PlanRollback(ctx, c)
	if err != nil || moved == nil {
		return r, err
	}
	found, err := move.PlanUndo(move.Options{StateDir: o.moveState, SourceName: moved.Source, TargetData: moved.Target})
	if found != nil {
		r.Blocks = &cutover.Blocks{Source: moved.Source, Removed: found.Removed, Merged: found.Merged}
	}
	return r, err
}

// moved is the state of a move whose blocks are to be taken away; nil for none.
func (o *rollbackOptions) moved(known *cutover.Spec) (*move.State, error) {
	if o.moveState == "" {
		o.moveState = o.StateDir
	}
	if o.keepBlocks {
		return nil, nil
	}
	state, err := move.ReadState(o.moveState)
	if errors.Is(err, move.ErrNoState) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if known != nil {
		o.source, o.target = serverOf(o.source, known.Source.Endpoint), serverOf(o.target, known.Target.Endpoint)
	}
	if o.source.URL == "" || o.target.URL == "" {
		return nil, &usageError{errors.New("give --source-server and --target: there was no cutover that knows them, and blocks are taken from one server only while the other answers")}
	}
	return state, nil
}

// serverOf takes what the cutover knows of a server where nothing was given.
func serverOf(given server.Options, e cutover.Endpoint) server.Options {
	if given.URL != "" {
		return given
	}
	return server.Options{URL: e.URL, User: e.User, PasswordFile: e.PasswordFile, TokenFile: e.TokenFile, CAFile: e.CAFile}
}

// undo takes the blocks away while the source has them and answers.
func (o *rollbackOptions) undo(ctx context.Context, moved *move.State) (*cutover.Blocks, error) {
	s := o.source
	if err := cutover.SourceAnswers(ctx, cutover.Endpoint{URL: s.URL, User: s.User, PasswordFile: s.PasswordFile, TokenFile: s.TokenFile, CAFile: s.CAFile}); err != nil {
		return nil, fmt.Errorf("the history stays on the target, which may be its only copy: %w", err)
	}
	o.target.Name = "new server"
	target, err := transfer.NewPrometheus(o.target)
	if err != nil {
		return nil, err
	}
	source, end, err := transfer.OpenSource(ctx, transfer.MoveOptions{From: moved.Source, Credentials: o.credentials})
	if err != nil {
		return nil, fmt.Errorf("reaching %s to let go of its blocks: %w", moved.Source, err)
	}
	defer end()
	done, err := move.Undo(ctx, move.Options{StateDir: o.moveState, Source: source, SourceName: moved.Source, TargetData: moved.Target, TargetServer: target})
	if done == nil {
		return nil, err
	}
	return &cutover.Blocks{Source: moved.Source, Removed: done.Removed, Merged: done.Merged}, err
}

// blocksAlone takes back a move that never came to its cutover.
func (o *rollbackOptions) blocksAlone(cmd *cobra.Command, moved *move.State) error {
	return o.run(cmd, func(ctx context.Context, c cutover.Options) (*cutover.Report, error) {
		r := &cutover.Report{Phase: cutover.Planned, Steps: []cutover.StepReport{}}
		if o.dryRun {
			found, err := move.PlanUndo(move.Options{StateDir: o.moveState, SourceName: moved.Source, TargetData: moved.Target})
			if found != nil {
				r.Blocks = &cutover.Blocks{Source: moved.Source, Removed: found.Removed, Merged: found.Merged}
			}
			return r, err
		}
		var err error
		if r.Blocks, err = o.undo(ctx, moved); err != nil {
			return r, err
		}
		r.Phase, r.Off = cutover.Undone, cutover.LeftOver(o.target.URL)
		if c.Report != nil {
			c.Report(cutover.Ended(r))
		}
		return r, nil
	})
}

// printBrought says what a rollback takes away, or took.
func printBrought(out io.Writer, b *cutover.Blocks, dry bool) {
	if b == nil {
		return
	}
	verb := "taken out"
	if dry {
		verb = "to be taken out"
	}
	fmt.Fprintf(out, "\nBlocks from %s %s of the new server's data directory: %d\n", b.Source, verb, len(b.Removed))
	if len(b.Merged) > 0 {
		fmt.Fprintf(out, "These stay, since the new server merged its own samples into them: %s\n", strings.Join(b.Merged, ", "))
	}
}
