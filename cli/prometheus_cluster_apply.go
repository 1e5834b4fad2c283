package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// fieldOwner is who owns what this program applies. What slipway prometheus cutover approves belongs to others, and stays.
const fieldOwner = client.FieldOwner("slipway-migrate")

// maxSecret is what an API server takes for one Secret.
const maxSecret = 1 << 20

type migrationApply struct {
	conn                         connection
	file                         string
	sourceConfig, agent, keyFile string
	retry                        bool
}

// withClusterMigrate lets slipway prometheus migrate write a PrometheusMigration.
func withClusterMigrate(cmd *cobra.Command) *cobra.Command {
	o := &migrationApply{}
	cmd = withCluster(cmd, clusterForm{
		use:  "migrate -f FILE | NAME --retry | --source FROM --source-server URL --target-data DIR --target URL --state DIR",
		conn: &o.conn, shared: []string{"output", "dry-run", "credentials", "ssh-key"}, run: o.run,
		chosen: func(cmd *cobra.Command, args []string) bool { return len(args) > 0 || cmd.Flags().Changed("filename") },
		long: `Move a running Prometheus into a cluster: write the PrometheusMigration of FILE there, and what it needs from files: the old server's folder of
configuration, the certificates of its agent, or the key for its host. They become Secrets beside it, which the migration then names. The operator does the rest;
slipway prometheus status NAME --watch follows it. Applied again with another FILE it changes the spec, and what was approved stays approved.`,
		example: `  slipway prometheus migrate -f migration.yaml --source-config ./etc-prometheus --credentials ./transfer/target --dry-run
  slipway prometheus migrate -f migration.yaml --source-config ./etc-prometheus --ssh-key ~/.ssh/rack`,
	}, func(f *pflag.FlagSet) {
		f.StringVarP(&o.file, "filename", "f", "", "file with one PrometheusMigration; - reads standard input")
		f.StringVar(&o.sourceConfig, "source-config", "", "copy of the folder with the old server's configuration, rule files beside it: becomes a Secret")
		f.BoolVar(&o.retry, "retry", false, "with NAME: try again now what stopped, when what it told of is mended")
	})
	_ = cmd.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = cmd.MarkFlagDirname("source-config")
	return cmd
}

func (o *migrationApply) run(cmd *cobra.Command, args []string) error {
	switch {
	case o.retry && (o.file != "" || len(args) == 0):
		return &usageError{errors.New("--retry goes with the name of a migration, and with no file")}
	case o.retry:
		return o.again(cmd, args[0])
	case o.file == "":
		return &usageError{fmt.Errorf("name the file that holds migration %s with -f, or say --retry", args[0])}
	}
	f := cmd.Flags()
	o.agent, o.keyFile = f.Lookup("credentials").Value.String(), f.Lookup("ssh-key").Value.String()
	dryRun, format := f.Lookup("dry-run").Value.String() == "true", f.Lookup("output").Value.String()
	m, err := migrationFromFile(o.file, cmd.InOrStdin(), args, o.conn.namespace)
	if err != nil {
		return err
	}
	objects, err := o.secrets(m)
	if err != nil {
		return err
	}
	objects = append(objects, m)
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	asked := m.DeepCopy() // the answer of the API server takes its place
	words, err := applyAll(cmd.Context(), cl, objects, dryRun)
	if err != nil {
		return err
	}
	if format != "" {
		return printObject(cmd.OutOrStdout(), format, m.Object)
	}
	for _, text := range words {
		fmt.Fprintln(cmd.OutOrStdout(), text)
	}
	name := m.GetName() + " -n " + m.GetNamespace()
	if dryRun {
		return saysDryRun(cmd.OutOrStdout(), asked, name)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "`slipway prometheus status %s --watch` shows how it goes\n", name)
	return nil
}

// saysDryRun says what would be made of a migration.
func saysDryRun(out io.Writer, m *unstructured.Unstructured, name string) error {
	if err := printGrafanaObjects(out, m); err != nil {
		return err
	}
	fmt.Fprintf(out, "Nothing was written; the API server would take it. Once written, both servers and the volume are looked at before anything is moved: `slipway prometheus status %s` says what speaks against it\n", name)
	return nil
}

