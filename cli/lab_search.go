package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/lab"
	"github.com/slipway-dev/slipway/lab/search"
)

// newLabSearchCommand builds slipway lab search: real search servers on loopback.
func newLabSearchCommand(opts *lab.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Start real Elasticsearch and OpenSearch clusters on this host, and take them away",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newLabSearchCreateCommand(opts), newLabSearchListCommand(opts), newLabSearchLoseCommand(opts), newLabSearchDeleteCommand(opts), newLabSearchBringCommand(opts))
	return cmd
}

func searchOptions(cmd *cobra.Command, opts *lab.Options) search.Options {
	return search.Options{Home: opts.Home, Cache: opts.Cache, Progress: cmd.ErrOrStderr()}
}

func newLabSearchCreateCommand(opts *lab.Options) *cobra.Command {
	spec := search.Spec{Product: search.Elasticsearch}
	var tiers []string
	var java string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Start a cluster on loopback and wait until all its nodes are one",
		Long: `Start a cluster on loopback and wait until all its nodes are one.

The servers come from Maven Central once and are held against digests. They are real, but without plugins and most of x-pack: no ILM, no ISM,
no passwords. Java has to be there: 17 for Elasticsearch 6.8 to 8 and OpenSearch 1 and 2, 21 or newer for Elasticsearch 9 and OpenSearch 3.
Started by root they run as a user of their own, so their directory is /var/lib/slipway-lab unless --home or $SLIPWAY_HOME says otherwise.`,
		Example: `  slipway lab search create old --product elasticsearch --version 6.8 --nodes 3
  slipway lab search create logs --product opensearch --version 2.19 --nodes 0 --tier hot=2 --tier warm=1 --masters 1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if spec.Tiers, err = readTiers(tiers); err != nil {
				return err
			}
			if len(spec.Tiers) > 0 && !cmd.Flags().Changed("nodes") {
				spec.Nodes = 0
			}
			o := searchOptions(cmd, opts)
			o.Java = java
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			c, err := search.Create(ctx, o, args[0], spec)
			if err != nil {
				return fmt.Errorf("creating cluster %s: %w", args[0], err)
			}
			if c.Gateway != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "S3 at %s keeps the bucket %s in %s\n", c.Gateway.URL, search.Bucket, c.Gateway.Folder)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), `%[1]s %[2]s, %[3]d nodes, at %[4]s
A repository of the type fs may lie below %[5]s

Try next:
  curl %[4]s/_cat/nodes
  slipway lab search delete %[6]s
`, c.Spec.Product, c.Spec.Version, len(c.Nodes), c.Nodes[0].URL, c.Snapshots, c.Name)
			return err
		},
	}
	flags := cmd.Flags()
	choiceFlag(cmd, (*string)(&spec.Product), "product", "what to start", string(search.Elasticsearch), string(search.OpenSearch))
	flags.StringVar(&spec.Version, "version", "6.8", "its version, or the beginning of it")
	flags.IntVar(&spec.Nodes, "nodes", 1, "data nodes without a tier; none where --tier is given and this is not")
	flags.StringArrayVar(&tiers, "tier", nil, "NAME=N: N data nodes with node.attr.tier NAME")
	flags.IntVar(&spec.Masters, "masters", 0, "dedicated masters; 0: every data node may be master")
	flags.IntVar(&spec.Searchers, "searchers", 0, "nodes that mount snapshots (OpenSearch 2 and 3)")
	choiceFlag(cmd, (*string)(&spec.Repository), "repository", "make a snapshot repository called "+search.RepositoryName, string(search.SharedFolder), string(search.S3))
	flags.IntVar(&spec.HeapMiB, "heap", 512, "heap of each node in MiB")
	flags.StringVar(&java, "java", "", "home of the Java to use (default: the newest below /usr/lib/jvm that fits)")
	return cmd
}

func readTiers(texts []string) ([]search.Tier, error) {
	var tiers []search.Tier
	for _, text := range texts {
		name, number, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--tier %q: want NAME=N, such as hot=2", text)}
		}
		tiers = append(tiers, search.Tier{Name: name, Nodes: n})
	}
	return tiers, nil
}

func newLabSearchListCommand(opts *lab.Options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List clusters and their nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := searchOptions(cmd, opts)
			names, err := search.Names(o)
			if err != nil {
				return err
			}
			clusters := []*search.Cluster{}
			for _, name := range names {
				c, err := search.Open(o, name)
				if err != nil { // half made: it can be deleted
					c = &search.Cluster{Name: name}
				}
				clusters = append(clusters, c)
			}
			return printClusters(cmd.OutOrStdout(), output, clusters)
		},
	}
	outputFlag(cmd, &output, "json", "yaml")
	return cmd
}

func printClusters(out io.Writer, format string, clusters []*search.Cluster) error {
	if format != "" {
		return printObject(out, format, clusters)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tSERVER\tNODE\tROLE\tTIER\tURL\tSTATE\tAGE")
	for _, c := range clusters {
		if len(c.Nodes) == 0 {
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t-\tHalfMade\t-\n", c.Name)
		}
		for _, n := range c.Nodes {
			state := map[bool]string{true: "Running", false: "Stopped"}[n.Running]
			fmt.Fprintf(table, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Spec.Product, c.Spec.Version, n.Name, n.Role, cmp.Or(n.Tier, "-"), n.URL, state,
				time.Since(c.CreatedAt).Round(time.Second))
		}
	}
	return table.Flush()
}

func newLabSearchLoseCommand(opts *lab.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "lose NAME NODE",
		Short: "Kill a node for good and delete its disk",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return search.Lose(cmd.Context(), searchOptions(cmd, opts), args[0], args[1])
		},
	}
}

func newLabSearchDeleteCommand(opts *lab.Options) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "delete [NAME...]",
		Short: "Take clusters away: processes, data, snapshots",
		RunE: func(cmd *cobra.Command, args []string) error {
			o := searchOptions(cmd, opts)
			if all {
				var err error
				if args, err = search.Names(o); err != nil {
					return err
				}
			} else if len(args) == 0 {
				return &usageError{errors.New("name a cluster, or use --all")}
			}
			var errs []error
			for _, name := range args {
				errs = append(errs, search.Delete(cmd.Context(), o, name))
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "delete every cluster of the data directory")
	return cmd
}
