package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
)

func newLabExecCommand(opts *lab.Options) *cobra.Command {
	var user string
	var console bool
	cmd := &cobra.Command{
		Use:   "exec NAME/MACHINE [-- COMMAND...]",
		Short: "Run a command on a machine over SSH, or open a shell; exits with the command's code",
		Example: `  slipway lab exec dev/m1 -- systemctl is-system-running
  slipway lab exec dev/m2 --user ops -- sudo id
  slipway lab exec dev/m3 --console -- ip address   # without network and sshd`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeMachines(opts),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, machine, err := openMachine(cmd, *opts, args[0])
			if err != nil {
				return err
			}
			streams := lab.Streams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}
			if !console {
				return exitAs(l.ExecAs(cmd.Context(), machine, user, streams, args[1:]...))
			}
			command := args[1:]
			if len(command) == 0 {
				command = []string{"/bin/bash", "-i"}
			}
			return exitAs(l.Console(cmd.Context(), machine, streams, command...))
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "root or ops (default: the lab's user)")
	cmd.Flags().BoolVar(&console, "console", false, "as root from this host, without the machine's network and sshd")
	return cmd
}

// exitAs makes slipway exit as the command on the machine did.
func exitAs(err error) error {
	var exit *lab.ExitError
	if errors.As(err, &exit) {
		return &commandError{code: exit.ExitCode(), err: fmt.Errorf("the command on %s ended with code %d", exit.Machine, exit.ExitCode())}
	}
	return err
}

func openMachine(cmd *cobra.Command, opts lab.Options, path string) (*lab.Lab, string, error) {
	name, machine, ok := strings.Cut(path, "/")
	if !ok {
		return nil, "", fmt.Errorf("%q: want NAME/MACHINE, such as dev/m1", path)
	}
	opts.RelayCommand = relayCommand()
	l, err := openLab(cmd, opts, name)
	if err != nil {
		return nil, "", err
	}
	_, err = l.Machine(machine)
	return l, machine, err
}
