// Package cli is the slipway command: a tree of commands, each built by a constructor, and nothing that could not be
// done through the API or the packages that it calls.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Version is set by the linker.
var Version = "dev"

// The exit codes of slipway.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2   // a command, flag or argument that does not exist or fit
	ExitInterrupted = 130 // ended by ctrl-C or SIGTERM before it was done
)

// Options are what a command line runs with.
type Options struct {
	Args []string // without the name of the program
	In   io.Reader
	Out  io.Writer // results
	Err  io.Writer // progress and errors
}

// commands lists every command; adding one is one line here.
func commands() []*cobra.Command {
	return []*cobra.Command{
		NewUpCommand(), NewDownCommand(), NewOperatorCommand(), NewPlaneCommand(),
		NewClusterCommand(), NewMachineCommand(), NewOperationCommand(), NewTreeCommand(), NewHistoryCommand(), NewFreezeCommand(),
		NewBundleCommand(), NewPrometheusCommand(), NewSearchCommand(), NewImageCommand(), NewLabCommand(), NewKubectlCommand(), NewVersionCommand(),
	}
}

// NewRoot builds slipway with all its commands.
func NewRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "slipway",
		Short: "Build Kubernetes clusters from bare machines",
		Long: `Slipway turns machines that answer to SSH into Kubernetes clusters, and keeps them as they were declared.

  slipway up                          start a management plane and the operator on this host
  slipway machine add -f hosts.yaml   approve machines
  slipway cluster create shop         ask for a cluster
  slipway tree                        look at everything

State is kept in $SLIPWAY_HOME (default ~/.local/share/slipway), caches in $SLIPWAY_CACHE (default ~/.cache/slipway).
Exit codes: 0 done, 1 it did not work, 2 wrong usage, 130 interrupted; lab exec and kubectl: that of the command.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(commands()...)
	markUsage(root)
	return root
}

// Run runs one command line and returns the exit code. An error is printed once.
func Run(ctx context.Context, o Options) int {
	root := NewRoot()
	root.SetArgs(o.Args)
	root.SetIn(o.In)
	root.SetOut(o.Out)
	root.SetErr(o.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	fmt.Fprintf(o.Err, "slipway: %v\n", err)
	if hint := hint(cmd, err); hint != "" {
		fmt.Fprintln(o.Err, hint)
	}
	var usage *usageError
	var command *commandError
	switch {
	case errors.As(err, &usage) || cmd == root:
		fmt.Fprintf(o.Err, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return ExitUsage
	case ctx.Err() != nil:
		return ExitInterrupted
	case errors.As(err, &command) && command.code > 0:
		return command.code
	}
	return ExitFailed
}

// hint says what to do about errors that every command can meet that asks a management cluster; empty for all others.
func hint(cmd *cobra.Command, err error) string {
	switch {
	case cmd.Flags().Lookup("kubeconfig") == nil || cmd.Annotations[fromHostToHost] != "":
		return ""
	case away(err):
		return "The management cluster does not answer: does `slipway up` run, or is another one meant (--kubeconfig)?"
	case meta.IsNoMatchError(err):
		return "The management cluster does not know the kinds of slipway: `slipway up` installs them, or is another one meant (--kubeconfig)?"
	}
	return ""
}

// commandError is the end of a command that slipway ran for its user; its exit code is that of slipway.
type commandError struct {
	code int
	err  error
}

func (e *commandError) Error() string { return e.err.Error() }

func (e *commandError) Unwrap() error { return e.err }

// usageError is a command line that does not fit.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// ownLogs is the annotation of commands that set up logging themselves.
const ownLogs = "slipway.dev/own-logs"

// markUsage makes wrong arguments and missing flags of every command wrong usage.
func markUsage(cmd *cobra.Command) {
	if cmd.Runnable() {
		cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
			if cmd.Annotations[ownLogs] == "" { // what libraries log is no answer to a command
				ctrl.SetLogger(logr.Discard())
				klog.SetLogger(logr.Discard())
			}
			if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
				return &usageError{err}
			}
			return nil
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				if strings.Contains(cmd.Use, " ") { // it takes arguments: cobra counts them and does not name them
					err = fmt.Errorf("%w: %s", err, cmd.UseLine())
				}
				return &usageError{err}
			}
			return nil
		}
	}
	for _, below := range cmd.Commands() {
		markUsage(below)
	}
}

// NewVersionCommand builds slipway version.
func NewVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}

func versionText() string {
	text := fmt.Sprintf("slipway %s %s/%s %s", Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			text += " " + setting.Value
		}
	}
	return text
}
