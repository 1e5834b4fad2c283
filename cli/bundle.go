package cli

import "github.com/spf13/cobra"

// NewBundleCommand builds slipway bundle: build, inspect, verify and serve what goes on a node.
func NewBundleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Build, inspect, verify and serve what goes on a node",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newBundleBuildCommand(), newBundleInspectCommand(), newBundleVerifyCommand(), newBundleServeCommand())
	return cmd
}
