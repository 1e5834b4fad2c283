package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/plane"
)

func newPlaneRestoreCommand() *cobra.Command {
	var dir, file string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Make a plane from a backup",
		Long: `Restore checks the backup and makes the plane's directory from it, whole or not at all. It never overwrites: a
directory that holds a plane has to be moved away first. Then 'slipway up' starts it.

What happened after the backup is not known to the restored plane. Hosts remember who took them last: one
that an operation unknown to the plane has taken is left alone and reported as TakenElsewhere.
Make sure that the old plane does not run any more.`,
		Example: "  slipway plane restore --file /mnt/safe/slipway-2026-11-22.backup && slipway up",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := findHome(dir)
			if err != nil {
				return err
			}
			unlock, err := home.lock()
			if err != nil {
				return fmt.Errorf("restoring into %s: %w (`slipway down` first)", home, err)
			}
			defer unlock()
			m, err := plane.Restore(cmd.Context(), plane.RestoreOptions{
				Dir: home.plane(), File: file, Extra: planeExtras(home), Binaries: binaries(cmd.ErrOrStderr()),
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Plane %s is back as it was at %s. Start it with: slipway up\n", m.ID, m.Created.Format(time.RFC3339))
			return nil
		},
	}
	planeDirFlag(cmd, &dir)
	cmd.Flags().StringVarP(&file, "file", "f", "", "backup to restore")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}
