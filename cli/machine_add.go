package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	gossh "golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
the Secret), bastion (user@address:port), site, failureDomain, and label:KEY for each label are understood. What a line
leaves open comes from the flags.
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
	objects, err := o.objects(cmd, args)
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
		case away(err):
			return fmt.Errorf("adding %s: %w", describe(obj), err)
		default:
			failed = append(failed, fmt.Errorf("adding %s: %w", describe(obj), err))
		}
	}
	if o.out != "" {
		if err := printManifests(cmd.OutOrStdout(), o.out, withoutSecrets(objects)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(cmd.OutOrStdout(), "%d added, %d were there, %d refused%s\n", created, known, len(failed), map[bool]string{true: " (dry run)"}[o.dryRun])
	}
	for _, note := range missingKeys(cmd.Context(), cl, objects) {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
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

// missingKeys says which Secrets the machines name that are not there and not among the objects.
func missingKeys(ctx context.Context, cl client.Reader, objects []client.Object) []string {
	asked := map[client.ObjectKey]bool{}
	var notes []string
	for _, obj := range objects { // Secrets come first
		m, ok := obj.(*v1alpha1.Machine)
		if !ok {
			asked[client.ObjectKeyFromObject(obj)] = true
			continue
		}
		key := client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.SSHKeySecretName}
		if asked[key] || key.Name == "" {
			continue
		}
		asked[key] = true
		// Who may not read Secrets gets no note; the machine's condition says the same later.
		if err := cl.Get(ctx, key, &corev1.Secret{}); apierrors.IsNotFound(err) {
			notes = append(notes, fmt.Sprintf("there is no secret %s in namespace %s: its machines wait for it. --key %s --key-file FILE makes it", key.Name, key.Namespace, key.Name))
		}
	}
	return notes
}

// objects are the Secrets and Machines to create, Secrets first.
func (o *machineAdd) objects(cmd *cobra.Command, args []string) ([]client.Object, error) {
	if err := o.check(cmd, args); err != nil {
		return nil, err
	}
	var objects []client.Object
	if o.keyFile != "" {
		key, err := readPrivateKey(o.keyFile)
		if err != nil {
			return nil, err
		}
		objects = append(objects, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: o.machine.SSHKeySecretName, Namespace: o.conn.namespace},
			Type:       corev1.SecretTypeSSHAuth,
			Data:       map[string][]byte{corev1.SSHAuthPrivateKey: key},
		})
	}
	m := v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: o.conn.namespace, Labels: o.labels}, Spec: o.machine}
	if o.bastion != "" {
		b, err := parseBastion(o.bastion)
		if err != nil {
			return nil, err
		}
		m.Spec.Bastion = b
	}
	if o.file == "" {
		m.Name = args[0]
		return append(objects, &m), nil
	}
	text, err := readFile(o.file, cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	var more []client.Object
	if o.isCSV() {
		more, err = machinesFromCSV(text, m)
	} else {
		more, err = machinesFromYAML(text, o.conn.namespace)
	}
	if errors.Is(err, errNoObject) {
		err = fmt.Errorf("%w; CSV is read from files that are named *.csv", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.file, err)
	}
	return append(objects, more...), nil
}

func (o *machineAdd) isCSV() bool { return strings.HasSuffix(strings.ToLower(o.file), ".csv") }

// check refuses what would have no effect.
func (o *machineAdd) check(cmd *cobra.Command, args []string) error {
	switch {
	case o.file == "" && (len(args) == 0 || o.machine.Address == ""):
		return &usageError{errors.New("name the machine and its --address, or a file with -f")}
	case o.file == "":
		return nil
	case len(args) > 0:
		return &usageError{fmt.Errorf("name the machine %s or a file, not both", args[0])}
	case o.isCSV():
		return refuseFlags(cmd, "goes with one machine; in a CSV file it is a column", "address")
	}
	list := []string{"address", "port", "user", "bastion", "site", "failure-domain", "label"}
	if o.keyFile == "" {
		list = append(list, "key")
	}
	return refuseFlags(cmd, "has no effect on a YAML file: write it into the Machines", list...)
}

// readPrivateKey reads a key that the operator can use: one that needs no passphrase.
func readPrivateKey(file string) ([]byte, error) {
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	_, err = gossh.ParseRawPrivateKey(key)
	var locked *gossh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("%s needs a passphrase, and nobody is there to type it for the operator: give it a key without one", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no private key of SSH (of a pair it is the file without .pub): %w", file, err)
	}
	return key, nil
}
