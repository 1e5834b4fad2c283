package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Output is what a command wrote.
type Output struct {
	Stdout, Stderr string
}

// ExitError says that a command ran and did not end well.
type ExitError struct {
	Machine string
	Command []string
	// Code is the exit code; 255 also stands for a connection that failed.
	Code   int
	Stderr string
}

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: %s: exit code %d: %s", e.Machine, strings.Join(quoteAll(e.Command), " "), e.Code, tail(e.Stderr, 600))
}

// ExitCode returns the command's exit code.
func (e *ExitError) ExitCode() int { return e.Code }

// Streams connects a command to its caller. Nil means nothing, as in os/exec.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exec runs a command on a machine over SSH as the lab's user, through the bastion if there is one. Words are passed as they
// are, not through expansion. The error is an *ExitError when the command or the connection failed.
func (l *Lab) Exec(ctx context.Context, machine string, command ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	err := l.ExecAs(ctx, machine, "", Streams{Out: &stdout, Err: &stderr}, command...)
	var exit *ExitError
	if errors.As(err, &exit) {
		exit.Stderr = stderr.String()
	}
	return Output{stdout.String(), stderr.String()}, err
}

// ExecAs runs a command over SSH as the given user (root or ops; empty: the lab's user) with the caller's streams.
func (l *Lab) ExecAs(ctx context.Context, machine, user string, streams Streams, command ...string) error {
	m, err := l.find(machine)
	if err != nil {
		return err
	}
	if user == "" {
		user = m.User
	}
	argv := []string{"ssh", "-F", l.SSHConfig(), "-l", user}
	if in, ok := streams.In.(*os.File); ok && isTerminal(in) {
		argv = append(argv, "-t")
	}
	argv = append(argv, m.Hostname)
	if len(command) > 0 {
		argv = append(argv, "--", strings.Join(quoteAll(command), " "))
	}
	return runStreams(ctx, m.Hostname, command, streams, argv)
}

// Console runs a command as root inside a machine without its network and its sshd: for machines whose cable is out.
func (l *Lab) Console(ctx context.Context, machine string, streams Streams, command ...string) error {
	m, err := l.find(machine)
	if err != nil {
		return err
	}
	argv, err := l.consoleArgv(m, command)
	if err != nil {
		return err
	}
	return runStreams(ctx, m.Hostname, command, streams, argv)
}

// consoleArgv enters the machine's cgroups too: what the command leaves running must die with the machine.
func (l *Lab) consoleArgv(m *machineState, command []string) ([]string, error) {
	leader, err := l.leader(m)
	if err != nil {
		return nil, err
	}
	// Where version 2 forbids processes beside child cgroups, the command gets a child of its own.
	script := "cd /; for dir in " + strings.Join(quoteAll(l.memberDirs(m.Name)), " ") +
		`; do [ ! -d "$dir/payload" ] || dir=$dir/payload; ` +
		`[ -z "$(cat "$dir/cgroup.subtree_control" 2>/dev/null)" ] || { dir=$dir/console; mkdir -p "$dir"; }; ` +
		`echo 0 > "$dir/cgroup.procs"; done; target=$1; shift; ` +
		`exec nsenter --target "$target" --mount --uts --ipc --net --pid --cgroup --root --wd ` +
		`env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C "$@"`
	return append([]string{"/bin/sh", "-euc", script, "sh", strconv.Itoa(leader)}, command...), nil
}

// console runs a shell script inside a machine for the faults.
func (l *Lab) console(ctx context.Context, m *machineState, script string, words ...string) (string, error) {
	argv, err := l.consoleArgv(m, append([]string{"/bin/sh", "-euc", script, "sh"}, words...))
	if err != nil {
		return "", err
	}
	return run(ctx, "", argv...)
}

func runStreams(ctx context.Context, machine string, command []string, streams Streams, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.In, streams.Out, streams.Err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return &ExitError{Machine: machine, Command: command, Code: exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("running a command on %s: %w", machine, errors.Join(err, ctx.Err()))
	}
	return nil
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && file.Name() != os.DevNull
}
