package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/bundle"
)

// NewKubectlCommand builds slipway kubectl: the kubectl of the bundle, on the management cluster unless told otherwise.
func NewKubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl [ARGS...]",
		Short: "Run the bundle's kubectl; without --kubeconfig and $KUBECONFIG on the embedded management cluster",
		Example: `  slipway kubectl get machines -A
  slipway cluster kubeconfig shop --output-file shop.kubeconfig
  slipway kubectl --kubeconfig shop.kubeconfig get nodes`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			builder, err := bundle.NewBuilder(bundle.Options{})
			if err != nil {
				return fmt.Errorf("preparing kubectl: %w", err)
			}
			path, err := builder.Binary(cmd.Context(), "kubectl")
			if err != nil {
				return fmt.Errorf("preparing kubectl: %w", err)
			}
			c := exec.CommandContext(cmd.Context(), path, args...)
			c.Stdin, c.Stdout, c.Stderr, c.Env = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), kubectlEnv()
			err = c.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return &commandError{code: exit.ExitCode(), err: fmt.Errorf("kubectl ended with code %d", exit.ExitCode())}
			}
			return err
		},
	}
}

// kubectlEnv leads kubectl to the embedded management cluster where nothing else is named.
func kubectlEnv() []string {
	env := os.Environ()
	if os.Getenv("KUBECONFIG") != "" {
		return env
	}
	home, err := homeDir()
	if err != nil {
		return env
	}
	if path := filepath.Join(home, "plane", "kubeconfig"); fileExists(path) {
		return append(env, "KUBECONFIG="+path)
	}
	return env
}
