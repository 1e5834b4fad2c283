package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

type pullOptions struct {
	transfer.MoveOptions
	ssh               sshSource
	ceiling, keepFree bytesValue
	output            string
	quiet             bool
}

// newPrometheusPullCommand builds slipway prometheus pull.
func newPrometheusPullCommand() *cobra.Command {
	var o pullOptions
	cmd := &cobra.Command{
		Use:   "pull FROM DIR",
		Short: "Bring blocks into a data directory",
		Long: `Bring the blocks of another Prometheus data directory into DIR. FROM is host:port of an agent source, unix:PATH of one behind SSH, a directory of this host, or
ssh://user@host[:port]/directory: then slipway-agent is put there and taken away at the end.
Blocks are staged in DIR/slipway-staging, newest first, and verified on this disk: every byte against what was read at the source, every sum of the
block itself. Killed at any moment, the same command goes on where it was; what is staged or installed is not read again.

With --install they are then installed, one at a time, newest first; --server names the server that runs in DIR, which must see each of them before
the next, and without which nothing is installed beside a write-ahead log. A block that the server cannot load is taken away at once.
What must not be installed is refused by a named rule with its numbers; some rules can be switched off by --override.
Exit codes: 0 all is there, 1 something is refused or did not work, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus pull old.example:9797 /prometheus --credentials ./target
  slipway prometheus pull old.example:9797 /prometheus --credentials ./target --install --server http://127.0.0.1:9090
  slipway prometheus pull ssh://root@old.example/var/lib/prometheus /prometheus --ssh-key ./key --agent-server http://127.0.0.1:9090
  slipway prometheus pull /mnt/old /prometheus --still --install`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.From, o.To = args[0], args[1]
			return o.run(cmd)
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *pullOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	f.StringVar(&o.Credentials, "credentials", "", "folder target of agent init, for host:port")
	o.ssh.agentFlags(cmd)
	f.BoolVar(&o.Still, "still", false, "no server runs in the directory FROM: pin nothing, write nothing there")
	f.StringVar(&o.SourceServer.URL, "source-server", "", "address of the server that runs in the directory FROM; reads slow down when its queries do")
	serverFlags(f, "source-server-", " of the server in FROM", &o.SourceServer)
	f.StringSliceVar(&o.Only, "block", nil, "only this block; may be repeated")
	f.StringVar(&o.Pull.Seed, "seed", "", "data directory that may hold a part of the same (DIR itself to verify what is there): only the difference travels")
	f.IntVar(&o.Pull.Parallel, "parallel", 4, "pieces that travel at once")
	f.Var(&o.ceiling, "ceiling", "most bytes per second, as in 50MiB; 0: none")
	f.Var(&o.keepFree, "keep-free", "leave this much of the disk free, as in 10GiB")
	f.DurationVar(&o.Pull.Patience, "patience", 10*time.Minute, "how long the source may be silent before the command gives up")
	f.BoolVar(&o.PlanOnly, "dry-run", false, "print what would be done and why not more")
	f.BoolVar(&o.Install, "install", false, "install what was brought")
	f.StringVar(&o.Server.URL, "server", "", "address of the server that runs in DIR, as in http://127.0.0.1:9090")
	serverFlags(f, "server-", " of the server in DIR", &o.Server)
	f.StringSliceVar(&o.Lost, "lost", nil, "give up the samples of this damaged block; may be repeated")
	f.StringSliceVar(&o.Overrides, "override", nil, "switch off this rule: "+strings.Join(overridable(), ", "))
	f.BoolVar(&o.KeepPin, "keep-pin", false, "leave the blocks pinned on the source")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
}

func overridable() (names []string) {
	for _, r := range transfer.Rules() {
		if r.Overridable {
			names = append(names, r.Name)
		}
	}
	return names
}

func (o *pullOptions) run(cmd *cobra.Command) error {
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if o.quiet {
		errs = io.Discard
	}
	o.Ceiling, o.Pull.KeepFree = int64(o.ceiling), uint64(o.keepFree)
	o.Pull.Progress = pullProgress(errs, time.Now)
	o.Installed = func(s transfer.Step) { fmt.Fprintf(errs, "installed %s\n", s.Block) }
	if isSSH(o.From) {
		a, err := o.ssh.open(cmd.Context(), o.From, nil, errs)
		if err != nil {
			return err
		}
		defer a.Close()
		o.Source = a.Source()
	}
	moved, err := transfer.Move(cmd.Context(), o.MoveOptions)
	if moved == nil {
		return err
	}
	if printed := o.print(out, moved); printed != nil {
		return printed
	}
	if err != nil {
		return err
	}
	return moved.Refused()
}

// pullProgress prints a line every ten seconds.
func pullProgress(w io.Writer, now func() time.Time) func(transfer.Progress) {
	last := now()
	return func(p transfer.Progress) {
		if now().Sub(last) < 10*time.Second {
			return
		}
		last = now()
		eta := "?"
		if p.ETASeconds >= 0 {
			eta = (time.Duration(p.ETASeconds) * time.Second).String()
		}
		fmt.Fprintf(w, "%d/%d blocks, %s of %s, %s/s, %s left, limited by %s\n", p.BlocksDone, p.Blocks, size(p.BytesDone), size(p.BytesTotal), size(p.BytesPerSecond), eta, p.LimitedBy)
	}
}

func (o *pullOptions) print(out io.Writer, m *transfer.Moved) error {
	if o.output != "" {
		return printObject(out, o.output, m)
	}
	if o.PlanOnly {
		return m.Plan.Fprint(out)
	}
	installed := map[string]bool{}
	for _, s := range m.Installed {
		installed[s.Block] = true
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "BLOCK\tSIZE\tSTATE")
	for _, s := range m.Plan.Present {
		fmt.Fprintf(table, "%s\t%s\tpresent\n", s.Block, size(s.Bytes))
	}
	if m.Pull != nil {
		for _, b := range m.Pull.Blocks {
			state := string(b.State)
			if installed[b.Name] {
				state = string(transfer.Installed)
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", b.Name, size(b.Bytes), state)
		}
	}
	for _, r := range m.Plan.Refusals {
		fmt.Fprintf(table, "%s\t\trefused: %s\n", r.Block, r.Rule)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range m.Plan.Refusals {
		fmt.Fprintf(out, "%s: %s: %s\n", r.Block, r.Rule, r.Message)
	}
	if p := m.Pull; p != nil {
		fmt.Fprintf(out, "%s fetched, %s from the seed, %s kept, %s verified\n", size(p.BytesFetched), size(p.BytesSeeded), size(p.BytesKept), size(p.BytesVerified))
	}
	return nil
}

// bytesValue is a flag that takes bytes, as in 1048576, 64Ki, 50MiB or 10Gi.
type bytesValue uint64

func (b *bytesValue) String() string { return strconv.FormatUint(uint64(*b), 10) }

// Set reads a number with or without a unit.
func (b *bytesValue) Set(text string) error {
	n, err := readBytes(text)
	if err != nil || n < 0 {
		return errors.New("want a number of bytes, as in 1048576, 50Mi or 10GiB")
	}
	*b = bytesValue(n)
	return nil
}

// Type is the placeholder in the help.
func (b *bytesValue) Type() string { return "bytes" }
