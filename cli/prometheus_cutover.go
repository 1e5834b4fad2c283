package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/cutover"
	"github.com/spf13/cobra"
)

type cutoverOptions struct {
	cutover.Options
	file     string
	dryRun   bool
	output   string
	progress string
	quiet    bool
}

// newPrometheusCutoverCommand builds slipway prometheus cutover.
func newPrometheusCutoverCommand() *cobra.Command {
	var o cutoverOptions
	cmd := &cobra.Command{
		Use:   "cutover -f FILE --state DIR",
		Short: "Let people look at the new server",
		Long: `Cutover sends Grafana's data sources to the new server and moves the sending of alerts and remote_write there. FILE says what is to be done.

Data sources keep uid, name, settings and secrets; only the address changes, and it changes back at once if Grafana cannot reach the new server.
Alerts move with no gap and no second notification: the target sends too, each Alertmanager is seen to hear every firing alert from it, and only then is
the section taken out of the source's file. That, and the end of its remote_write, are the only edits of the source. Each needs --approve with its name.

A source on another host is edited over SSH (source.host); a target whose file somebody else writes has reloadBy Declared: the command says what it wants and
goes on when the server shows it. With a window in FILE nothing that people notice begins outside of it.

DIR keeps what was there before. Killed at any moment, the same command goes on where it was; slipway prometheus rollback puts everything back.
With --progress json standard output is one JSON line for each change; the last one of a run that has come to its end has "done": true, "needsApproval" or "stop".
Exit codes: 0 done, 1 a rule refuses (run it again when that is mended) or something did not work, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus cutover -f cutover.yaml --state ./state --dry-run
  slipway prometheus cutover -f cutover.yaml --state ./state
  slipway prometheus cutover -f cutover.yaml --state ./state --approve SourceAlertingOff --approve SourceRemoteWriteOff`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := cutover.Plan
			if !o.dryRun {
				plan = cutover.Run
			}
			return o.run(cmd, plan)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.Approved, "approve", nil, "allow this edit of the source: "+cutover.StepSourceAlerting+", "+cutover.StepSourceRemoteWrite+"; may be repeated")
	f.BoolVar(&o.Write, "write", false, "edit the files that provision Grafana; else print the difference")
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("approve", cobra.FixedCompletions([]string{cutover.StepSourceAlerting, cutover.StepSourceRemoteWrite}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// flags are those of all three commands.
func (o *cutoverOptions) flags(cmd *cobra.Command) {
	outputFlag(cmd, &o.output, "json", "yaml")
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "what is to be done; default what DIR knows from the last time")
	f.StringVar(&o.StateDir, "state", "", "directory that keeps what was there before; it may hold secrets")
	f.DurationVar(&o.Patience, "patience", 10*time.Minute, "how long to wait for a server or a person")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and change nothing")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	progressFlag(cmd, &o.progress)
	// They fail for a flag that does not exist only.
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	_ = cmd.MarkFlagRequired("state")
	_ = cmd.MarkFlagDirname("state")
}

// run prints the report also when a rule refuses.
func (o *cutoverOptions) run(cmd *cobra.Command, do func(context.Context, cutover.Options) (*cutover.Report, error)) error {
	if o.progress == "json" && (o.output != "" || o.dryRun) {
		return &usageError{errors.New("--progress json goes with neither --output nor --dry-run")}
	}
	if err := o.readSpec(); err != nil {
		return err
	}
	if o.progress == "json" {
		return o.runLines(cmd, do)
	}
	if errs := cmd.ErrOrStderr(); !o.quiet {
		o.Progress = func(step, text string) { fmt.Fprintf(errs, "%s: %s\n", step, text) }
	}
	report, err := do(cmd.Context(), o.Options)
	if report == nil {
		return err
	}
	if err == nil {
		err = report.Err()
	}
	if printed := o.print(cmd.OutOrStdout(), report); printed != nil {
		return printed
	}
	return err
}

// runLines runs for a program that reads standard output: a line for each change, and nothing else.
func (o *cutoverOptions) runLines(cmd *cobra.Command, do func(context.Context, cutover.Options) (*cutover.Report, error)) error {
	lines := json.NewEncoder(cmd.OutOrStdout())
	lines.SetEscapeHTML(false)
	ended := false
	o.Report = func(p cutover.Progress) {
		ended = p.Done || p.Stop != nil || p.NeedsApproval != ""
		_ = lines.Encode(p) // a reader that has gone is the reader's loss
	}
	_, err := do(cmd.Context(), o.Options)
	if err != nil && !ended && cmd.Context().Err() == nil {
		o.Report(cutover.Stopped(err))
	}
	return err
}

func (o *cutoverOptions) readSpec() error {
	if o.file == "" {
		return nil
	}
	data, err := readBounded(o.file)
	if err != nil {
		return fmt.Errorf("reading --file: %w", err)
	}
	dir, err := filepath.Abs(filepath.Dir(o.file))
	if err != nil {
		return fmt.Errorf("reading --file: %w", err)
	}
	if o.Spec, err = cutover.ReadSpec(data, dir); err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	return nil
}

func (o *cutoverOptions) print(out io.Writer, r *cutover.Report) error {
	if o.output != "" {
		return printObject(out, o.output, r)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if len(r.Steps) > 0 {
		fmt.Fprintln(table, "STEP\tPHASE\tWHAT")
	}
	for _, s := range r.Steps {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Step, s.Phase, s.Does)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, s := range r.Steps {
		if s.Diff == "" && s.Problem == "" && (!s.Approval || !o.dryRun) {
			continue
		}
		fmt.Fprintf(out, "\n%s %s\n", s.Step, s.Subject)
		for line := range strings.Lines(s.Diff) {
			fmt.Fprint(out, "  "+line)
		}
		if s.Problem != "" {
			fmt.Fprintf(out, "  refused now: %s\n", strings.ReplaceAll(s.Problem, "\n", "\n  "))
		}
		if s.Approval {
			fmt.Fprintf(out, "  needs --approve %s\n", s.Step)
		}
	}
	printBrought(out, r.Blocks, o.dryRun)
	return printEnd(out, r)
}

// printEnd prints what finalize found.
func printEnd(out io.Writer, r *cutover.Report) error {
	for i, f := range r.Finds {
		if i == 0 {
			fmt.Fprintln(out)
		}
		verdict := "ok"
		switch {
		case f.Overridden:
			verdict = "overridden"
		case !f.OK:
			verdict = "refused"
		}
		fmt.Fprintf(out, "%s: %s: %s\n", verdict, f.Rule, f.Text)
	}
	for i, s := range r.Off {
		if i == 0 {
			fmt.Fprintln(out, map[bool]string{true: "\nWhat can be switched off, when nothing above is refused:", false: "\nWhat can be switched off:"}[len(r.Finds) > 0])
		}
		fmt.Fprintf(out, "  %s: %s\n", s.What, s.How)
	}
	return nil
}

// newPrometheusFinalizeCommand builds slipway prometheus finalize.
func newPrometheusFinalizeCommand() *cobra.Command {
	var o cutoverOptions
	cmd := &cobra.Command{
		Use:   "finalize --state DIR",
		Short: "End a move: list what can be switched off",
		Long: `Finalize looks whether anybody needs the old server still: that the cutover is done and nobody undid it, that nobody asks the source for data while it looks,
that the source has no metric, job or instance of its own, and that the target reads nothing from it. It lists what can be switched off, and switches nothing off.
When all holds the cutover is final: there is no rollback after it. --dry-run only looks.
Exit codes: 0 final (or would be), 1 a rule refuses, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus finalize --state ./state --dry-run --watch 10m
  slipway prometheus finalize --state ./state --query-log /var/log/prometheus/query.log`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.QueryLog != "" {
				if _, err := os.Stat(o.QueryLog); err != nil {
					return &usageError{fmt.Errorf("--query-log: %w", err)}
				}
			}
			return o.run(cmd, func(ctx context.Context, options cutover.Options) (*cutover.Report, error) {
				return cutover.Finalize(ctx, options, o.dryRun)
			})
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.DurationVar(&o.Watch, "watch", time.Minute, "how long to look whether somebody asks the source")
	f.StringVar(&o.QueryLog, "query-log", "", "the source's query_log_file on this host, which tells who asks")
	_ = cmd.MarkFlagFilename("query-log")
	return cmd
}
