package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// reportDescriptor is the pipe through which a detached `slipway up` tells its parent how the start goes.
const (
	reportDescriptor = 3
	reportVariable   = "SLIPWAY_UP_REPORT"
)

type upOptions struct {
	dir        string
	listenHost string
	detach     bool
	foreground bool
	operator   operatorOptions
}

// NewUpCommand builds slipway up: the management plane and the operator on this host.
func NewUpCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:         "up",
		Annotations: map[string]string{ownLogs: "yes"},
		Short:       "Start the management plane and the operator on this host",
		Long: `Up runs all that is needed on one host: etcd, a Kubernetes API server and its controller manager as child
processes, the operator, and the mirror from which machines pull the bundle. What is missing is made first:
the bundle is built (minutes, once) and a virtual environment for Ansible is filled.

It stays in the foreground until ctrl-C; --detach returns once everything is ready, and 'slipway down' stops it.
All data is in one directory. It may be killed at any moment: the next 'slipway up' goes on where it was.
When it runs already, up says where everything is.`,
		Example: `  slipway up --detach --mirror-listen 10.1.0.5:8443
  slipway up --executor simulated        # no machines are touched: to try things out and to measure`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return up(cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "", "data directory (default $SLIPWAY_HOME or ~/.local/share/slipway)")
	f.StringVar(&o.listenHost, "listen-host", "127.0.0.1", "IP address of the API server; everything else of the plane is on loopback")
	f.BoolVar(&o.detach, "detach", false, "return once everything is ready and leave it running")
	f.BoolVar(&o.foreground, "foreground", false, "stay in the foreground until ctrl-C (the default)")
	cmd.MarkFlagsMutuallyExclusive("detach", "foreground")
	o.operator.flags(cmd, map[string]string{executorProcess: onThisHost, executorSimulated: nowhere})
	return cmd
}

func up(cmd *cobra.Command, o upOptions) error {
	home, err := findHome(o.dir)
	if err != nil {
		return err
	}
	if err := o.operator.validate(); err != nil {
		return err
	}
	if state, running, err := home.running(); err != nil {
		return err
	} else if running {
		return showRunning(cmd, home, state, o.operator)
	}
	if o.detach {
		return detach(cmd, home)
	}
	u := &upRun{home: home, options: o, report: cmd.ErrOrStderr(), log: cmd.ErrOrStderr()}
	if os.Getenv(reportVariable) != "" {
		pipe := os.NewFile(reportDescriptor, "report")
		syscall.CloseOnExec(reportDescriptor)
		u.detached(pipe)
	}
	err = u.run(cmd.Context())
	if errors.Is(err, errRunning) { // somebody was faster
		if state, running, _ := home.running(); running {
			return showRunning(cmd, home, state, o.operator)
		}
	}
	return err
}

// running says whether a `slipway up` works in this home now.
func (h upHome) running() (upState, bool, error) {
	state, err := h.readState()
	if err != nil {
		return upState{}, false, err
	}
	return state, state.Process.PID != 0 && state.Process.Alive(), nil
}

// showRunning waits until the one that runs is ready and says where everything is.
func showRunning(cmd *cobra.Command, home upHome, state upState, want operatorOptions) error {
	if state.Phase == phaseStarting {
		fmt.Fprintf(cmd.ErrOrStderr(), "Slipway is starting already (process %d), waiting for it\n", state.Process.PID)
	}
	state, err := home.waitReady(cmd.Context())
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("executor") && want.executor != state.Executor {
		return fmt.Errorf("it runs already, with the executor %s: `slipway down` first", state.Executor)
	}
	if cmd.Flags().Changed("mirror-listen") && want.mirrorListen != state.MirrorListen {
		return fmt.Errorf("it runs already, with the mirror at %s: `slipway down` first", state.MirrorListen)
	}
	state.print(cmd.OutOrStdout())
	return nil
}

// waitReady waits until the running `slipway up` is ready; an error when it ends instead.
func (h upHome) waitReady(ctx context.Context) (upState, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		state, running, err := h.running()
		switch {
		case err != nil:
			return upState{}, err
		case state.Phase == phaseRunning && running:
			return state, nil
		case state.Phase == phaseFailed:
			return upState{}, fmt.Errorf("starting: %s (log: %s)", state.Message, state.Log)
		case !running:
			return upState{}, fmt.Errorf("it ended before it was ready (log: %s)", h.log())
		}
		select {
		case <-ctx.Done():
			return upState{}, fmt.Errorf("waiting for slipway to be ready: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// detach starts this program once more, in a session of its own, and shows what it says until it is ready.
func detach(cmd *cobra.Command, home upHome) error {
	if err := os.MkdirAll(home.up(), 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	daemon, report, err := startDaemon(home)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(cmd.Context(), func() { _ = daemon.Process.Signal(syscall.SIGTERM) })
	defer stop()
	_, _ = io.Copy(cmd.ErrOrStderr(), report) // ends when it is ready, or dead
	_ = report.Close()
	state, err := home.waitReady(context.WithoutCancel(cmd.Context()))
	if err != nil {
		_ = daemon.Wait()
		return err
	}
	state.print(cmd.OutOrStdout())
	fmt.Fprintln(cmd.OutOrStdout(), "Next: slipway machine add, slipway tree; slipway down stops it.")
	return daemon.Process.Release()
}

func startDaemon(home upHome) (*exec.Cmd, *os.File, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.OpenFile(home.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer writer.Close()
	daemon := exec.Command(program, foregroundArguments(os.Args[1:])...)
	daemon.Env = append(os.Environ(), reportVariable+"=1")
	daemon.Stdout, daemon.Stderr = log, log
	daemon.ExtraFiles = []*os.File{writer} // becomes reportDescriptor
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("starting slipway in the background: %w", err), reader.Close())
	}
	return daemon, reader, nil
}

// foregroundArguments are the same ones, less --detach.
func foregroundArguments(args []string) []string {
	var out []string
	for _, arg := range args {
		if arg != "--detach" && !strings.HasPrefix(arg, "--detach=") {
			out = append(out, arg)
		}
	}
	return out
}

// NewDownCommand builds slipway down: stop what slipway up started.
func NewDownCommand() *cobra.Command {
	var dir string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the management plane and the operator that slipway up started",
		Long: `Down stops the operator, then the plane, in order. Nothing is lost: 'slipway up' goes on where it was. Runs of
Ansible that have begun are not interrupted; the next 'slipway up' finds them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := findHome(dir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return down(ctx, cmd.ErrOrStderr(), home)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "data directory (default $SLIPWAY_HOME or ~/.local/share/slipway)")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for its end")
	return cmd
}

func down(ctx context.Context, w io.Writer, home upHome) error {
	state, running, err := home.running()
	if err != nil {
		return err
	}
	if !running {
		fmt.Fprintf(w, "Slipway does not run in %s\n", home)
		return nil
	}
	fmt.Fprintf(w, "Stopping slipway (process %d)\n", state.Process.PID)
	if err := state.Process.End(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("%w (log: %s)", err, home.log())
	}
	fmt.Fprintln(w, "Stopped")
	return nil
}
