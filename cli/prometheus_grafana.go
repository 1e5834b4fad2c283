package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/grafana"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/ssh"
)

// newPrometheusGrafanaCommand builds slipway prometheus grafana: what people look at moves beside the server.
func newPrometheusGrafanaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grafana",
		Short: "Bring the data of a Grafana along, and compare both",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPrometheusGrafanaBringCommand(), newPrometheusGrafanaCompareCommand(), newPrometheusGrafanaTemplateCommand())
	return cmd
}

func newPrometheusGrafanaTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "template", Short: "Print the template that the manifests of a Grafana beside the target are made from", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), target.GrafanaTemplate())
			return err
		},
	}
}

// printGrafanaObjects shows the objects of a Grafana that a migration asks for.
func printGrafanaObjects(out io.Writer, u *unstructured.Unstructured) error {
	m := &v1alpha1.PrometheusMigration{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, m); err != nil {
		return fmt.Errorf("reading the migration: %w", err)
	}
	if m.Spec.Grafana == nil || (m.Spec.Target.StatefulSet == nil) == (m.Spec.Target.Prometheus == nil) {
		return nil
	}
	made, err := target.NewGrafana(m, sourcePort(m.Spec.Source.URL)).Manifests(m.Spec.Grafana.From == nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe Grafana beside the new server would be made of this, before data moves:\n---\n%s\n", made.YAML)
	return nil
}

// sourcePort is where the old server listens, as its address tells; the new one listens there, too.
func sourcePort(address string) uint16 {
	if u, err := url.Parse(address); err == nil {
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			return uint16(n)
		}
	}
	return 9090
}

type grafanaBring struct {
	o            grafana.Options
	ssh          sshSource
	from, output string
}

func newPrometheusGrafanaBringCommand() *cobra.Command {
	b := &grafanaBring{}
	cmd := &cobra.Command{
		Use:   "bring DIR --from ssh://USER@HOST/DATA --source URL --users URL",
		Short: "Bring database, plugins and provisioning of a running Grafana into the data directory of one that does not run yet",
		Long: `Bring takes a consistent copy of grafana.db while the old Grafana writes it: through sqlite3 or python3 of that host, else by its files, read until nothing
changed meanwhile. It brings the plugins, the provisioning, and the dashboards that this names below the data directory. The copy is opened and every page of it
read before anything of it is used; data sources that ask the old Prometheus get the address of the users' Service. The new Grafana may not run on DIR
meanwhile; its provisioning lies in DIR/slipway/provisioning afterwards. The old one goes on, and nothing of it is changed.
Killed at any moment and run again it ends with the same. Nothing secret is printed.
Exit codes: 0 all is there, 1 a rule refuses or the host cannot be reached, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus grafana bring /mnt/grafana --from ssh://root@monitor/var/lib/grafana --ssh-key ./key --source http://monitor:9090 --users http://prometheus.monitoring.svc:9090`,
		Args:    cobra.ExactArgs(1), ValidArgsFunction: completeDataDir,
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd, args[0]) },
	}
	outputFlag(cmd, &b.output, "json", "yaml")
	b.ssh.flags(cmd)
	f := cmd.Flags()
	_ = f.MarkHidden("agent-folder") // no agent is put there
	f.StringVar(&b.from, "from", "", "data directory of the old Grafana, as ssh://user@host[:port]/var/lib/grafana")
	f.StringVar(&b.o.Provisioning, "provisioning", target.GrafanaProvisioningDir, "folder of its provisioning on that host")
	f.StringVar(&b.o.Source, "source", "", "address of the old Prometheus; data sources that mean it by localhost are found, too")
	f.StringVar(&b.o.Users, "users", "", "address that they get in its place: that of the users' Service")
	grafanaOverride(cmd, &b.o.Override, grafana.BringRules())
	for _, name := range []string{"from", "source", "users"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that does not exist only
	}
	return cmd
}

func grafanaOverride(cmd *cobra.Command, into *[]string, rules []string) {
	cmd.Flags().StringSliceVar(into, "override", nil, "rules that do not refuse, by name")
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("override", cobra.FixedCompletions(rules, cobra.ShellCompDirectiveNoFileComp))
}

// knownOverrides refuses a name that no rule has.
func knownOverrides(names, rules []string) error {
	for _, name := range names {
		if !slices.Contains(rules, name) {
			return &usageError{fmt.Errorf("--override %s: no rule that may be let pass has this name; there are %s", name, strings.Join(rules, ", "))}
		}
	}
	return nil
}

