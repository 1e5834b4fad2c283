package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/search/ledger"
	searchsnapshot "github.com/slipway-dev/slipway/search/snapshot"
)

// searchSnapshotOptions are what all commands of slipway search snapshot share.
type searchSnapshotOptions struct {
	server     searchServer
	repository string
	indices    []string
	state      string
	readBack   int
	patience   time.Duration
	every      time.Duration
	dryRun     bool
	output     string
}

// newSearchSnapshotCommand builds slipway search snapshot.
func newSearchSnapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Take snapshots with proof, verify them, and bring lost indices back",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newSearchSnapshotCreateCommand(), newSearchSnapshotVerifyCommand(), newSearchSnapshotRestoreCommand())
	return cmd
}

func (o *searchSnapshotOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.server.flags(cmd)
	f.StringVar(&o.repository, "repository", "", "snapshot repository of the cluster; it has to be there")
	f.StringArrayVar(&o.indices, "index", nil, "name of an index; may be given many times, patterns are refused")
	f.StringVar(&o.state, "state", "slipway-snapshots", "folder for the ledger and the journals; one for each cluster")
	f.DurationVar(&o.every, "every", 5*time.Second, "how long is waited between looks")
	f.DurationVar(&o.patience, "patience", time.Hour, "how long nothing may go on before it stops")
	_ = cmd.MarkFlagRequired("repository") // it fails for a flag that does not exist only
	_ = cmd.MarkFlagDirname("state")
}

// dry adds the flags of commands that can tell what they would do.
func (o *searchSnapshotOptions) dry(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "look once, print the steps with their exact requests, and change nothing")
	outputFlag(cmd, &o.output, "text", "json", "yaml")
	o.output = "text"
	_ = cmd.MarkFlagRequired("index") // it fails for a flag that does not exist only
}

// open gives the options of the engine, and what has to be closed.
func (o *searchSnapshotOptions) open(ctx context.Context, urls []string, out io.Writer) (searchsnapshot.Options, *searchsnapshot.FileLedger, func(), error) {
	c, err := o.server.open(urls)
	if err != nil {
		return searchsnapshot.Options{}, nil, nil, err
	}
	session, err := c.Open(ctx)
	if err != nil {
		c.Close()
		if help := searchHelp(err); help != "" {
			err = fmt.Errorf("%w\n%s", err, help)
		}
		return searchsnapshot.Options{}, nil, nil, err
	}
	l, err := searchsnapshot.OpenLedger(o.state, "by-hand")
	if err != nil {
		c.Close()
		return searchsnapshot.Options{}, nil, nil, err
	}
	return searchsnapshot.Options{Cluster: session, Ledger: l, StateDir: o.state, Repository: o.repository, Lifecycle: "by-hand", Indices: o.indices, ReadBack: o.readBack,
		Patience: o.patience, Every: o.every, Tell: tellSteps(out)}, l, func() { _ = l.Close(); c.Close() }, nil
}

// tellSteps prints a line for each step that is begun.
func tellSteps(out io.Writer) func(*searchsnapshot.Decision) {
	return func(d *searchsnapshot.Decision) {
		if d.Stop == nil {
			fmt.Fprintf(out, "%s  %-8s  %s\n", time.Now().Format("15:04:05"), d.Step, printable(d.Says))
		}
	}
}

// printPlan prints steps with their requests. A step that cannot be done makes it fail.
func (o *searchSnapshotOptions) printPlan(out io.Writer, all []*searchsnapshot.Decision) error {
	var stops []error
	for _, d := range all {
		if d.Stop != nil {
			stops = append(stops, d.Stop)
		}
	}
	if o.output != "text" {
		return errors.Join(printObject(out, o.output, all), errors.Join(stops...))
	}
	for _, d := range all {
		if d.Stop != nil {
			continue
		}
		fmt.Fprintf(out, "%-8s  %s\n", d.Step, printable(d.Says))
		for _, r := range d.Requests {
			fmt.Fprintf(out, "            %s\n", printable(r.String()))
		}
	}
	return errors.Join(stops...)
}