// again asks for another try of what stopped.
func (o *migrationApply) again(cmd *cobra.Command, name string) error {
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	m, err := getMigration(cmd.Context(), cl, o.conn.namespace, name)
	if err != nil {
		return err
	}
	if m.Status.Stop == nil {
		return fmt.Errorf("migration %s has not stopped: `slipway prometheus status %s` says what it does", name, called(m))
	}
	before := m.DeepCopy()
	metav1.SetMetaDataAnnotation(&m.ObjectMeta, v1alpha1.RetryAnnotation, time.Now().UTC().Format(time.RFC3339))
	if err := cl.Patch(cmd.Context(), m, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("writing to migration %s: %w", name, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "migration %s: what stopped by %s is tried again; `slipway prometheus status %s --watch` shows how it goes\n", name, m.Status.Stop.Rule, called(m))
	return nil
}

// applyAll writes the objects, the migration last, and says of each what became of it.
func applyAll(ctx context.Context, cl client.Client, objects []*unstructured.Unstructured, dryRun bool) ([]string, error) {
	opts := []client.ApplyOption{fieldOwner, client.ForceOwnership}
	if dryRun {
		opts = append(opts, client.DryRunAll)
	}
	var words []string
	for _, obj := range objects {
		name := strings.ToLower(obj.GetKind()) + " " + obj.GetName()
		if obj.GetKind() == v1alpha1.Kind {
			name = "migration " + obj.GetName()
		}
		there := obj.DeepCopy()
		err := cl.Get(ctx, client.ObjectKeyFromObject(obj), there)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		is := apierrors.IsNotFound(err)
		before := there.GetResourceVersion()
		if err := cl.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), opts...); err != nil {
			return nil, fmt.Errorf("writing %s to namespace %s: %w", name, obj.GetNamespace(), err)
		}
		words = append(words, name+becomes(is, obj.GetResourceVersion() == before, dryRun))
	}
	return words, nil
}

func becomes(isNew, same, dryRun bool) string {
	switch {
	case isNew && dryRun:
		return " would be created"
	case isNew:
		return " is created"
	case dryRun:
		return " is there and would be brought to this"
	case same:
		return " is as it was"
	}
	return " is changed"
}

// migrationFromFile reads one PrometheusMigration, strictly: an unknown field is an error with its name. What the file does not say
// is not in the object.
func migrationFromFile(file string, stdin io.Reader, args []string, namespace string) (*unstructured.Unstructured, error) {
	text, err := readFile(file, stdin)
	if err != nil {
		return nil, err
	}
	m, err := parseMigration(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if len(args) == 1 && args[0] != m.GetName() {
		return nil, fmt.Errorf("%s holds migration %q, not %q", file, m.GetName(), args[0])
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(namespace)
	}
	return m, nil
}

func parseMigration(text []byte) (*unstructured.Unstructured, error) {
	docs, err := documents(text)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("it holds %s, and one PrometheusMigration is wanted", count(len(docs), "document"))
	}
	if kind := docs[0].kind; kind.Kind != v1alpha1.Kind || kind.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("it holds a %s of %s, not a PrometheusMigration of %s", kind.Kind, worded(kind.APIVersion, "no apiVersion"), v1alpha1.GroupVersion)
	}
	if err := decodeStrict(docs[0].text, &v1alpha1.PrometheusMigration{}); err != nil {
		return nil, err
	}
	m := &unstructured.Unstructured{}
	if err := sigsyaml.Unmarshal(docs[0].text, &m.Object); err != nil {
		return nil, err
	}
	if m.GetName() == "" {
		return nil, errors.New("the migration has no metadata.name")
	}
	unstructured.RemoveNestedField(m.Object, "status") // the operator writes it
	return m, nil
}

