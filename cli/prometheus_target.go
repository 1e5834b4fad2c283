package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/server"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/target"
	"github.com/slipway-dev/slipway/migration/volume"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"
)

// newPrometheusTargetCommand builds slipway prometheus target: what the new server of a move is to be.
func newPrometheusTargetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "target",
		Short: "Derive the new server from the old one: configuration, flags, manifests",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPrometheusTargetConfigCommand(), newPrometheusTargetManifestsCommand(), newPrometheusTargetTemplateCommand())
	return cmd
}

func newPrometheusTargetTemplateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "template", Short: "Print the template that manifests are made from, to change and give with --template", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), target.Template())
			return err
		},
	}
}

const targetSource = `
The old server is told by its files (--source-config, with rule files beside it where they stand on the server, --source-flags,
--source-version), or asked for its flags and version with --source. Its configuration has to be the file itself: a server tells it with
<secret> for every secret. Nothing is changed anywhere.
Exit codes: 0, 1 a rule refuses or a file cannot be read, 2 wrong usage.`

type targetOptions struct {
	spec, config, flags, version, workDir string
	source                                server.Options
	stage                                 string
	override                              []string
	data, largest, head                   string
}

func (o *targetOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.spec, "filename", "f", "", "file with the PrometheusMigration")
	f.StringVar(&o.config, "source-config", "", "configuration file of the old server; rule files are looked for beside it")
	f.StringVar(&o.flags, "source-flags", "", "flags of the old server, as /api/v1/status/flags tells them or as a JSON list")
	f.StringVar(&o.version, "source-version", "", "version of the old server")
	f.StringVar(&o.workDir, "source-dir", "", "working directory of the old server, where its --config.file is relative")
	f.StringVar(&o.source.URL, "source", "", "address of the old server, to ask it for flags and version")
	serverFlags(f, "source-", " of the source", &o.source)
	f.StringVar(&o.data, "data", "", "size of all blocks of the old server, such as 800Gi")
	f.StringVar(&o.largest, "largest-block", "", "size of the largest block")
	f.StringVar(&o.head, "head", "", "size of the write-ahead log and the head's chunks")
	f.StringSliceVar(&o.override, "override", nil, "rules that may not refuse, by name")
	o.stage = string(target.Bridge)
	choiceFlag(cmd, &o.stage, "stage", "Bridge until the history is there, Verify while both are compared, CutOver after the cutover, Final without the old server", string(target.Bridge), string(target.Verify), string(target.CutOver), string(target.Final))
	// They fail for a flag that does not exist only.
	for _, name := range []string{"filename", "source-config"} {
		_ = cmd.MarkFlagFilename(name, "yaml", "yml")
	}
	_ = cmd.MarkFlagFilename("source-flags", "json")
}

func newPrometheusTargetConfigCommand() *cobra.Command {
	var o targetOptions
	var diff bool
	var output string
	cmd := &cobra.Command{
		Use:   "config -f FILE --source-config FILE",
		Short: "Print the new server's configuration, or what is different in it and why",
		Long: `Config prints the configuration of the new server: that of the old one byte for byte, but for changes with a name and a reason.
With --diff it shows them (secrets are masked), the command line, and what a person has to look at.
` + targetSource,
		Example: `  slipway prometheus target config -f migration.yaml --source-config /etc/prometheus/prometheus.yml --source http://localhost:9090 --diff`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, source, err := o.plan(cmd.Context())
			if err != nil {
				return err
			}
			switch {
			case output != "":
				err = printObject(cmd.OutOrStdout(), output, targetReport(p, source))
			case diff:
				err = printTarget(cmd.OutOrStdout(), p, config.Diff(source, p.Config))
			default:
				_, err = cmd.OutOrStdout().Write(p.Config.Bytes())
			}
			return errors.Join(err, refusal(p))
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&diff, "diff", false, "show what is different from the old server, and why")
	outputFlag(cmd, &output, "json", "yaml")
	return cmd
}

