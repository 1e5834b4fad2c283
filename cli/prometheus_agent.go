package cli

import "github.com/spf13/cobra"

// newPrometheusAgentCommand builds slipway prometheus agent.
func newPrometheusAgentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Offer the blocks of a data directory to another host",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPrometheusAgentInitCommand(), newPrometheusAgentManifestCommand(), newPrometheusAgentSourceCommand(), newPrometheusAgentRemoveCommand())
	return cmd
}
