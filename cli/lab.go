package cli

import (
	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
)

// NewLabCommand builds slipway lab: practice machines on this host.
func NewLabCommand() *cobra.Command {
	opts := &lab.Options{}
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Make practice machines on this host, break them, take them away",
		Args:  cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&opts.Home, "home", "", "data directory (default $SLIPWAY_HOME or ~/.local/share/slipway)")
	cmd.PersistentFlags().StringVar(&opts.Cache, "cache", "", "cache directory (default $SLIPWAY_CACHE or ~/.cache/slipway)")
	cmd.AddCommand(
		newLabCreateCommand(opts), newLabListCommand(opts), newLabMachinesCommand(opts), newLabExecCommand(opts),
		newLabFaultCommand(opts), newLabDeleteCommand(opts), newLabDoctorCommand(opts), newLabRelayCommand(),
		newLabSearchCommand(opts),
	)
	return cmd
}

// openLab returns the named lab; what it says goes to the command's standard error.
func openLab(cmd *cobra.Command, opts lab.Options, name string) (*lab.Lab, error) {
	opts.Name = name
	opts.Progress = cmd.ErrOrStderr()
	return lab.Open(opts)
}

// completeLabs offers the names of existing labs.
func completeLabs(opts *lab.Options) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		labs, err := lab.List(*opts)
		if err == nil && len(args) == 0 {
			for _, l := range labs {
				names = append(names, l.Name())
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMachines offers LAB/MACHINE.
func completeMachines(opts *lab.Options) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		labs, err := lab.List(*opts)
		if err == nil && len(args) == 0 {
			for _, l := range labs {
				for _, m := range l.Machines() {
					names = append(names, l.Name()+"/"+m.Name)
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
