package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/slipway-dev/slipway/search/doctor"
	"github.com/slipway-dev/slipway/search/state"
	"github.com/spf13/cobra"
)

type searchDoctorOptions struct {
	from    string
	doctor  doctor.Options
	planned bytesValue
	output  string
	failOn  string
	all     bool
}

// newSearchDoctorCommand builds slipway search doctor.
func newSearchDoctorCommand() *cobra.Command {
	o := searchDoctorOptions{failOn: "hurts"}
	cmd := &cobra.Command{
		Use:   "doctor --from FILE",
		Short: "Tell what will break in a search cluster, on which day, and what mends it",
		Long: `Doctor judges the recorded state of an Elasticsearch or OpenSearch cluster: shards and the heap of masters, days of disk in each tier, settings that an
emergency left, indices that are bound to nodes, policies that come due at once, slots that are missing, and what to look at before going live.
Every finding shows its arithmetic. Nothing is asked and nothing is changed: the requests that it prints are to be read before they are sent.

Series of indices (app-2026.11.22) are found by their names, which are taken to be in UTC (--time-zone). Without --keep nothing is taken to be deleted
but by policies that are attached.
Exit codes: 0 nothing hurts (--fail-on change: and nothing should change), 1 something does or the file cannot be read, 2 wrong usage.`,
		Example: `  slipway search doctor --from state.json --keep 365 --planned 10TiB
  slipway search doctor --from state.json -o json --fail-on change`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	outputFlag(cmd, &o.output, "json", "yaml")
	f.StringVar(&o.from, "from", "", "file with a recorded state")
	f.StringVar(&o.doctor.TimeZone, "time-zone", "UTC", "zone of the times in names of indices, such as Asia/Shanghai; none with daylight saving")
	f.IntVar(&o.doctor.KeepDays, "keep", 0, "days that logs are kept; 0 when nothing deletes them")
	f.Var(&o.planned, "planned", "bytes a day, without replicas, that the cluster was planned for, as in 10TiB; none compares with four weeks ago")
	f.Float64Var(&o.doctor.DocsPerSecondPerNode, "docs-per-node", 0, "documents a second that one hot node was measured to take; 0 takes 2500 a core")
	f.StringVar(&o.doctor.TierAttribute, "tier-attribute", "", "node attribute that tells tiers apart; none finds it out")
	f.BoolVar(&o.all, "all", false, "show what is fine too")
	choiceFlag(cmd, &o.failOn, "fail-on", "the least that makes the exit code 1", "hurts", "change", "never")
	_ = cmd.MarkFlagRequired("from") // it fails for a flag that does not exist only
	_ = cmd.MarkFlagFilename("from", "json")
	return cmd
}

func (o *searchDoctorOptions) run(out io.Writer) error {
	o.doctor.PlannedBytesPerDay = int64(o.planned)
	c, err := readState(o.from)
	if err != nil {
		return err
	}
	r, err := doctor.Examine(c, o.doctor)
	if err != nil {
		return &usageError{err}
	}
	if o.output != "" {
		err = printObject(out, o.output, r)
	} else {
		err = doctor.Print(out, r, o.all)
	}
	if err != nil {
		return err
	}
	hurts, change := r.Count(doctor.Hurts), r.Count(doctor.Change)
	if o.failOn != "never" && hurts > 0 || o.failOn == "change" && change > 0 {
		return fmt.Errorf("%s: %d findings hurt, %d should change", printable(r.Cluster), hurts, change)
	}
	return nil
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