func (b *grafanaBring) run(cmd *cobra.Command, dir string) error {
	if err := knownOverrides(b.o.Override, grafana.BringRules()); err != nil {
		return err
	}
	o, err := b.ssh.options(b.from, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if b.o.Dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if !filepath.IsAbs(b.o.Provisioning) {
		return &usageError{fmt.Errorf("--provisioning %s: want an absolute path on the old host", b.o.Provisioning)}
	}
	host := &grafanaHost{endpoint: o.Endpoint, dialer: ssh.NewDialer(ssh.Options{})}
	defer host.close()
	b.o.Host, b.o.Data, b.o.Tell = host, o.Data, o.Tell
	r, err := grafana.Bring(cmd.Context(), b.o)
	if err != nil {
		return fmt.Errorf("bringing Grafana's data from %s: %w", o.Endpoint.Host, err)
	}
	return grafanaReport(cmd, b.output, "bringing Grafana's data", r)
}

func grafanaReport(cmd *cobra.Command, format, what string, r *grafana.Report) error {
	out := cmd.OutOrStdout()
	switch format {
	case "json": // one line: it is read from the log of a pod
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	case "":
		fmt.Fprintf(out, "%s\n\n", printable(r.Says))
		if err := printSurvey(out, r.Findings); err != nil {
			return err
		}
	default:
		if err := printObject(out, format, r); err != nil {
			return err
		}
	}
	if r.Verdict.Stops() {
		return fmt.Errorf("%s: %s; --override NAME lets a rule pass that may be", what, r.Says)
	}
	return nil
}

// grafanaHost runs scripts on the host of the old Grafana.
type grafanaHost struct {
	endpoint ssh.Endpoint
	dialer   *ssh.Dialer
	client   *ssh.Client
}

// Stream runs a script and hands on what it gives.
func (h *grafanaHost) Stream(ctx context.Context, script string, out io.Writer) (int, string, error) {
	if h.client == nil {
		c, err := h.dialer.Dial(ctx, h.endpoint)
		if err != nil {
			return 0, "", err
		}
		h.client = c
	}
	r, err := h.client.Run(ctx, ssh.Command{Line: "sh", Stdin: []byte(script), Output: out})
	return r.ExitCode, string(r.Stderr), err
}

func (h *grafanaHost) close() {
	if h.client != nil {
		h.client.Close()
	}
	h.dialer.Close()
}

type grafanaCompare struct {
	o               grafana.CompareOptions
	old, new        string
	credentials, ca string
	output          string
	newCA           string
}

func newPrometheusGrafanaCompareCommand() *cobra.Command {
	c := &grafanaCompare{}
	cmd := &cobra.Command{
		Use:   "compare --old URL --new URL --credentials DIR --source URL --users URL",
		Short: "Compare two Grafanas by their API: organisations, users, folders, dashboards, alert rules, data sources",
		Long: `Compare asks both what they have, and names what is not on both. Data sources keep their uid; those of the old Prometheus have the address of the users' Service
on the new one, and are asked for their health there. DIR has the files username and password, of a server administrator of both, who sees every organisation;
or token, of a service account that is administrator of one. The new one has the database of the old one, and so the same people may log in.
Exit codes: 0 they are equal, 1 a rule refuses or one does not answer, 2 wrong usage, 130 interrupted.`,
		Example: `  slipway prometheus grafana compare --old http://monitor:3000 --new http://grafana.monitoring.svc:3000 --credentials ./admin --source http://monitor:9090 --users http://prometheus.monitoring.svc:9090`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	outputFlag(cmd, &c.output, "json", "yaml")
	f := cmd.Flags()
	f.StringVar(&c.old, "old", "", "address of the old Grafana")
	f.StringVar(&c.new, "new", "", "address of the new Grafana")
	f.StringVar(&c.credentials, "credentials", "", "folder with the files username and password, or token")
	f.StringVar(&c.ca, "old-ca-file", "", "file with the authorities of the old one's certificate")
	f.StringVar(&c.newCA, "new-ca-file", "", "file with the authorities of the new one's certificate")
	f.StringVar(&c.o.Source, "source", "", "address of the old Prometheus")
	f.StringVar(&c.o.Users, "users", "", "address of the users' Service")
	f.DurationVar(&c.o.Patience, "wait", time.Minute, "how long differences are given to go away")
	grafanaOverride(cmd, &c.o.Override, grafana.CompareRules())
	for _, name := range []string{"old", "new", "credentials", "source", "users"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that does not exist only
	}
	_ = cmd.MarkFlagDirname("credentials")
	return cmd
}

func (c *grafanaCompare) run(cmd *cobra.Command) error {
	if err := knownOverrides(c.o.Override, grafana.CompareRules()); err != nil {
		return err
	}
	var err error
	if c.o.Old, err = c.client("old Grafana", c.old, c.ca); err != nil {
		return err
	}
	defer c.o.Old.Close()
	if c.o.New, err = c.client("new Grafana", c.new, c.newCA); err != nil {
		return err
	}
	defer c.o.New.Close()
	c.o.Tell = func(text string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", time.Now().UTC().Format("15:04:05"), printable(text))
	}
	r, err := grafana.Compare(cmd.Context(), c.o)
	if err != nil {
		return err
	}
	return grafanaReport(cmd, c.output, "comparing both Grafanas", r)
}

// client logs in with what the folder has.
func (c *grafanaCompare) client(name, address, ca string) (*grafana.Client, error) {
	o := server.Options{Name: name, URL: address, CAFile: ca}
	user, err := os.ReadFile(filepath.Join(c.credentials, "username"))
	switch {
	case err == nil:
		o.User, o.PasswordFile = strings.TrimSpace(string(user)), filepath.Join(c.credentials, "password")
	case errors.Is(err, fs.ErrNotExist):
		o.TokenFile = filepath.Join(c.credentials, "token")
	default:
		return nil, fmt.Errorf("reading who logs in: %w", err)
	}
	client, err := grafana.NewClient(o)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%w (--credentials wants the files username and password, or token)", err)}
	}
	return client, nil
}
