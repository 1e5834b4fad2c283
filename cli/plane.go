package cli

import (
	"github.com/spf13/cobra"
)

// NewPlaneCommand builds slipway plane: the memory of the embedded management plane.
func NewPlaneCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plane",
		Short: "Back up, restore and look at the embedded management plane",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPlaneBackupCommand(), newPlaneRestoreCommand(), newPlaneStatusCommand())
	return cmd
}

// planeDirFlag adds the flag that names the home.
func planeDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "data directory (default $SLIPWAY_HOME or ~/.local/share/slipway)")
}

// planeExtras are what a backup holds beside the plane: the content that clusters were built with. Bundles are not in
// it: they are big, and are found again by the digest that each cluster records.
func planeExtras(home upHome) map[string]string {
	return map[string]string{"content": home.content()}
}