// secrets are made from the files that were named; the migration names them where it names none.
func (o *migrationApply) secrets(m *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, one := range []struct {
		flag, value string
		read        func(m *unstructured.Unstructured, from string) (*corev1.Secret, error)
	}{{"source-config", o.sourceConfig, sourceConfigSecret}, {"credentials", o.agent, agentSecret}, {"ssh-key", o.keyFile, sshSecret}} {
		if one.value == "" {
			continue
		}
		s, err := one.read(m, one.value)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", one.flag, err)
		}
		s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
		s.Namespace = m.GetNamespace()
		s.Labels = map[string]string{v1alpha1.NameLabel: m.GetName()}
		text, err := sigsyaml.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", one.flag, err)
		}
		u := &unstructured.Unstructured{}
		if err := sigsyaml.Unmarshal(text, &u.Object); err != nil {
			return nil, fmt.Errorf("--%s: %w", one.flag, err)
		}
		all = append(all, u)
	}
	return all, nil
}

// nameAt is the name that the spec has at a path, which is set to fallback where there is none.
func nameAt(m *unstructured.Unstructured, fallback string, path ...string) (string, error) {
	name, _, err := unstructured.NestedString(m.Object, path...)
	if err == nil && name == "" {
		name, err = fallback, unstructured.SetNestedField(m.Object, fallback, path...)
	}
	return name, err
}

// sourceConfigSecret holds every file below a folder, by its path with -- for /.
func sourceConfigSecret(m *unstructured.Unstructured, dir string) (*corev1.Secret, error) {
	if name, _, _ := unstructured.NestedString(m.Object, "spec", "source", "config", "configMapName"); name != "" {
		return nil, fmt.Errorf("spec.source.config names the ConfigMap %s already: name no ConfigMap, or leave the flag out", name)
	}
	name, err := nameAt(m, m.GetName()+"-source-config", "spec", "source", "config", "secretName")
	if err != nil {
		return nil, err
	}
	key, err := nameAt(m, "prometheus.yml", "spec", "source", "config", "key")
	if err != nil {
		return nil, err
	}
	data, err := folder(dir)
	if err != nil {
		return nil, err
	}
	if _, there := data[key]; !there {
		return nil, fmt.Errorf("%s has no %s; it has %s. Name the folder of the configuration, or the file in spec.source.config.key", dir, key, strings.Join(slices.Sorted(maps.Keys(data)), ", "))
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}, nil
}

// folder reads the files below a folder but for hidden ones.
func folder(dir string) (map[string][]byte, error) {
	data, total := map[string][]byte{}, 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(e.Name(), ".") {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := os.Stat(path) // a link is what it leads to
		if err != nil || info.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		key := strings.ReplaceAll(filepath.ToSlash(rel), "/", "--")
		if problems := validation.IsConfigMapKey(key); len(problems) > 0 || !info.Mode().IsRegular() {
			return fmt.Errorf("%s cannot be a key of a Secret: its name takes letters, digits, - _ and dots; leave it out of the folder", path)
		}
		if total += int(info.Size()); total > maxSecret {
			return fmt.Errorf("%s holds more than 1 MiB, which is more than a Secret takes: leave out what the configuration does not name", dir)
		}
		data[key], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the folder: %w", err)
	}
	return data, nil
}

// agentSecret holds the folder target of slipway prometheus agent init.
func agentSecret(m *unstructured.Unstructured, dir string) (*corev1.Secret, error) {
	if address, _, _ := unstructured.NestedString(m.Object, "spec", "source", "agent", "address"); address == "" {
		return nil, errors.New("they are for an agent that runs on the old host, and spec.source.agent.address is not there")
	}
	name, err := nameAt(m, m.GetName()+"-agent", "spec", "source", "agent", "credentialsSecretName")
	if err != nil {
		return nil, err
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{}}
	for _, file := range []string{"ca.crt", "tls.crt", "tls.key"} {
		if s.Data[file], err = os.ReadFile(filepath.Join(dir, file)); err != nil {
			return nil, fmt.Errorf("reading the folder target of `slipway prometheus agent init`: %w", err)
		}
	}
	return s, nil
}

func sshSecret(m *unstructured.Unstructured, file string) (*corev1.Secret, error) {
	name, err := nameAt(m, m.GetName()+"-ssh", "spec", "source", "host", "sshKeySecretName")
	if err != nil {
		return nil, err
	}
	key, err := readPrivateKey(file)
	if err != nil {
		return nil, err
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeSSHAuth, Data: map[string][]byte{corev1.SSHAuthPrivateKey: key}}, nil
}
