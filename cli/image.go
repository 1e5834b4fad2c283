package cli

import "github.com/spf13/cobra"

// NewImageCommand builds slipway image.
func NewImageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Make the container image that a migration's pods run",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newImageBuildCommand())
	return cmd
}
