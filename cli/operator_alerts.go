package cli

import (
	"fmt"
	"io/fs"
	"strings"

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
			text, err := allAlerts()
			if err != nil {
				return fmt.Errorf("reading the alerts: %w", err)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
}

// allAlerts are the files of all domains as one: a rule file has one list of groups.
func allAlerts() (string, error) {
	files, err := fs.Glob(charts.Alerts, "slipway/alerts/*.yaml")
	if err != nil {
		return "", err
	}
	var heads, groups strings.Builder
	for _, name := range files {
		text, err := charts.Alerts.ReadFile(name)
		if err != nil {
			return "", err
		}
		head, list, found := strings.Cut(string(text), "groups:\n")
		if !found {
			return "", fmt.Errorf("%s has no groups", name)
		}
		heads.WriteString(head)
		groups.WriteString(list)
	}
	return heads.String() + "groups:\n" + groups.String(), nil
}
