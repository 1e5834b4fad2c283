package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/plane"
)

// The executors that can be chosen.
const (
	executorProcess   = "process"
	executorJob       = "job"
	executorSimulated = "simulated"
)

// What the executors do, in a few words.
const (
	onThisHost = "Ansible on this host"
	inJobs     = "Ansible in Jobs of the management cluster"
	nowhere    = "no machine is touched"
)

// operatorOptions are what `slipway up` and `slipway operator` have in common.
type operatorOptions struct {
	controllers      []string
	executor         string
	bundles          []string
	mirrorListen     string
	mirrorURLs       []string
	metricsListen    string
	logLevel         string
	maxRuns          int
	jobNamespace     string
	jobImage         string
	simulatedLatency time.Duration
	leaderElection   bool
}

func (o *operatorOptions) flags(cmd *cobra.Command, executors map[string]string) {
	f := cmd.Flags()
	names := slices.Sorted(maps.Keys(executors))
	var words []string
	for _, name := range names {
		words = append(words, fmt.Sprintf("%s (%s)", name, executors[name]))
	}
	f.StringSliceVar(&o.controllers, "controllers", nil, "controllers to run by name; * is all, -name switches one off (default all)")
	o.executor = executorProcess
	f.Var(&choice{&o.executor, names}, "executor", "how playbooks are run: "+strings.Join(words, ", "))
	f.StringArrayVar(&o.bundles, "bundle", nil, "bundle to install from, a directory or file (repeatable; default: the one in the cache, built when it is missing)")
	f.StringVar(&o.mirrorListen, "mirror-listen", "", "address of this host from which machines pull the bundle over TLS (default: all addresses, port 8443 or a free one)")
	f.StringArrayVar(&o.mirrorURLs, "mirror-url", nil, "URL at which machines find the mirror, if not by --mirror-listen (repeatable, best first)")
	f.StringVar(&o.metricsListen, "metrics-listen", "127.0.0.1:0", "address of the metrics on loopback, port 0 takes a free one; off switches them off")
	f.StringVar(&o.logLevel, "log-level", "info", "what is logged: error, info, debug or a number")
	f.IntVar(&o.maxRuns, "max-runs", 10, "playbooks that run at once (executor process)")
	f.DurationVar(&o.simulatedLatency, "simulated-latency", 2*time.Second, "how long each playbook takes on a host (executor simulated)")
	_ = cmd.RegisterFlagCompletionFunc("executor", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("controllers", cobra.FixedCompletions(controllerNames(), cobra.ShellCompDirectiveNoFileComp))
}

// validate says what is wrong with the flags before anything is started.
func (o *operatorOptions) validate() error {
	for _, text := range o.mirrorURLs {
		if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" {
			return &usageError{fmt.Errorf("--mirror-url %q: it must be https://host:port", text)}
		}
	}
	if o.mirrorListen != "" {
		if _, _, err := net.SplitHostPort(o.mirrorListen); err != nil {
			return &usageError{fmt.Errorf("--mirror-listen %q: it must be address:port", o.mirrorListen)}
		}
	}
	if o.executor == executorJob && o.jobImage == "" {
		return &usageError{errors.New("--executor job: name the image with --job-image")}
	}
	if err := checkMetricsListen(o.metricsListen); err != nil {
		return &usageError{err}
	}
	if _, err := parseLogLevel(o.logLevel); err != nil {
		return &usageError{err}
	}
	if err := checkControllers(o.controllers); err != nil {
		return &usageError{err}
	}
	return nil
}

// checkMetricsListen keeps the metrics, which have no TLS, on loopback.
func checkMetricsListen(address string) error {
	if address == "off" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--metrics-listen %q: it must be address:port or off", address)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--metrics-listen %q: metrics are served without TLS, so on a loopback address only (such as 127.0.0.1:8080)", address)
	}
	return nil
}

// NewOperatorCommand builds slipway operator: the operator alone, against a management cluster that exists.
func NewOperatorCommand() *cobra.Command {
	var conn connection
	var dir string
	var crds bool
	var o operatorOptions
	cmd := &cobra.Command{
		Use:         "operator",
		Annotations: map[string]string{ownLogs: "yes"},
		Short:       "Run the operator against an existing management cluster",
		Long: `Operator runs the controllers against any Kubernetes cluster, until ctrl-C. Several may run at once: one leads,
the others wait. 'slipway up' is this and a management plane in one.`,
		Example: `  slipway operator --kubeconfig mgmt.kubeconfig --install-crds --mirror-listen 10.1.0.5:8443
  slipway operator --kubeconfig mgmt.kubeconfig --controllers machine
  slipway operator --kubeconfig mgmt.kubeconfig --controllers '*,-addons'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			home, err := findHome(dir)
			if err != nil {
				return err
			}
			return runOperator(cmd.Context(), home, conn, o, crds, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&conn.kubeconfig, "kubeconfig", "", "kubeconfig of the management cluster (default: that of 'slipway up', else $KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&dir, "dir", "", "data directory for runs, content and bundles (default $SLIPWAY_HOME or ~/.local/share/slipway)")
	f.BoolVar(&crds, "install-crds", false, "install or update the custom resource definitions first")
	f.BoolVar(&o.leaderElection, "leader-election", true, "wait until no other operator leads")
	f.StringVar(&o.jobImage, "job-image", "", "image in which Jobs run playbooks (executor job)")
	f.StringVar(&o.jobNamespace, "job-namespace", v1alpha1.FreezeNamespace, "namespace of the Jobs (executor job)")
	o.flags(cmd, map[string]string{executorProcess: onThisHost, executorJob: inJobs, executorSimulated: nowhere})
	cmd.AddCommand(newOperatorAlertsCommand())
	return cmd
}

func runOperator(ctx context.Context, home upHome, conn connection, o operatorOptions, crds bool, w io.Writer) error {
	config, err := conn.restConfig()
	if err != nil {
		return err
	}
	if crds {
		if err := plane.InstallCRDs(ctx, config, charts.CRDs); err != nil {
			return err
		}
		fmt.Fprintln(w, "The custom resource definitions are installed")
	}
	unlock, err := home.lock()
	if errors.Is(err, errRunning) {
		return fmt.Errorf("%w (%s): give another --dir", err, home)
	}
	if err != nil {
		return err
	}
	defer unlock()
	parts, err := o.prepare(ctx, home, w, w)
	if err != nil {
		return err
	}
	defer parts.close()
	return parts.run(ctx, config, func() error {
		fmt.Fprintf(w, "The operator runs against %s; ctrl-C stops it\n", config.Host)
		for _, url := range parts.mirrorURLs() {
			fmt.Fprintf(w, "  mirror  %s\n", url)
		}
		return nil
	})
}
