package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
)

func newLabDeleteCommand(opts *lab.Options) *cobra.Command {
	var stale, all bool
	cmd := &cobra.Command{
		Use:               "delete [NAME...]",
		Short:             "Take labs away: processes, mounts, links, cgroups, disks",
		ValidArgsFunction: completeLabs(opts),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !stale && !all && len(args) == 0 {
				return errors.New("name a lab, or use --all or --stale")
			}
			if all {
				var err error
				if args, err = lab.Names(*opts); err != nil {
					return err
				}
			}
			return deleteLabs(cmd, *opts, args, stale)
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "also remove what dead runs left on this host, from any data directory")
	cmd.Flags().BoolVar(&all, "all", false, "delete every lab of the data directory")
	return cmd
}

func deleteLabs(cmd *cobra.Command, opts lab.Options, names []string, stale bool) error {
	var errs []error
	opts.Progress = cmd.ErrOrStderr()
	for _, name := range names {
		opts.Name = name
		l, err := lab.New(opts)
		if err == nil {
			err = l.Delete(cmd.Context())
		}
		errs = append(errs, err)
	}
	if stale {
		removed, err := lab.DeleteStale(cmd.Context())
		errs = append(errs, err)
		for _, line := range removed {
			fmt.Fprintf(cmd.ErrOrStderr(), "Removed %s\n", line)
		}
	}
	return errors.Join(errs...)
}
