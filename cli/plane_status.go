package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/plane"
)

// planeReport is what is known of a plane without asking it for secrets.
type planeReport struct {
	Dir       string          `json:"dir"`
	Running   bool            `json:"running"`
	Slipway   *upState        `json:"slipway,omitempty"`
	State     plane.State     `json:"state"`
	Processes []plane.Program `json:"processes"`
}

func newPlaneStatusCommand() *cobra.Command {
	var dir, out string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether the plane runs, where, and how it does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := findHome(dir)
			if err != nil {
				return err
			}
			report, err := lookAtPlane(cmd, home)
			if err != nil {
				return err
			}
			if out != "" {
				return printObject(cmd.OutOrStdout(), out, report)
			}
			printPlane(cmd.OutOrStdout(), report)
			return nil
		},
	}
	planeDirFlag(cmd, &dir)
	outputFlag(cmd, &out, "json", "yaml")
	return cmd
}

func lookAtPlane(cmd *cobra.Command, home upHome) (planeReport, error) {
	report := planeReport{Dir: home.plane()}
	state, running, err := home.running()
	if err != nil {
		return report, err
	}
	if running {
		report.Running, report.Slipway = true, &state
	}
	if report.State, err = plane.ReadState(home.plane()); errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("there is no plane in %s: `slipway up` makes one", home.plane())
	} else if err != nil {
		return report, err
	}
	report.Processes, err = plane.Programs(cmd.Context(), home.plane())
	return report, err
}

func printPlane(w io.Writer, r planeReport) {
	fmt.Fprintf(w, "Plane %s in %s, made at %s\n", r.State.ID, r.Dir, r.State.Created.Format(time.RFC3339))
	if restored := r.State.Restored; restored != nil {
		fmt.Fprintf(w, "Restored at %s from a backup of %s\n", restored.Time.Format(time.RFC3339), restored.BackupTime.Format(time.RFC3339))
	}
	for _, p := range r.Processes {
		words := "does not run"
		switch {
		case p.Running && p.Ready:
			words = fmt.Sprintf("ready (process %d)", p.PID)
		case p.Running:
			words = fmt.Sprintf("runs and is not ready (process %d): %s", p.PID, p.Message)
		}
		fmt.Fprintf(w, "  %-24s %s\n", p.Name, words)
	}
	if r.Slipway != nil {
		r.Slipway.print(w)
		return
	}
	fmt.Fprintln(w, "Slipway does not run here: `slipway up` starts it")
}
