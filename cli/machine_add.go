package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

type machineAdd struct {
	conn    connection
	file    string
	keyFile string
	machine v1alpha1.MachineSpec
	bastion string
	labels  map[string]string
	out     string
	dryRun  bool
}

func newMachineAddCommand() *cobra.Command {
	var o machineAdd
	cmd := &cobra.Command{
		Use:   "add [NAME]",
		Short: "Approve machines: one by flags, or hundreds from a YAML or CSV file",
		Long: `Approve machines: one by flags, or hundreds from a file.

A CSV file has a first line with the names of its columns: name and address are required; port, user, key (the name of
the Secret), bastion (user@address:port), site, failureDomain, and label:KEY for each label are understood.
A YAML file holds Machine objects, and Secrets of type kubernetes.io/ssh-auth beside them where wanted.`,
		Example: `  slipway machine add r07-u12 --address 10.1.7.12 --user ops --key-file ~/.ssh/rack --key rack-key
  slipway machine add -f rack.csv --key rack-key
  slipway machine add -f machines.yaml --dry-run -o yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) },
	}
	f := cmd.Flags()
	o.conn.flags(f)
	f.StringVarP(&o.file, "filename", "f", "", "YAML or CSV file with machines; - reads standard input as YAML")
	f.StringVar(&o.machine.Address, "address", "", "IP address or DNS name of the host")
	f.Int32Var(&o.machine.Port, "port", 22, "port of its SSH server")
	f.StringVar(&o.machine.User, "user", "root", "root, or a user with sudo")
	f.StringVar(&o.machine.SSHKeySecretName, "key", "ssh-key", "name of the Secret with the SSH private key")
	f.StringVar(&o.keyFile, "key-file", "", "private key file from which the Secret is made when it does not exist")
	f.StringVar(&o.bastion, "bastion", "", "reach it through user@address:port")
	f.StringVar(&o.machine.Site, "site", "", "place of the host")
	f.StringVar(&o.machine.FailureDomain, "failure-domain", "", "what fails together with it")
	f.StringToStringVarP(&o.labels, "label", "l", nil, "labels, as in pool=general,disk=nvme")
	f.BoolVar(&o.dryRun, "dry-run", false, "check everything against the API server and change nothing")
	outputFlag(cmd, &o.out, "json", "yaml")
	return cmd
}

func (o *machineAdd) run(cmd *cobra.Command, args []string) error {
	objects, err := o.objects(cmd.InOrStdin(), args)
	if err != nil {
		return err
	}
	cl, err := o.conn.client()
	if err != nil {
		return err
	}
	var failed []error
	created, known := 0, 0
	for _, obj := range objects {
		var opts []client.CreateOption
		if o.dryRun {
			opts = append(opts, client.DryRunAll)
		}
		switch err := cl.Create(cmd.Context(), obj, opts...); {
		case err == nil:
			created++
		case apierrors.IsAlreadyExists(err):
			known++
			if o.out == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s is there already; it stays as it is\n", describe(obj))
			}
		default:
			failed = append(failed, fmt.Errorf("adding %s: %w", describe(obj), err))
		}
	}
	if o.out != "" {
		if err := printObject(cmd.OutOrStdout(), o.out, withoutSecrets(objects)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%d added, %d were there, %d refused%s\n", created, known, len(failed), map[bool]string{true: " (dry run)"}[o.dryRun])
	}
	return errors.Join(failed...)
}

func describe(obj client.Object) string {
	if m, ok := obj.(*v1alpha1.Machine); ok {
		return "machine " + m.Name
	}
	return "secret " + obj.GetName()
}

func withoutSecrets(objects []client.Object) []client.Object {
	var list []client.Object
	for _, o := range objects {
		if _, secret := o.(*corev1.Secret); !secret {
			list = append(list, o)
		}
	}
	return list
}

// objects are the Secrets and Machines to create, Secrets first.
func (o *machineAdd) objects(stdin io.Reader, args []string) ([]client.Object, error) {
	var objects []client.Object
	if o.keyFile != "" {
		key, err := os.ReadFile(o.keyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the private key: %w", err)
		}
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: o.machine.SSHKeySecretName, Namespace: o.conn.namespace},
			Type:       corev1.SecretTypeSSHAuth,
			Data:       map[string][]byte{corev1.SSHAuthPrivateKey: key},
		})
	}
	if o.file == "" {
		if len(args) == 0 || o.machine.Address == "" {
			return nil, errors.New("name the machine and its --address, or a file with -f")
		}
		m, err := o.one(args[0])
		return append(objects, m), err
	}
	text, err := readFile(o.file, stdin)
	if err != nil {
		return nil, err
	}
	var more []client.Object
	if strings.HasSuffix(o.file, ".csv") {
		more, err = machinesFromCSV(text, o.conn.namespace, o.machine)
	} else {
		more, err = machinesFromYAML(text, o.conn.namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.file, err)
	}
	return append(objects, more...), nil
}

func (o *machineAdd) one(name string) (client.Object, error) {
	spec := o.machine
	if o.bastion != "" {
		b, err := parseBastion(o.bastion)
		if err != nil {
			return nil, err
		}
		spec.Bastion = b
	}
	return &v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.conn.namespace, Labels: o.labels}, Spec: spec}, nil
}

func readFile(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, 64<<20))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	return text, nil
}

// parseBastion reads user@address:port; user and port may be missing.
func parseBastion(s string) (*v1alpha1.Bastion, error) {
	b := &v1alpha1.Bastion{User: "root", Port: 22}
	rest := s
	if user, after, ok := strings.Cut(rest, "@"); ok {
		b.User, rest = user, after
	}
	if host, port, ok := strings.Cut(rest, ":"); ok {
		n, err := strconv.ParseInt(port, 10, 32)
		if err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("bastion %q: the port must be a number from 1 to 65535", s)
		}
		b.Port, rest = int32(n), host
	}
	if rest == "" || b.User == "" {
		return nil, fmt.Errorf("bastion %q: write user@address:port", s)
	}
	b.Address = rest
	return b, nil
}

// machinesFromCSV reads one machine a line. Every line that cannot be used is named, not the first alone.
func machinesFromCSV(text []byte, namespace string, defaults v1alpha1.MachineSpec) ([]client.Object, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.TrimLeadingSpace, r.Comment = true, '#'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 {
		return nil, errors.New("there must be a line with the names of the columns and at least one machine")
	}
	var objects []client.Object
	var failed []error
	lineOf := map[string]int{}
	for i, row := range rows[1:] {
		m := &v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: map[string]string{}}, Spec: defaults}
		if err := fillMachine(m, rows[0], row); err != nil {
			failed = append(failed, fmt.Errorf("line %d: %w", i+2, err))
			continue
		}
		if first, twice := lineOf[m.Name]; twice {
			failed = append(failed, fmt.Errorf("line %d: machine %s stands in line %d already", i+2, m.Name, first))
			continue
		}
		lineOf[m.Name] = i + 2
		objects = append(objects, m)
	}
	return objects, errors.Join(failed...)
}

func fillMachine(m *v1alpha1.Machine, columns, row []string) error {
	for i, column := range columns {
		value := strings.TrimSpace(row[i])
		if err := setColumn(m, strings.TrimSpace(column), value); err != nil {
			return err
		}
	}
	if errs := validation.IsDNS1123Subdomain(m.Name); len(errs) > 0 {
		return fmt.Errorf("name %q: %s", m.Name, errs[0])
	}
	if m.Spec.Address == "" {
		return fmt.Errorf("machine %s has no address", m.Name)
	}
	return nil
}

func setColumn(m *v1alpha1.Machine, column, value string) error {
	if label, ok := strings.CutPrefix(column, "label:"); ok {
		if value != "" {
			m.Labels[label] = value
		}
		return nil
	}
	if column == "port" || column == "bastion" {
		return setParsed(m, column, value)
	}
	fields := map[string]*string{
		"name": &m.Name, "address": &m.Spec.Address, "user": &m.Spec.User, "key": &m.Spec.SSHKeySecretName,
		"site": &m.Spec.Site, "failureDomain": &m.Spec.FailureDomain,
	}
	field, known := fields[column]
	if !known {
		return fmt.Errorf("unknown column %q: name, address, port, user, key, bastion, site, failureDomain and label:KEY are understood", column)
	}
	if value != "" {
		*field = value
	}
	return nil
}

func setParsed(m *v1alpha1.Machine, column, value string) error {
	if value == "" {
		return nil
	}
	if column == "bastion" {
		b, err := parseBastion(value)
		m.Spec.Bastion = b
		return err
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q must be a number from 1 to 65535", value)
	}
	m.Spec.Port = int32(n)
	return nil
}

// machinesFromYAML reads Machines and SSH Secrets, strictly: an unknown field is an error with its document's number.
func machinesFromYAML(text []byte, namespace string) ([]client.Object, error) {
	var secrets, machines []client.Object
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return append(secrets, machines...), nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		obj, err := decodeObject(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		switch o := obj.(type) {
		case nil:
			continue
		case *corev1.Secret:
			secrets = append(secrets, o)
		case *v1alpha1.Machine:
			machines = append(machines, o)
		}
		if obj.GetNamespace() == "" {
			obj.SetNamespace(namespace)
		}
	}
}

// decodeObject reads a Machine or a Secret; nil for an empty document.
func decodeObject(doc []byte) (client.Object, error) {
	var meta metav1.TypeMeta
	if err := sigsyaml.Unmarshal(doc, &meta); err != nil {
		return nil, err
	}
	var obj client.Object
	switch {
	case meta.Kind == "" && isBlank(doc):
		return nil, nil
	case meta.Kind == "Secret":
		obj = &corev1.Secret{}
	case meta.Kind == "Machine" && meta.APIVersion == v1alpha1.GroupVersion.String():
		obj = &v1alpha1.Machine{}
	default:
		return nil, fmt.Errorf("%s %q is neither a Machine of %s nor a Secret", meta.APIVersion, meta.Kind, v1alpha1.GroupVersion)
	}
	if err := sigsyaml.UnmarshalStrict(doc, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// isBlank says whether a document holds comments alone.
func isBlank(doc []byte) bool {
	for _, line := range bytes.Split(doc, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}
