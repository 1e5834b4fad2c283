package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/search/doctor"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/spf13/cobra"
)

// exitFound is the exit code of a doctor that looked and found something: cron tells it from one that could not look.
const exitFound = 3

type searchDoctorOptions struct {
	server     searchServer
	urls       []string
	from, save string
	doctor     doctor.Options
	planned    bytesValue
	output     string
	failOn     string
	all        bool
}

// newSearchDoctorCommand builds slipway search doctor.
func newSearchDoctorCommand() *cobra.Command {
	o := searchDoctorOptions{failOn: "hurts"}
	cmd := &cobra.Command{
		Use:   "doctor [URL…]",
		Short: "Tell what will break in a search cluster, on which day, and what mends it",
		Long: `Doctor looks once at an Elasticsearch or OpenSearch cluster, or at the state that --save kept of one, and judges it: shards and the heap of masters,
days of disk in each tier, settings that an emergency left, indices that are bound to nodes, policies that come due at once, slots that are missing,
and what to look at before going live. Every finding shows its arithmetic. It asks some twenty cheap questions and changes nothing: the requests
that it prints are to be read before they are sent. Several addresses are nodes of one cluster: the first that answers is asked.

Series of indices (app-2026.11.22) are found by their names, which are taken to be in UTC (--time-zone). Without --keep nothing is taken to be deleted
but by policies that are attached.
Exit codes: 0 nothing hurts (--fail-on change: nor should change; unknown: and all was judged), 1 no look could be taken, 2 wrong usage,
3 something was found that --fail-on names, 130 interrupted.`,
		Example: `  slipway search doctor http://es-1:9200 http://es-2:9200 --keep 365 --planned 10TiB
  slipway search doctor https://logs:9200 --ca-file ca.pem --user ops --password-file ./password --save state.json
  slipway search doctor --from state.json -o json --fail-on change`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.urls = args; len(args) == 0 == (o.from == "") {
				return &usageError{errors.New("give the address of a cluster, as in https://logs:9200, or a recorded state with --from: one of the two")}
			}
			if o.from != "" {
				if err := refuseFlags(cmd, "is about a cluster that is asked; --from asks none", "save", "user", "password-file", "api-key-file", "ca-file", "timeout", "max-answer"); err != nil {
					return err
				}
			}
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "text", "json", "yaml")
	o.output = "text"
	o.server.flags(cmd)
	f.StringVar(&o.from, "from", "", "file with a recorded state, instead of a cluster")
	f.StringVar(&o.save, "save", "", "file to keep what was seen in, for --from: names of indices and nodes, settings of the cluster")
	f.StringVar(&o.doctor.TimeZone, "time-zone", "UTC", "zone of the times in names of indices, such as Asia/Shanghai; none with daylight saving")
	f.IntVar(&o.doctor.KeepDays, "keep", 0, "days that logs are kept; 0 when nothing deletes them")
	f.Var(&o.planned, "planned", "bytes a day, without replicas, that the cluster was planned for, as in 10TiB; none compares with four weeks ago")
	f.Float64Var(&o.doctor.DocsPerSecondPerNode, "docs-per-node", 0, "documents a second that one hot node was measured to take; 0 takes 2500 a core")
	f.StringVar(&o.doctor.TierAttribute, "tier-attribute", "", "node attribute that tells tiers apart; none finds it out")
	f.BoolVar(&o.all, "all", false, "show what is fine too")
	choiceFlag(cmd, &o.failOn, "fail-on", "the least that makes the exit code 3", "hurts", "change", "unknown", "never")
	for _, name := range []string{"from", "save"} {
		_ = cmd.MarkFlagFilename(name, "json") // it fails for a flag that does not exist only
	}
	return cmd
}

func (o *searchDoctorOptions) run(cmd *cobra.Command) error {
	o.doctor.PlannedBytesPerDay = int64(o.planned)
	if err := o.doctor.Check(time.Now()); err != nil { // before a cluster is asked
		return &usageError{err}
	}
	if o.save != "" {
		if err := canKeep(o.save); err != nil {
			return err
		}
	}
	// A state of 100,000 indices is all that lives here: collecting it more often costs a second of CPU and saves a third of the memory.
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	c, asked, err := o.look(cmd.Context())
	if err != nil {
		return err
	}
	if o.save != "" {
		if err := saveState(o.save, c); err != nil {
			return err
		}
	}
	r, err := doctor.Examine(c, o.doctor)
	if err != nil {
		return &usageError{err}
	}
	if err := o.print(cmd.OutOrStdout(), r, asked); err != nil {
		return err
	}
	return o.verdict(r)
}

// look takes one look at the cluster and says at which address, or reads one that was taken.
func (o *searchDoctorOptions) look(ctx context.Context) (*state.Cluster, string, error) {
	if o.from != "" {
		c, err := readState(o.from)
		return c, "", err
	}
	cl, err := o.server.open(o.urls)
	if err != nil {
		return nil, "", err
	}
	defer cl.Close()
	c, err := cl.Observe(ctx)
	if err != nil {
		return nil, "", searchFailed(err)
	}
	return c, cl.Endpoint(), nil
}

func (o *searchDoctorOptions) print(out io.Writer, r *doctor.Report, asked string) error {
	if o.output == "text" {
		return doctor.Print(out, r, doctor.PrintOptions{All: o.all, URL: asked, Curl: o.server.curl()})
	}
	return printObject(out, o.output, r)
}

// verdict is the exit code.
func (o *searchDoctorOptions) verdict(r *doctor.Report) error {
	hurts, change, unknown := r.Count(doctor.Hurts), r.Count(doctor.Change), r.Count(doctor.Unknown)
	bad := map[string]int{"hurts": hurts, "change": hurts + change, "unknown": hurts + change + unknown}[o.failOn]
	if bad == 0 {
		return nil
	}
	return &commandError{exitFound, fmt.Errorf("%s: will hurt: %d, should change: %d, could not be judged: %d", printable(r.Cluster), hurts, change, unknown)}
}

func readState(name string) (*state.Cluster, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := state.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// canKeep looks before a cluster is asked whether a file can be written.
func canKeep(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("--save %s: it is a directory, give the name of a file", name)
	}
	if dir := filepath.Dir(name); !fileExists(dir) {
		return fmt.Errorf("--save %s: there is no directory %s", name, dir)
	}
	return nil
}

func saveState(name string, c *state.Cluster) error {
	if err := durable.ReplaceWith(name, 0o600, func(w io.Writer) error { return state.Write(w, c) }); err != nil {
		return fmt.Errorf("keeping what was seen: %w", err)
	}
	return nil
}
