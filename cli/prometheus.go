package cli

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/spf13/cobra"
)

// NewPrometheusCommand builds slipway prometheus: look at the data and the files of Prometheus servers, move and compare the data.
func NewPrometheusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prometheus",
		Short: "Look at the data and the files of Prometheus servers, move and compare the data",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		newPrometheusAgentCommand(),
		newPrometheusBlocksCommand(),
		newPrometheusCutCommand(),
		withClusterCutover(newPrometheusCutoverCommand()),
		withClusterFinalize(newPrometheusFinalizeCommand()),
		newPrometheusGrafanaCommand(),
		withClusterMigrate(newPrometheusMigrateCommand()),
		newPrometheusPlanCommand(),
		withClusterPreflight(newPrometheusPreflightCommand()),
		withClusterProof(newPrometheusProofCommand()),
		newPrometheusPullCommand(),
		withClusterRehearse(newPrometheusRehearseCommand()),
		withClusterRollback(newPrometheusRollbackCommand()),
		newPrometheusScrubCommand(),
		newPrometheusShimCommand(),
		newPrometheusSkewCommand(),
		withClusterStatus(newPrometheusStatusCommand()),
		newPrometheusTargetCommand(),
		newPrometheusVolumeCommand(),
	)
	return cmd
}

// completeDataDir completes the one argument to directories.
func completeDataDir(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeBlocks completes a flag to the blocks of the directory that was given.
func completeBlocks(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	d, err := block.Open(args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer func() { _ = d.Close() }()
	l, err := d.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, b := range l.Blocks {
		names = append(names, b.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// instant is a time of a block, which counts milliseconds.
func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z") }

// span is the length of a block's range in days, hours, minutes and seconds.
func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if ms > int64(100*365*24*time.Hour/time.Millisecond) {
		return "over 100 years"
	}
	text := ""
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / unit.size; n > 0 {
			text += fmt.Sprintf("%d%s", n, unit.name)
			d -= n * unit.size
		}
	}
	if text == "" {
		return "0s"
	}
	return text
}

// size is a number of bytes for people.
func size(n int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<unit.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(int64(1)<<unit.shift), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
