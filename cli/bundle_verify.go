package cli

import (
	"fmt"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/spf13/cobra"
)

// newBundleVerifyCommand builds slipway bundle verify.
func newBundleVerifyCommand() *cobra.Command {
	var want string
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Check every byte of a bundle against its manifest",
		Long: `Verify reads every blob, compares its digest and size with the manifest, and every file in it with the
manifest's list. All damaged blobs are named. With --digest the manifest itself is checked as well: the
digest says everything about a bundle, so compare it with the one from where the bundle was built.`,
		Example: "  slipway bundle verify ./bundle-1.36.tar --digest sha256:3d5c…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = b.Close() }()
			if want != "" && want != b.Digest() {
				return fmt.Errorf("verifying %s: its digest is %s, not %s", args[0], b.Digest(), want)
			}
			if err := b.Verify(cmd.Context()); err != nil {
				return fmt.Errorf("verifying %s: %w", args[0], err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d role archives are what the manifest says\ndigest  %s\n", args[0], len(b.Manifest().Contents), b.Digest())
			return nil
		},
	}
	cmd.Flags().StringVar(&want, "digest", "", "digest that the manifest must have")
	return cmd
}
