package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/replica"
	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

// replicaOptions are the flags of a second server that scrapes the same as the old one.
type replicaOptions struct {
	from    transfer.MoveOptions
	server  server.Options
	agent   server.Options
	hostKey string
	client  *server.Client
	pair    *replica.Pair
}

func (o *replicaOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.from.From, "replica", "", "a second old server that scrapes the same, as --source: of each range of blocks one of the two is taken")
	f.StringVar(&o.from.Credentials, "replica-credentials", "", "folder target of agent init, for host:port of --replica (default: --credentials)")
	f.StringVar(&o.hostKey, "replica-host-key", "", "the key of the replica's host, for ssh:// (default: from --known-hosts)")
	f.StringVar(&o.server.URL, "replica-server", "", "address of the replica")
	serverFlags(f, "replica-server-", " of the replica", &o.server)
	f.StringVar(&o.agent.URL, "replica-agent-server", "", "address of the replica as seen from its own host, for the throttle")
	serverFlags(f, "replica-agent-server-", " of the replica (files are those of its host)", &o.agent)
}

// check says what is wrong with the flags alone.
func (o *replicaOptions) check() error {
	switch {
	case o.from.From == "" && o.server.URL != "":
		return &usageError{errors.New("--replica-server goes with --replica, which says where its blocks are")}
	case o.from.From != "" && o.server.URL == "":
		return &usageError{errors.New("--replica-server is missing: the address of the server that --replica is the data of")}
	}
	return nil
}

// openReplica makes one source of the old server and its replica.
func (o *migrateOptions) openReplica(ctx context.Context, errs io.Writer) (func(), error) {
	r := &o.replica
	r.server.Name = "replica"
	var err error
	if r.client, err = server.New(r.server); err != nil {
		return nil, &usageError{err}
	}
	asked, err := transfer.NewPrometheus(r.server)
	if err != nil {
		return nil, err
	}
	r.from.SourceServer, r.from.Ceiling, r.from.LatencyPercent, r.from.Still = r.server, int64(o.ceiling), o.from.LatencyPercent, o.from.Still
	if r.from.Credentials == "" {
		r.from.Credentials = o.from.Credentials
	}
	over := o.ssh
	over.hostKey, over.server = r.hostKey, r.agent
	source, end, err := o.openFrom(ctx, errs, r.from, over, r.server)
	if err != nil {
		return nil, fmt.Errorf("opening the replica: %w", err)
	}
	name, err := sourceName(r.from.From)
	if err == nil {
		r.pair, err = replica.New(replica.Options{
			Members:  [2]replica.Member{{Name: o.SourceName, Source: o.Source, Server: o.SourceServer}, {Name: name, Source: source, Server: asked}},
			StateDir: o.StateDir, Target: o.TargetData, Lost: o.Lost, Patience: o.Pull.Patience, LookOnly: o.dryRun,
			Tell: func(text string) { fmt.Fprintf(errs, "%s %s\n", time.Now().UTC().Format("15:04:05"), text) },
		})
	}
	if err == nil && !o.undo {
		err = o.judgePair(ctx, errs)
	}
	if err != nil {
		end()
		return nil, err
	}
	o.Source, o.SourceServer, o.SourceName = r.pair, r.pair, r.pair.Name()
	return end, nil
}

// sourceName is what the state calls a source.
func sourceName(from string) (string, error) {
	if info, err := os.Stat(from); err != nil || !info.IsDir() {
		return from, nil
	}
	name, err := filepath.Abs(from)
	if err != nil {
		return "", fmt.Errorf("naming the source: %w", err)
	}
	return name, nil
}

// judgePair asks both servers whether they are replicas of one. Once something was chosen, one that does not answer is no reason to stop.
func (o *migrateOptions) judgePair(ctx context.Context, errs io.Writer) error {
	findings, err := judgePair(ctx, o.sourceC, o.replica.client, o.Overrides)
	if err != nil {
		if ctx.Err() != nil || len(o.replica.pair.Choice().Cells) == 0 {
			return err
		}
		fmt.Fprintf(errs, "whether both are still replicas of one server is not known: %v\n", err)
		return nil
	}
	for _, f := range findings {
		if f.Verdict.Stops() {
			return fmt.Errorf("%s: %s; %s", f.Rule, f.Says, f.Fix)
		}
	}
	return nil
}

func judgePair(ctx context.Context, a, b *server.Client, overrides []string) ([]rule.Finding, error) {
	var facts [2]replica.Facts
	for i, c := range []*server.Client{a, b} {
		seen, err := survey.Observe(ctx, c)
		if err != nil {
			return nil, err
		}
		facts[i] = replica.Facts{
			Name: c.URL(), External: seen.Config.ExternalLabels, Jobs: slices.Sorted(maps.Keys(seen.Config.Jobs)),
			Block: time.Duration(seen.Flags.MinBlockSeconds) * time.Second, Late: time.Duration(seen.Config.OutOfOrderMillis) * time.Millisecond,
		}
	}
	overridden := slices.DeleteFunc(slices.Clone(overrides), func(name string) bool { return name != replica.RuleOneScrape })
	return rule.Override(replica.Check(facts[0], facts[1]), overridden), nil
}

// look says what a run would do now.
func (o *migrateOptions) look(ctx context.Context, out io.Writer) error {
	p := o.replica.pair
	if p != nil {
		if err := p.Prepare(ctx); err != nil {
			return err
		}
	}
	d, err := move.Look(ctx, o.Options)
	if err != nil {
		return err
	}
	return o.printDecision(out, d)
}

// runMove moves one server, or two as one.
func (o *migrateOptions) runMove(ctx context.Context) (*move.State, error) {
	if o.replica.pair == nil {
		return move.Run(ctx, o.Options)
	}
	if err := o.replica.pair.Prepare(ctx); err != nil {
		return nil, err
	}
	return o.replica.pair.Run(ctx, o.Options)
}

func (o *migrateOptions) undoMove(ctx context.Context) (*move.Undone, error) {
	if o.replica.pair == nil {
		return move.Undo(ctx, o.Options)
	}
	return o.replica.pair.Undo(ctx, o.Options)
}

// prove compares both servers, each range with the one that it came from.
func (o *migrateOptions) prove(ctx context.Context, in move.ProofInput, errs io.Writer) (*proof.Report, error) {
	source, err := proof.NewServer(o.source)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	target, err := proof.NewServer(o.target)
	if err != nil {
		return nil, err
	}
	defer target.Close()
	options := proof.Options{
		LeftBehind: leftBehind(ctx, errs, o.except, source, target),
		Source:     source, Target: target, Seam: in.Seam, SeamEnd: in.End, Filled: in.Filled, SourceBlocks: in.SourceBlocks, TargetBlocks: in.TargetBlocks,
		Samples: o.samples, Seed: uint64(rand.Uint32()), Progress: (&proofProgress{w: errs, last: time.Now()}).at,
	}
	if o.replica.pair == nil {
		return proof.Run(ctx, options)
	}
	second, err := proof.NewServer(o.replica.server)
	if err != nil {
		return nil, err
	}
	defer second.Close()
	var parts []proof.Part
	servers := [2]*proof.Server{source, second}
	for _, x := range o.replica.pair.Parts(in.Seam) {
		parts = append(parts, proof.Part{Name: servers[x.Member].URL(), Source: servers[x.Member], From: x.From, To: x.To})
	}
	return proof.RunParts(ctx, options, parts)
}
