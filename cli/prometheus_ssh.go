package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/agent"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/ssh"
	"github.com/spf13/cobra"
)

// sshScheme begins a source that is reached over SSH: ssh://user@host[:port]/data/directory.
const sshScheme = "ssh://"

// sshSource are the flags of a source that is reached over SSH.
type sshSource struct {
	keyFile, knownHosts, hostKey, binary, folder string
	server                                       server.Options // as the agent reaches it
}

func (s *sshSource) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.keyFile, "ssh-key", "", "file with the private key for ssh://")
	f.StringVar(&s.knownHosts, "known-hosts", "", "file with the old host's key, as OpenSSH's (default: ~/.ssh/known_hosts)")
	f.StringVar(&s.hostKey, "host-key", "", "the old host's key itself, as in \"ssh-ed25519 AAAA…\"")
	f.StringVar(&s.folder, "agent-folder", "", "where slipway-agent is put on the old host; programs must be allowed to run there (default /var/tmp)")
}

// agentFlags are those of commands that start an agent.
func (s *sshSource) agentFlags(cmd *cobra.Command) {
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.binary, "agent-binary", "", "slipway-agent, built for the old host (default: beside this program)")
	f.StringVar(&s.server.URL, "agent-server", "", "address of the old server as seen from its own host, for the throttle")
	serverFlags(f, "agent-server-", " of the old server (files are those of its host)", &s.server)
}

func isSSH(from string) bool { return strings.HasPrefix(from, sshScheme) }

// open puts the agent on the host that an address names, and starts it.
func (s *sshSource) open(ctx context.Context, from string, args []string, errs io.Writer) (*agent.Agent, error) {
	o, err := s.options(from, errs)
	if err != nil {
		return nil, err
	}
	if o.Binary = s.binary; o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("looking for slipway-agent: %w", err)
		}
		o.Binary = filepath.Join(filepath.Dir(self), "slipway-agent")
	}
	o.Args = append(args, serverArgs(&s.server)...)
	return agent.Open(ctx, o)
}

// serverArgs are the flags of slipway-agent for a server. None of them is a secret.
func serverArgs(o *server.Options) (args []string) {
	for _, x := range [][2]string{{"", o.URL}, {"-user", o.User}, {"-password-file", o.PasswordFile}, {"-token-file", o.TokenFile}, {"-ca-file", o.CAFile}} {
		if x[1] != "" {
			args = append(args, "-server"+x[0]+"="+x[1])
		}
	}
	return args
}

// options say how the host is reached.
func (s *sshSource) options(from string, errs io.Writer) (agent.Options, error) {
	o := agent.Options{Folder: s.folder, Tell: func(text string) { fmt.Fprintf(errs, "%s %s\n", time.Now().UTC().Format("15:04:05"), text) }}
	endpoint, data, err := readSSH(from)
	if err != nil {
		return o, &usageError{err}
	}
	if s.keyFile == "" {
		return o, &usageError{errors.New("--ssh-key is missing: the file with the private key for " + from)}
	}
	if endpoint.Key, err = os.ReadFile(s.keyFile); err != nil {
		return o, fmt.Errorf("reading the private key: %w", err)
	}
	if endpoint.HostKey, err = s.pinned(endpoint.Address()); err != nil {
		return o, err
	}
	o.Endpoint, o.Data = endpoint, data
	return o, nil
}

// pinned is the key that the host must show: nothing is sent to one whose key nobody knows.
func (s *sshSource) pinned(address string) (string, error) {
	if s.hostKey != "" {
		return s.hostKey, nil
	}
	file := s.knownHosts
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("looking for known hosts (name them with --known-hosts, or the key with --host-key): %w", err)
		}
		file = filepath.Join(home, ".ssh", "known_hosts")
	}
	key, err := ssh.KnownHost(file, address)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: say which key the old host has with --known-hosts or --host-key", err)
	}
	return key, err
}

// readSSH reads ssh://user@host[:port]/data/directory.
func readSSH(from string) (ssh.Endpoint, string, error) {
	problem := func(what string) (ssh.Endpoint, string, error) {
		return ssh.Endpoint{}, "", fmt.Errorf("the source %s: want ssh://user@host[:port]/data/directory", what)
	}
	u, err := url.Parse(from)
	if err != nil { // its text may hold a password
		return problem("is no address")
	}
	_, password := u.User.Password()
	switch {
	case password:
		return problem("has a password, and a key logs in: --ssh-key")
	case u.User.Username() == "":
		return problem("does not say who logs in (the owner of the data directory, or root)")
	case u.Hostname() == "":
		return problem("names no host")
	case strings.Trim(u.Path, "/") == "":
		return problem("names no data directory")
	case u.RawQuery != "" || u.Fragment != "":
		return problem("has more than an address")
	}
	e := ssh.Endpoint{Host: u.Hostname(), User: u.User.Username()}
	if u.Port() != "" {
		if e.Port, err = strconv.Atoi(u.Port()); err != nil || e.Port < 1 || e.Port > 65535 {
			return problem("has the port " + u.Port())
		}
	}
	return e, u.Path, nil
}

// newPrometheusAgentRemoveCommand builds slipway prometheus agent remove.
func newPrometheusAgentRemoveCommand() *cobra.Command {
	var s sshSource
	var output string
	cmd := &cobra.Command{
		Use:   "remove ssh://USER@HOST/DIR",
		Short: "Take the agent away that a killed migration left on the old host",
		Long: `Take away what slipway prometheus migrate or pull put on the old host over SSH and could not take back because it was killed: the agent is ended, its folder
removed. Blocks that are pinned (DIR/slipway-pin) stay: the migration needs them when it goes on. What is left is printed.
Exit codes: 0 nothing of the agent is left, 1 it did not work, 2 wrong usage.`,
		Example:           `  slipway prometheus agent remove ssh://prometheus@old.example/var/lib/prometheus --ssh-key ./key`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := s.options(args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			a, err := agent.New(o)
			if err != nil {
				return &usageError{err}
			}
			defer a.HangUp()
			left, err := a.Remove(cmd.Context())
			if err != nil {
				return fmt.Errorf("removing the agent: %w", err)
			}
			return printLeft(cmd.OutOrStdout(), output, o.Endpoint.Host, left)
		},
	}
	outputFlag(cmd, &output, "json", "yaml")
	s.flags(cmd)
	return cmd
}

func printLeft(out io.Writer, format, host string, left *agent.Left) error {
	if format != "" {
		return printObject(out, format, left)
	}
	text := "nothing of the agent was on " + host
	if left.Removed != "" {
		text = "removed " + left.Removed + " from " + host
	}
	if left.PinFolder != "" {
		text += fmt.Sprintf("\n%d blocks are pinned in %s: a migration or pull that goes on lets go of them; without one, remove that folder", left.Pinned, left.PinFolder)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}
