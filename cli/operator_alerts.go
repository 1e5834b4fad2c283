package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/charts"
)

// newOperatorAlertsCommand builds slipway operator alerts.
func newOperatorAlertsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "alerts",
		Short: "Print the alerts as a Prometheus rule file",
		Long: `Alerts prints rules for a Prometheus that scrapes the operator's metrics. Each alert names its page in
docs/runbooks.`,
		Example: "  slipway operator alerts > /etc/prometheus/rules/slipway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := charts.Alerts.ReadFile("slipway/alerts/fleet.yaml")
			if err != nil {
				return fmt.Errorf("reading the alerts: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
