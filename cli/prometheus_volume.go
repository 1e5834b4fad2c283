package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/slipway-dev/slipway/migration/volume"
	"github.com/spf13/cobra"
)

type volumeOptions struct {
	need, largest, head, file string
	uid, gid                  int
	groups                    []int
	override                  []string
	output                    string
	quiet, measureOnly        bool
	seeded                    bool
}

// newPrometheusVolumeCommand builds slipway prometheus volume.
func newPrometheusVolumeCommand() *cobra.Command {
	var o volumeOptions
	cmd := &cobra.Command{
		Use:   "volume DIR",
		Short: "Measure a volume and say whether a server can live on it",
		Long: `Volume measures the volume below a directory as the server will see it: what file system it is, whether files can be made, renamed, synced, locked,
mapped and deleted as the server's user, how long a sync takes, random and sequential reads and writes, and what fits. Each finding has the name of
its rule. It writes 256 MiB into a directory of its own below DIR and takes them away again; on a slow volume it takes at most a minute.

Run it where the server will run: on its host, or in a pod that mounts its claim. With --uid it measures as that user (as root only).
Exit codes: 0 nothing speaks against the volume but warnings, 1 a rule refuses it, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus volume /data/prometheus --need 800Gi --largest-block 30Gi --uid 1000 --gid 1000 --groups 2000
  slipway prometheus volume /mnt/claim --override local_file_system -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args[0])
		},
	}
	o.addFlags(cmd, volume.Rules())
	f := cmd.Flags()
	f.BoolVar(&o.measureOnly, "measure-only", false, "print what was measured, as JSON")
	_ = f.MarkHidden("measure-only")
	return cmd
}

// addFlags adds the flags that say who measures, how much is needed, and which of the rules may pass.
func (o *volumeOptions) addFlags(cmd *cobra.Command, rules []string) {
	outputFlag(cmd, &o.output, "json", "yaml")
	f := cmd.Flags()
	f.StringVar(&o.need, "need", "0", "bytes of all blocks that will lie there, such as 800Gi")
	f.StringVar(&o.largest, "largest-block", "0", "bytes of the largest block")
	f.StringVar(&o.head, "head", "0", "bytes of the write-ahead log and of the head's chunks")
	f.StringVar(&o.file, "file-size", "256Mi", "size of the file that is written and read")
	f.BoolVar(&o.seeded, "seeded", false, "blocks that lie there already are the old server's: they count as free")
	f.IntVar(&o.uid, "uid", -1, "measure as this user")
	f.IntVar(&o.gid, "gid", -1, "measure as this group (with --uid; default: the same number)")
	f.IntSliceVar(&o.groups, "groups", nil, "further groups (with --uid), such as the fsGroup of a pod")
	f.StringSliceVar(&o.override, "override", nil, "rules that do not refuse, by name")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print no progress")
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("override", cobra.FixedCompletions(rules, cobra.ShellCompDirectiveNoFileComp))
}

func (o *volumeOptions) run(cmd *cobra.Command, dir string) error {
	need, size, err := o.parse(volume.Rules())
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	report, err := o.measure(cmd, dir, size)
	if err != nil {
		return err
	}
	if o.measureOnly {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	}
	findings := volume.Judge(report, need, o.override)
	if err := o.print(cmd.OutOrStdout(), report, findings); err != nil {
		return err
	}
	if volume.Worst(findings).Stops() {
		return fmt.Errorf("looking at %s: a server cannot live there; --override NAME lets a rule pass", dir)
	}
	return nil
}

func (o *volumeOptions) parse(rules []string) (volume.Need, int64, error) {
	var n volume.Need
	var file int64
	for _, f := range []struct {
		name, text string
		to         *int64
	}{{"need", o.need, &n.Bytes}, {"largest-block", o.largest, &n.LargestBlockBytes}, {"head", o.head, &n.HeadBytes}, {"file-size", o.file, &file}} {
		v, err := parseBytes(f.name, f.text)
		if err != nil {
			return n, 0, &usageError{err}
		}
		if v < 0 {
			return n, 0, &usageError{fmt.Errorf("--%s %s: it cannot be less than 0", f.name, f.text)}
		}
		*f.to = v
	}
	for _, name := range o.override {
		if !slices.Contains(rules, name) {
			return n, 0, &usageError{fmt.Errorf("--override %s: there is no such rule; choose from %s", name, strings.Join(rules, ", "))}
		}
	}
	if o.uid < 0 && (o.gid >= 0 || len(o.groups) > 0) {
		return n, 0, &usageError{errors.New("--gid and --groups need --uid")}
	}
	return n, file, nil
}

// measure looks at the volume, as another user in a process of its own.
func (o *volumeOptions) measure(cmd *cobra.Command, dir string, size int64) (*volume.Report, error) {
	progress := func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), "Measuring "+what) }
	if o.quiet || o.measureOnly && o.uid < 0 {
		progress = nil
	}
	if o.uid < 0 {
		return volume.Measure(cmd.Context(), volume.Options{Dir: dir, FileBytes: size, Seeded: o.seeded, Progress: progress})
	}
	return o.measureAs(cmd.Context(), dir, size)
}

// measureAs starts this program again as the other user. The link in /proc is followed even where the path to the
// program is closed to that user.
func (o *volumeOptions) measureAs(ctx context.Context, dir string, size int64) (*volume.Report, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("--uid: only root can measure as another user")
	}
	gid := o.gid
	if gid < 0 {
		gid = o.uid
	}
	child := exec.CommandContext(ctx, "/proc/self/exe", "prometheus", "volume", dir, "--measure-only", "--file-size", strconv.FormatInt(size, 10), "--seeded="+strconv.FormatBool(o.seeded))
	credential := &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(gid)} //nolint:gosec // checked by the kernel
	for _, g := range o.groups {
		credential.Groups = append(credential.Groups, uint32(g)) //nolint:gosec // checked by the kernel
	}
	child.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	child.Env, child.Dir = []string{"HOME=/nonexistent"}, "/"
	var out, complaint bytes.Buffer
	child.Stdout, child.Stderr = &out, &complaint
	if err := child.Run(); err != nil {
		said := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "slipway: ")
		return nil, fmt.Errorf("measuring as uid %d: %s", o.uid, worded(said, err.Error()))
	}
	r := &volume.Report{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("measuring as uid %d: %w", o.uid, err)
	}
	return r, nil
}

func (o *volumeOptions) print(out io.Writer, r *volume.Report, findings []volume.Finding) error {
	if o.output != "" {
		return printObject(out, o.output, map[string]any{"verdict": volume.Worst(findings), "findings": findings, "report": r})
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tVERDICT\tWHAT WAS SEEN")
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Rule, f.Verdict, f.Says)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Fix != "" {
			fmt.Fprintf(out, "%s: %s\n", f.Rule, f.Fix)
		}
	}
	return nil
}
