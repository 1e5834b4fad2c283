package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/slipway-dev/slipway/lab"
	"github.com/spf13/cobra"
)

type labRow struct {
	Name      string        `json:"name"`
	State     string        `json:"state"`
	Network   string        `json:"network"`
	CreatedAt time.Time     `json:"createdAt"`
	SSHConfig string        `json:"sshConfig"`
	Machines  []lab.Machine `json:"machines"`
}

func newLabListCommand(opts *lab.Options) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List labs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			labs, err := lab.List(*opts)
			if err != nil {
				return err
			}
			rows := make([]labRow, 0, len(labs))
			for _, l := range labs {
				rows = append(rows, rowOf(l))
			}
			return printLabs(cmd.OutOrStdout(), output, rows)
		},
	}
	outputFlag(cmd, &output, "json", "yaml", "wide")
	return cmd
}

func rowOf(l *lab.Lab) labRow {
	row := labRow{Name: l.Name(), State: "HalfMade", Network: l.CIDR(), CreatedAt: l.CreatedAt(), SSHConfig: l.SSHConfig(), Machines: l.Machines()}
	if l.Ready() {
		row.State = "Running"
		for _, m := range row.Machines {
			if !m.Running {
				row.State = "Degraded"
			}
		}
	}
	return row
}

func printLabs(out io.Writer, format string, rows []labRow) error {
	if format == "json" || format == "yaml" {
		return printObject(out, format, rows)
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tMACHINES\tNETWORK\tAGE"+map[bool]string{true: "\tSSH CONFIG"}[format == "wide"])
	for _, row := range rows {
		running := 0
		for _, m := range row.Machines {
			if m.Running {
				running++
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%d/%d\t%s\t%s", row.Name, row.State, running, len(row.Machines), row.Network,
			time.Since(row.CreatedAt).Round(time.Second))
		if format == "wide" {
			fmt.Fprintf(table, "\t%s", row.SSHConfig)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func newLabMachinesCommand(opts *lab.Options) *cobra.Command {
	var output, labels string
	manifest := lab.ManifestOptions{}
	cmd := &cobra.Command{
		Use:   "machines NAME",
		Short: "List a lab's machines; -o yaml prints Machine objects and their SSH Secret for kubectl apply",
		Long: `List a lab's machines. -o yaml prints what kubectl apply and slipway machine add take: a Secret with the lab's private key and one
Machine per machine but the bastion.`,
		Example: `  slipway lab machines dev -o wide
  slipway lab machines dev -o yaml --namespace harbor --labels pool=general | kubectl apply -f -`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeLabs(opts),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openLab(cmd, *opts, args[0])
			if err != nil {
				return err
			}
			if manifest.Labels, err = parseLabels(labels); err != nil {
				return err
			}
			return printLabMachines(cmd.OutOrStdout(), output, l, manifest)
		},
	}
	outputFlag(cmd, &output, "json", "yaml", "wide")
	cmd.Flags().StringVarP(&manifest.Namespace, "namespace", "n", "default", "namespace of the objects")
	cmd.Flags().StringVar(&manifest.SecretName, "secret-name", "", "name of the SSH Secret (default NAME-ssh)")
	cmd.Flags().StringVar(&labels, "labels", "", "labels of every Machine: key=value,key=value")
	return cmd
}

func parseLabels(text string) ([][2]string, error) {
	var labels [][2]string
	if text == "" {
		return nil, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--labels %q: want key=value,key=value", text)
		}
		labels = append(labels, [2]string{key, value})
	}
	return labels, nil
}

func printLabMachines(out io.Writer, format string, l *lab.Lab, manifest lab.ManifestOptions) error {
	switch format {
	case "json":
		return printObject(out, format, l.Machines())
	case "yaml":
		text, err := l.Manifests(manifest)
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, text)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tHOSTNAME\tADDRESS\tPORT\tUSER\tPOWER\tFAULTS"+map[bool]string{true: "\tDISK\tPYTHON\tMAC\tHOST KEY"}[format == "wide"])
	for _, m := range l.Machines() {
		power := map[bool]string{true: "on", false: "off"}[m.Running]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s", m.Name, m.Hostname, m.Address, m.Port, m.User, power, strings.Join(m.Faults, ","))
		if format == "wide" {
			fmt.Fprintf(table, "\t%d MiB\t%t\t%s\t%s", m.DiskBytes>>20, m.Python, m.MAC, m.HostKey)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
