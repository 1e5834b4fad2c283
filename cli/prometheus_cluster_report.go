package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/migration/proof"
	"github.com/slipway-dev/slipway/migration/rehearsal"
	"github.com/slipway-dev/slipway/migration/workload"
)

// maxLog is how much of a job's log is read: a report of a thousand targets is a megabyte.
const maxLog = 16 << 20

// errNoVerdict is a report that cannot be one.
var errNoVerdict = errors.New("the report has no verdict: the pod ran another version of slipway")

// migrationReport shows what a job of a migration reported; the pod of a job that ended stays as its witness.
type migrationReport struct {
	conn  connection
	role  workload.Role
	key   string // where the report stands in its line; empty: the line is the report
	print func(cmd *cobra.Command, format string, report []byte) error
}

// withClusterPreflight lets slipway prometheus preflight show the report of a migration in a cluster.
func withClusterPreflight(cmd *cobra.Command) *cobra.Command {
	o := &migrationReport{role: workload.RolePreflight, print: printPreflightReport}
	return withCluster(cmd, clusterForm{
		use: "preflight NAME | --source URL --target URL", conn: &o.conn, shared: []string{"output"}, run: o.run,
		long:    `Show what the preflight of a migration in a cluster found: every rule, what both servers scrape, and what the new one cannot reach.`,
		example: `  slipway prometheus preflight ecs-metrics -n monitoring`,
	}, nil)
}

// withClusterProof lets slipway prometheus proof show the report of a migration in a cluster.
func withClusterProof(cmd *cobra.Command) *cobra.Command {
	o := &migrationReport{role: workload.RoleProof, key: "report", print: printProofReport}
	return withCluster(cmd, clusterForm{
		use: "proof NAME | --source URL --target URL", conn: &o.conn, shared: []string{"output", "report"}, run: o.run,
		long: `Show the last proof of a migration in a cluster, which was made after the restart of the new server; --report writes it as a page.
The summary of the one before is in slipway prometheus status.`,
		example: `  slipway prometheus proof ecs-metrics -n monitoring --report proof.html`,
	}, nil)
}

// withClusterRehearse lets slipway prometheus rehearse show the report of a migration in a cluster.
func withClusterRehearse(cmd *cobra.Command) *cobra.Command {
	o := &migrationReport{role: workload.RoleRehearse, print: printRehearsalReport}
	return withCluster(cmd, clusterForm{
		use: "rehearse NAME | DIR --source URL [-- FLAG...]", conn: &o.conn, shared: []string{"output"}, run: o.run,
		chosen: func(cmd *cobra.Command, args []string) bool {
			return len(args) == 1 && !cmd.Flags().Changed("source") && cmd.ArgsLenAtDash() < 0
		},
		long: `Show what the rehearsal of a migration in a cluster found: the volume as the server's user, the ways to every target, the clocks.
It ran in a pod that mounted the claim before the new server was there.`,
		example: `  slipway prometheus rehearse ecs-metrics -n monitoring`,
	}, nil)
}

func (o *migrationReport) run(cmd *cobra.Command, args []string) error {
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	m, err := getMigration(cmd.Context(), cl, o.conn.namespace, args[0])
	if err != nil {
		return err
	}
	config, err := o.conn.restConfig()
	if err != nil {
		return err
	}
	if config, err = configOfTarget(cmd.Context(), cl, m, config); err != nil {
		return err
	}
	log, err := jobLog(cmd.Context(), config, m, o.role)
	if err != nil {
		return err
	}
	report := lastObject(log, o.key)
	if report == nil {
		return fmt.Errorf("the %s of migration %s has reported nothing yet: `slipway prometheus status %s` says how far it is", o.role, m.Name, called(m))
	}
	return o.print(cmd, cmd.Flags().Lookup("output").Value.String(), report)
}

// configOfTarget is the cluster where the pods of a migration stand: that of the migration, or the one that its spec names.
func configOfTarget(ctx context.Context, cl client.Reader, m *v1alpha1.PrometheusMigration, own *rest.Config) (*rest.Config, error) {
	name := m.Spec.Target.KubeconfigSecretName
	if name == "" {
		return own, nil
	}
	var secret corev1.Secret
	if err := cl.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: name}, &secret); err != nil {
		return nil, fmt.Errorf("reading spec.target.kubeconfigSecretName: %w", err)
	}
	text := secret.Data["value"]
	if text == nil {
		text = secret.Data["kubeconfig"]
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		return nil, fmt.Errorf("secret %s holds no kubeconfig under the key value or kubeconfig", name) // what the reader says may repeat secrets
	}
	return config, nil
}

// jobLog is the log of the newest pod of a job.
func jobLog(ctx context.Context, config *rest.Config, m *v1alpha1.PrometheusMigration, role workload.Role) ([]byte, error) {
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the target's cluster: %w", err)
	}
	pods, err := set.CoreV1().Pods(m.Namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.NameLabel + "=" + m.Name + "," + v1alpha1.RoleLabel + "=" + string(role)})
	if err != nil {
		return nil, fmt.Errorf("looking for the pod of the %s: %w", role, err)
	}
	if len(pods.Items) == 0 {
		return nil, fmt.Errorf("migration %s has no pod of a %s: it was not made yet, or is gone; `slipway prometheus status %s` says how far it is", m.Name, role, called(m))
	}
	newest := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	limit := int64(maxLog)
	stream, err := set.CoreV1().Pods(m.Namespace).GetLogs(newest.Name, &corev1.PodLogOptions{Container: workload.ContainerName, LimitBytes: &limit}).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log of pod %s: %w", newest.Name, err)
	}
	defer stream.Close()
	log, err := io.ReadAll(io.LimitReader(stream, maxLog))
	if err != nil {
		return nil, fmt.Errorf("reading the log of pod %s: %w", newest.Name, err)
	}
	return log, nil
}

// lastObject is the last whole object of JSON that begins a line of a log, or with a key what the last one that has it holds there; nil
// where there is none. Other lines are for people.
func lastObject(log []byte, key string) (found []byte) {
	for len(log) > 0 {
		line, after, _ := bytes.Cut(log, []byte("\n"))
		if bytes.HasPrefix(line, []byte("{")) {
			var object json.RawMessage
			d := json.NewDecoder(bytes.NewReader(log))
			if err := d.Decode(&object); err == nil {
				after = log[d.InputOffset():]
				if object = fieldOf(object, key); object != nil {
					found = object
				}
			}
		}
		log = after
	}
	return found
}

// fieldOf is what an object holds at a key; with none it is the object.
func fieldOf(object json.RawMessage, key string) json.RawMessage {
	if key == "" {
		return object
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return nil
	}
	return fields[key]
}

func printPreflightReport(cmd *cobra.Command, format string, report []byte) error {
	var r preflight
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	if r.Verdict == "" {
		return errNoVerdict
	}
	return r.print(cmd.OutOrStdout(), format)
}

func printRehearsalReport(cmd *cobra.Command, format string, report []byte) error {
	var r rehearsal.Report
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	if r.Verdict == "" {
		return errNoVerdict
	}
	return printRehearsal(cmd.OutOrStdout(), format, &r)
}

func printProofReport(cmd *cobra.Command, format string, report []byte) error {
	var r proof.Report
	if err := json.Unmarshal(report, &r); err != nil {
		return fmt.Errorf("reading the report: %w", err)
	}
	if r.Verdict == "" {
		return errNoVerdict
	}
	if page := cmd.Flags().Lookup("report").Value.String(); page != "" {
		if err := writePage(page, &r); err != nil {
			return err
		}
	}
	return printProof(cmd.OutOrStdout(), format, &r)
}