func newPrometheusTargetManifestsCommand() *cobra.Command {
	var o targetOptions
	var dir, template, pv, cr, there string
	cmd := &cobra.Command{
		Use:   "manifests -f FILE --source-config FILE",
		Short: "Write the Kubernetes manifests of the new server",
		Long: `Manifests prints the objects of the new server as YAML: configuration, rule files, claim, Services, EndpointSlice, StatefulSet. With --dir it
writes them into files, readable by you alone: a configuration with secrets in it becomes a Secret. What a person has to look at goes to standard error.

For a Prometheus of Prometheus Operator (target.prometheus) it writes a Secret with the jobs and PrometheusRules, a merge patch of the
Prometheus that is given with --prometheus, and the patch that takes it back.
` + targetSource,
		Example: `  slipway prometheus target manifests -f migration.yaml --source-config old/prometheus.yml --source-flags flags.json --source-version 2.42.0 --dir out
  slipway prometheus target manifests -f migration.yaml --source-config old/prometheus.yml --source http://old:9090 --prometheus k8s.yaml --dir out
  slipway prometheus target template > mine.yaml
  slipway prometheus target manifests -f migration.yaml --source-config old/prometheus.yml --source http://old:9090 --template mine.yaml | kubectl apply --dry-run=server -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := o.read(cmd.Context())
			if err != nil {
				return err
			}
			if all.Migration.Spec.Target.Prometheus != nil {
				return writeOperator(cmd, all, cr, dir)
			}
			p, err := target.New(all)
			if err != nil {
				return err
			}
			if err := checkVolume(p, pv); err != nil {
				return err
			}
			m, err := fill(p, template, there)
			printTargetFindings(cmd.ErrOrStderr(), p.Findings)
			if err := errors.Join(err, refusal(p)); err != nil {
				return err
			}
			return writeManifests(cmd, p, m, all.Source.Config, dir)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write manifests.yaml, prometheus.yml and plan.json into")
	cmd.Flags().StringVar(&template, "template", "", "template in place of the own one")
	cmd.Flags().StringVar(&pv, "volume", "", "file with the PersistentVolume to be used, as kubectl get pv NAME -o yaml writes it")
	cmd.Flags().StringVar(&there, "cluster", "", "file with what is in the cluster: kubectl get pv,sc,nodes,ns -o yaml, and behind a line --- kubectl get pvc -n NAMESPACE -o yaml")
	cmd.Flags().StringVar(&cr, "prometheus", "", "file with the Prometheus of Prometheus Operator, as kubectl get prometheus NAME -o yaml writes it")
	_ = cmd.MarkFlagDirname("dir") // it fails for a flag that does not exist only
	return cmd
}

// read reads what is named.
func (o *targetOptions) read(ctx context.Context) (target.Options, error) {
	all := target.Options{Stage: target.Stage(o.stage), Override: o.override}
	if o.spec == "" {
		return all, &usageError{errors.New("-f is needed: the file with the PrometheusMigration")}
	}
	text, err := readBounded(o.spec)
	if err != nil {
		return all, err
	}
	if all.Migration, err = target.ReadMigration(text); err != nil {
		return all, fmt.Errorf("%s: %w", o.spec, err)
	}
	s, err := o.readSource(ctx)
	if err != nil {
		return all, err
	}
	all.Source = *s
	return all, nil
}

func (o *targetOptions) plan(ctx context.Context) (*target.Plan, *config.File, error) {
	all, err := o.read(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := target.New(all)
	return p, all.Source.Config, err
}

func (o *targetOptions) readSource(ctx context.Context) (*target.Source, error) {
	s := &target.Source{WorkingDir: o.workDir}
	var err error
	if o.flags != "" {
		data, err := readBounded(o.flags)
		if err != nil {
			return nil, err
		}
		if s.Flags, err = skew.ReadFlags(data); err != nil {
			return nil, fmt.Errorf("%s: %w", o.flags, err)
		}
	}
	told := ""
	if o.source.URL != "" {
		if told, err = o.ask(ctx, s); err != nil {
			return nil, err
		}
	}
	if o.version == "" {
		return nil, &usageError{errors.New("--source-version or --source is needed: what has to change follows from the old version")}
	}
	if s.Version, err = skew.ParseVersion(o.version); err != nil {
		return nil, &usageError{fmt.Errorf("--source-version: %w", err)}
	}
	if s.Need, err = o.need(); err != nil {
		return nil, err
	}
	return s, o.readConfig(s, told)
}

func (o *targetOptions) need() (volume.Need, error) {
	var n volume.Need
	for _, f := range []struct {
		name, text string
		into       *int64
	}{{"data", o.data, &n.Bytes}, {"largest-block", o.largest, &n.LargestBlockBytes}, {"head", o.head, &n.HeadBytes}} {
		if f.text == "" {
			continue
		}
		q, err := resource.ParseQuantity(f.text)
		if err != nil || q.Sign() < 0 {
			return n, &usageError{fmt.Errorf("--%s %q: want a size such as 800Gi", f.name, f.text)}
		}
		*f.into = q.Value()
	}
	return n, nil
}

// ask takes from the old server what was not given: flags, version, working directory, and its configuration with the secrets masked.
func (o *targetOptions) ask(ctx context.Context, s *target.Source) (told string, err error) {
	options := o.source
	options.Name, options.MaxBytes = "source", maxSkewFile
	c, err := server.New(options)
	if err != nil {
		return "", err
	}
	defer c.Close()
	var build struct{ Version string }
	var runtime struct {
		CWD string `json:"CWD"`
	}
	var configuration struct {
		YAML string `json:"yaml"`
	}
	flags := map[string]string{}
	for _, q := range []struct {
		wanted bool
		path   string
		into   any
	}{
		{s.Flags == nil, "/api/v1/status/flags", &flags}, {o.version == "", "/api/v1/status/buildinfo", &build},
		{o.workDir == "", "/api/v1/status/runtimeinfo", &runtime}, {o.config == "", "/api/v1/status/config", &configuration},
	} {
		if !q.wanted {
			continue
		}
		if _, err := c.Call(ctx, http.MethodGet, q.path, nil, server.Into(q.into)); err != nil {
			return "", err
		}
	}
	if s.Flags == nil {
		s.Flags = skew.ToldFlags(flags)
	}
	o.version, s.WorkingDir = cmp.Or(o.version, build.Version), cmp.Or(o.workDir, runtime.CWD)
	return configuration.YAML, nil
}

// readConfig reads the configuration, and the files beside it that it names.
func (o *targetOptions) readConfig(s *target.Source, told string) error {
	name, data := o.config, []byte(told)
	switch {
	case name != "":
		var err error
		if data, err = readBounded(name); err != nil {
			return err
		}
	case o.source.URL == "":
		return &usageError{errors.New("--source-config is needed: the configuration file of the old server")}
	default:
		name = "the configuration as the source tells it"
	}
	var err error
	if s.Config, err = config.Parse(name, data); err != nil || o.config == "" {
		return err
	}
	s.Files, err = filesBeside(*s, filepath.Dir(o.config))
	return err
}

// filesBeside reads the files that a configuration names and that stand below it, from a local copy of its folder.
func filesBeside(s target.Source, local string) (map[string][]byte, error) {
	dir, patterns, err := target.Patterns(s)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, pattern := range patterns {
		inner, below := strings.CutPrefix(pattern, dir+"/")
		if !below {
			continue
		}
		names, err := filepath.Glob(filepath.Join(local, filepath.FromSlash(inner)))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", pattern, err)
		}
		for _, name := range names {
			rel, err := filepath.Rel(local, name)
			if err != nil {
				return nil, fmt.Errorf("looking for %s: %w", pattern, err)
			}
			if files[path.Join(dir, filepath.ToSlash(rel))], err = readBounded(name); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
		}
	}
	return files, nil
}

func checkVolume(p *target.Plan, file string) error {
	if file == "" {
		return nil
	}
	data, err := readBounded(file)
	if err != nil {
		return err
	}
	pv, err := target.ReadVolume(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	p.CheckVolume(pv)
	return nil
}

// refusal names the rules that stop a plan.
func refusal(p *target.Plan) error {
	var names []string
	for _, f := range p.Refusals() {
		names = append(names, f.Rule)
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("planning the target: refused by %s; --override NAME lets one pass", strings.Join(names, ", "))
}

// fill fills the template of a plan that is not refused, and holds the result against what is in the cluster.
func fill(p *target.Plan, template, cluster string) (*target.Manifests, error) {
	text := ""
	if template != "" {
		data, err := readBounded(template)
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	if len(p.Refusals()) > 0 {
		return nil, nil
	}
	m, err := p.Manifests(text)
	if err != nil || cluster == "" {
		return m, err
	}
	data, err := readBounded(cluster)
	if err != nil {
		return nil, err
	}
	w, err := target.WantedOf(m.Objects)
	if err != nil {
		return nil, err
	}
	there, err := target.ReadCluster(data, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cluster, err)
	}
	p.CheckCluster(w, there)
	return m, nil
}

func writeManifests(cmd *cobra.Command, p *target.Plan, m *target.Manifests, source *config.File, dir string) error {
	if dir == "" {
		_, err := cmd.OutOrStdout().Write(m.YAML)
		return err
	}
	return writeTarget(cmd, dir, p, source, []targetFile{{"manifests.yaml", m.YAML}, {"prometheus.yml", p.Config.Bytes()}})
}

type targetFile struct {
	name string
	data []byte
}

// writeTarget writes files and the plan beside them.
func writeTarget(cmd *cobra.Command, dir string, p *target.Plan, source *config.File, files []targetFile) error {
	var report strings.Builder
	if err := printObject(&report, "json", targetReport(p, source)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making --dir: %w", err)
	}
	for _, f := range append(files, targetFile{"plan.json", []byte(report.String())}) {
		name := filepath.Join(dir, f.name)
		if err := writePrivate(name, f.data); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), name)
	}
	return nil
}

// writeOperator writes what makes a Prometheus of the operator the new server.
func writeOperator(cmd *cobra.Command, all target.Options, file, dir string) error {
	if file == "" || dir == "" {
		return &usageError{errors.New("--prometheus and --dir are needed: the target is a Prometheus of Prometheus Operator")}
	}
	data, err := readBounded(file)
	if err != nil {
		return err
	}
	cr, err := target.ReadPrometheus(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	x, err := target.NewOperator(all, cr)
	if err != nil {
		return err
	}
	printTargetFindings(cmd.ErrOrStderr(), x.Findings)
	if err := refusal(x.Plan); err != nil {
		return err
	}
	m, err := x.Manifests()
	if err != nil {
		return err
	}
	return writeTarget(cmd, dir, x.Plan, all.Source.Config, []targetFile{{"manifests.yaml", m.YAML}, {"patch.yaml", x.Patch}, {"undo.yaml", x.Undo}})
}

// targetReport is a plan for programs.
func targetReport(p *target.Plan, source *config.File) any {
	return struct {
		Version  string           `json:"version"`
		Stage    target.Stage     `json:"stage"`
		Args     []string         `json:"args"`
		Changes  []target.Change  `json:"changes"`
		Findings []target.Finding `json:"findings"`
		Diff     string           `json:"diff"`
	}{p.Version.String(), p.Stage, p.Args, p.Changes, p.Findings, config.Diff(source, p.Config)}
}

func printTarget(out io.Writer, p *target.Plan, diff string) error {
	fmt.Fprintf(out, "%s\nCOMMAND LINE\n", printableLines(diff))
	for _, arg := range p.Args {
		fmt.Fprintf(out, "  %s\n", printable(arg))
	}
	fmt.Fprintln(out, "\nCHANGES")
	for _, c := range p.Changes {
		fmt.Fprintf(out, "\n%s: %s\n  %s\n  why: %s\n", c.Name, printable(c.Where), printable(c.What), printable(c.Why))
	}
	fmt.Fprintln(out, "\nTO LOOK AT")
	printTargetFindings(out, p.Findings)
	_, err := fmt.Fprintf(out, "\n%d changes, %d to look at, %d refused\n", len(p.Changes), len(p.Findings)-len(p.Refusals()), len(p.Refusals()))
	return err
}

func printTargetFindings(out io.Writer, findings []target.Finding) {
	for _, f := range findings {
		fmt.Fprintf(out, "\n%s: %s %s\n  %s\n  fix: %s\n", printable(cmp.Or(f.Where, "the server")), f.Verdict, f.Rule, printable(f.Says), printable(f.Fix))
	}
}

// printableLines is printable for text of several lines.
func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(printable(strings.TrimRight(line, "\r\n")) + "\n")
	}
	return b.String()
}
