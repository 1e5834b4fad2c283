package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/plane"
)

func newPlaneBackupCommand() *cobra.Command {
	var dir, file string
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write the plane's memory into one file",
		Long: `Backup writes a consistent snapshot of etcd, the certificates, the encryption key and the content that clusters
were built with into one checksummed archive, beside a running plane or a stopped one. The archive is read
back before the command says that it is done.

It holds every secret of the fleet, the key included by which Secrets are encrypted: keep it as you keep a
root password. Its mode is 0600.`,
		Example: "  slipway plane backup --file /mnt/safe/slipway-$(date +%F).backup",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := findHome(dir)
			if err != nil {
				return err
			}
			m, err := plane.Backup(cmd.Context(), plane.BackupOptions{
				Options: plane.Options{Dir: home.plane(), Binaries: binaries(cmd.ErrOrStderr())},
				File:    file, Extra: planeExtras(home), Slipway: Version,
			})
			if err != nil {
				return fmt.Errorf("backing up: %w", err)
			}
			info, err := os.Stat(file)
			if err != nil {
				return fmt.Errorf("looking at the backup: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: plane %s at %s, %d files, %d KiB, read back and compared\n",
				file, m.ID, m.Created.Format(time.RFC3339), len(m.Files), info.Size()>>10)
			return nil
		},
	}
	planeDirFlag(cmd, &dir)
	cmd.Flags().StringVarP(&file, "file", "f", "", "file to write; it must not exist")
	_ = cmd.MarkFlagRequired("file")
	return cmd
}
