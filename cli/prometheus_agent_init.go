package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/certs"
	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/spf13/cobra"
)

// newPrometheusAgentInitCommand builds slipway prometheus agent init.
func newPrometheusAgentInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make the certificates of a transfer",
		Long: `Make the certificates with which the two hosts of a transfer know each other: an authority in DIR, and the folders DIR/source and DIR/target.
Copy each folder to its host, readable by the agent alone. ca.key stays where it is: with it, more certificates can be made.
What is there and good is kept; certificates that end soon are made anew.`,
		Example:           `  slipway prometheus agent init ./transfer`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o700); err != nil {
				return fmt.Errorf("making certificates: %w", err)
			}
			if err := transfer.InitCredentials(args[0], certs.New(certs.Options{})); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, name := range transfer.CredentialFolders() {
				fmt.Fprintf(out, "%s: for the %s's host\n", filepath.Join(args[0], name), name)
			}
			return nil
		},
	}
}