func newSearchSnapshotCreateCommand() *cobra.Command {
	var o searchSnapshotOptions
	var quiet time.Duration
	var group int
	var drop bool
	cmd := &cobra.Command{
		Use:   "create URL…",
		Short: "Take a snapshot of indices nobody writes to, and prove that it holds them whole",
		Long: `Create waits until no document has come to the indices for a time, blocks writes, takes one snapshot of several indices, and proves it: state
SUCCESS, every shard done, the same index (by UUID) with the same sequence numbers and documents before and after, the write block still standing, and one
index of each snapshot restored under another name and compared by counts and by sampled documents. A snapshot that is PARTIAL proves nothing.
The proofs are written to the ledger in the folder of --state. With --drop-replicas, and only where a proof stands, replicas go to 0.
Ended at any point, the same command goes on where it was. The write block stays.`,
		Example: `  slipway search snapshot create http://es-1:9200 --repository cos --index game-log-2026.11.07.06 --index game-log-2026.11.07.08 --dry-run
  slipway search snapshot create https://logs:9200 --user ops --password-file ./password --repository cos --index app-2026.11.07 --drop-replicas`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, end := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer end()
			so, _, done, err := o.open(ctx, args, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer done()
			so.Quiet, so.GroupSize, so.DropReplicas = quiet, group, drop
			if o.dryRun {
				all, err := searchsnapshot.Plan(ctx, so)
				if err != nil {
					return err
				}
				return o.printPlan(cmd.OutOrStdout(), all)
			}
			if err := searchsnapshot.Run(ctx, so); err != nil {
				return err
			}
			return printProofs(cmd.OutOrStdout(), so.Ledger, o.indices)
		},
	}
	o.flags(cmd)
	o.dry(cmd)
	f := cmd.Flags()
	f.DurationVar(&quiet, "quiet", 10*time.Minute, "how long no document may have come before writes are blocked")
	f.IntVar(&group, "group", 20, "indices in one snapshot")
	f.IntVar(&o.readBack, "read-back", 1, "indices of each snapshot that are restored and compared; -1 all, 0 none")
	f.BoolVar(&drop, "drop-replicas", false, "set replicas to 0 where a proof stands")
	return cmd
}

// printProofs prints the latest proof of each index.
func printProofs(out io.Writer, l searchsnapshot.Ledger, indices []string) error {
	for _, name := range indices {
		e, err := l.Get(name)
		if err != nil {
			return err
		}
		if e == nil || len(e.Proofs) == 0 {
			continue
		}
		printIndexProof(out, &e.Proofs[len(e.Proofs)-1])
	}
	return nil
}

func printIndexProof(out io.Writer, p *ledger.Proof) {
	read := "not read back"
	if p.ReadBack != nil {
		read = fmt.Sprintf("%d shards read back %s", p.ReadBack.Shards, p.ReadBack.At.Format(time.RFC3339))
	}
	fmt.Fprintf(out, "%s  in %s of %s, %d documents, %d shards, proved %s, checked %s, %s\n", printable(p.Index), printable(p.Snapshot), printable(p.Repository), p.Docs, p.Shards,
		p.ProvedAt.Format(time.RFC3339), p.CheckedAt.Format(time.RFC3339), read)
}

func newSearchSnapshotVerifyCommand() *cobra.Command {
	var o searchSnapshotOptions
	cmd := &cobra.Command{
		Use:   "verify URL…",
		Short: "Look at proved snapshots again, and read some of them back",
		Long: `Verify looks at the snapshots that the ledger has proofs of: still there, the same one, every shard. With --read-back indices are restored under
another name, compared with what was noted when they were proved, and taken away again. A proof that does not hold is voided in the ledger, and named; when the
repository cannot be reached nothing is voided. It fails where anything is wrong. Without --index every index of the ledger is looked at.`,
		Example:           `  slipway search snapshot verify http://es-1:9200 --repository cos --read-back 2`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, end := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer end()
			so, l, done, err := o.open(ctx, args, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer done()
			if len(so.Indices) == 0 {
				if so.Indices = l.Entries(); len(so.Indices) == 0 {
					return fmt.Errorf("there is no proof in %s: take a snapshot with slipway search snapshot create first", o.state)
				}
			}
			if err := searchsnapshot.Verify(ctx, so); err != nil {
				return err
			}
			return printProofs(cmd.OutOrStdout(), l, so.Indices)
		},
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&o.readBack, "read-back", 0, "indices that are restored and compared; -1 all")
	return cmd
}

func newSearchSnapshotRestoreCommand() *cobra.Command {
	var o searchSnapshotOptions
	var lostAfter time.Duration
	var replicas int
	cmd := &cobra.Command{
		Use:   "restore URL…",
		Short: "Bring lost indices back from their proved snapshots",
		Long: `Restore brings indices back whose primaries are on no node any more, or that are not there, from the snapshot that the ledger has a proof of. What
is left of a red index is deleted only when the proof covers it, nothing came behind the proof, the snapshot is there, and its primaries were away for
--lost-after: a node that starts again brings them back without loss. What came back is compared by counts and by sampled documents.`,
		Example:           `  slipway search snapshot restore http://es-1:9200 --repository cos --index game-log-2026.11.07.06 --lost-after 10m`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, end := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer end()
			so, l, done, err := o.open(ctx, args, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer done()
			ro := searchsnapshot.RestoreOptions{Options: so, LostAfter: lostAfter, Replicas: replicas}
			if o.dryRun {
				all, err := searchsnapshot.PlanRestore(ctx, ro)
				if err != nil {
					return err
				}
				return o.printPlan(cmd.OutOrStdout(), all)
			}
			if err := searchsnapshot.Restore(ctx, ro); err != nil {
				return err
			}
			return printProofs(cmd.OutOrStdout(), l, o.indices)
		},
	}
	o.flags(cmd)
	o.dry(cmd)
	f := cmd.Flags()
	f.DurationVar(&lostAfter, "lost-after", 10*time.Minute, "how long primaries are on no node before they are taken for lost")
	f.IntVar(&replicas, "replicas", 0, "replicas of what comes back")
	return cmd
}
