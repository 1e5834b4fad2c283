package cli

import (
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
	"github.com/slipway-dev/slipway/lab/search"
)

func newLabSearchBringCommand(opts *lab.Options) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "bring [PRODUCT-VERSION...]",
		Short: "Bring the zips of search servers into the cache before they are needed",
		Long: `Bring the zips of search servers into the cache before they are needed, and look whether there is a Java that each starts on.

A zip that is there and has the right digest is not brought again.`,
		Example: `  slipway lab search bring elasticsearch-6.8 opensearch-2.19
  slipway lab search bring --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			servers, err := readServers(args, all)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			var errs []error
			for _, s := range servers {
				zip, err := search.Bring(ctx, searchOptions(cmd, opts), s)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintln(cmd.OutOrStdout(), s, zip)
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every server that can be started")
	return cmd
}

// readServers finds the servers that names as elasticsearch-6.8 mean.
func readServers(names []string, all bool) ([]search.Server, error) {
	switch {
	case all && len(names) > 0:
		return nil, &usageError{errors.New("name servers, or use --all, not both")}
	case all:
		return search.Servers(), nil
	case len(names) == 0:
		return nil, &usageError{errors.New("name a server such as elasticsearch-6.8, or use --all")}
	}
	var servers []search.Server
	for _, name := range names {
		product, version, _ := strings.Cut(name, "-")
		s, err := search.Find(search.Product(product), version)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}
