package cli

import "github.com/spf13/cobra"

// NewSearchCommand builds slipway search: look at Elasticsearch and OpenSearch clusters.
func NewSearchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Look at Elasticsearch and OpenSearch clusters that hold logs",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newSearchDoctorCommand(), newSearchExplainCommand(), newSearchLifecycleCommand(), newSearchSnapshotCommand())
	return cmd
}
