package cli

import (
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/slipway-dev/slipway/lab"
)

func newLabCreateCommand(opts *lab.Options) *cobra.Command {
	spec := lab.Spec{}
	disk, memory, ensure := "8Gi", "0", false
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a lab and wait until every machine's sshd answers",
		Example: `  slipway lab create dev --machines 3
  slipway lab create dmz --machines 2 --bastion --user ops --port 2222 --disk 20Gi --memory 2Gi`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if spec.DiskBytes, err = parseBytes("disk", disk); err != nil {
				return err
			}
			if spec.MemoryBytes, err = parseBytes("memory", memory); err != nil {
				return err
			}
			return runLabCreate(cmd, *opts, args[0], spec, ensure)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&spec.Machines, "machines", 3, "number of machines beside the bastion")
	flags.BoolVar(&spec.Bastion, "bastion", false, "add a bastion; the others accept SSH from it alone")
	flags.StringVar(&disk, "disk", disk, "size of each root disk")
	flags.StringVar(&memory, "memory", memory, "memory limit of each machine, 0 for none")
	flags.StringVar(&spec.User, "user", "root", "user to log in as: root, or ops (sudo); both exist")
	flags.IntVar(&spec.Port, "port", 22, "port of sshd")
	flags.IntVar(&spec.WithoutPython, "no-python", 0, "how many machines, from the last, have no Python")
	flags.BoolVar(&ensure, "ensure", false, "keep a lab of that name that was made to the same flags; boot its machines that are off")
	flags.StringVar(&opts.Mirror, "mirror", "", "Debian mirror to build the image from")
	return cmd
}

func runLabCreate(cmd *cobra.Command, opts lab.Options, name string, spec lab.Spec, ensure bool) error {
	opts.Name, opts.Progress = name, cmd.ErrOrStderr()
	l, err := lab.New(opts)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	create := l.Create
	if ensure {
		create = l.Ensure
	}
	if err := create(ctx, spec); err != nil {
		return fmt.Errorf("creating lab %s: %w", name, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), `Try next:
  slipway lab exec %[1]s/m1 -- uname -a
  slipway lab machines %[1]s -o yaml
  slipway lab delete %[1]s
`, name)
	return err
}

func parseBytes(flag, value string) (int64, error) {
	n, err := readBytes(value)
	if err != nil {
		return 0, fmt.Errorf("--%s %q: want a size such as 8Gi: %w", flag, value, err)
	}
	return n, nil
}

// readBytes reads a quantity of Kubernetes, or one that ends in B as in 50MiB; a part of a byte counts as one.
func readBytes(text string) (int64, error) {
	quantity, err := resource.ParseQuantity(strings.TrimSuffix(text, "B"))
	if err != nil {
		return 0, err
	}
	return quantity.Value(), nil
}
