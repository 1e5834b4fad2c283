package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// machineColumns are the columns of a CSV file beside label:KEY.
var machineColumns = []string{"name", "address", "port", "user", "key", "bastion", "site", "failureDomain"}

// machinesFromCSV reads one machine a line; what a line leaves open comes from the defaults. Every line that cannot be
// used is named, not the first alone.
func machinesFromCSV(text []byte, defaults v1alpha1.Machine) ([]client.Object, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the file is not UTF-8: save it as such")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.TrimLeadingSpace, r.Comment = true, '#'
	columns, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: its first line must name the columns, such as name,address,label:pool")
	}
	if err != nil {
		return nil, err
	}
	if err := checkColumns(columns); err != nil {
		return nil, err
	}
	var objects []client.Object
	var failed []error
	lineOf := map[string]int{}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, csv.ErrFieldCount) {
			line, _ := r.FieldPos(0)
			failed = append(failed, fmt.Errorf("line %d has %d fields; there are %d columns", line, len(row), len(columns)))
			continue
		}
		if err != nil {
			return nil, errors.Join(append(failed, err)...)
		}
		line, _ := r.FieldPos(0)
		m, err := machineFromRow(defaults, columns, row)
		if err != nil {
			failed = append(failed, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		if first, twice := lineOf[m.Name]; twice {
			failed = append(failed, fmt.Errorf("line %d: machine %s stands in line %d already", line, m.Name, first))
			continue
		}
		lineOf[m.Name] = line
		objects = append(objects, m)
	}
	if len(objects) == 0 && len(failed) == 0 {
		return nil, errors.New("there is no machine below the line with the columns")
	}
	return objects, errors.Join(failed...)
}

// checkColumns says what is wrong with the first line, once.
func checkColumns(columns []string) error {
	var failed []error
	seen := map[string]bool{}
	for i, column := range columns {
		column = strings.TrimSpace(column)
		columns[i] = column
		label, isLabel := strings.CutPrefix(column, "label:")
		switch {
		case seen[column]:
			failed = append(failed, fmt.Errorf("column %q is there twice", column))
		case isLabel && len(validation.IsQualifiedName(label)) > 0:
			failed = append(failed, fmt.Errorf("column %q: %s", column, validation.IsQualifiedName(label)[0]))
		case !isLabel && !slices.Contains(machineColumns, column):
			failed = append(failed, fmt.Errorf("unknown column %q: %s and label:KEY are understood", column, strings.Join(machineColumns, ", ")))
		}
		seen[column] = true
	}
	for _, column := range []string{"name", "address"} {
		if !seen[column] {
			failed = append(failed, fmt.Errorf("the first line names the columns, and %q is not among them", column))
		}
	}
	return errors.Join(failed...)
}

func machineFromRow(defaults v1alpha1.Machine, columns, row []string) (*v1alpha1.Machine, error) {
	m := defaults.DeepCopy()
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	for i, column := range columns {
		if err := setColumn(m, column, strings.TrimSpace(row[i])); err != nil {
			return nil, err
		}
	}
	if errs := validation.IsDNS1123Subdomain(m.Name); len(errs) > 0 {
		return nil, fmt.Errorf("name %q: it takes lower case letters, digits, - and dots, and begins and ends with a letter or digit", m.Name)
	}
	if m.Spec.Address == "" {
		return nil, fmt.Errorf("machine %s has no address", m.Name)
	}
	return m, nil
}

// setColumn sets what one field says; an empty one leaves the default.
func setColumn(m *v1alpha1.Machine, column, value string) error {
	if value == "" {
		return nil
	}
	if label, ok := strings.CutPrefix(column, "label:"); ok {
		if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
			return fmt.Errorf("label %s %q: it takes at most 63 letters, digits, -, _ and dots, and begins and ends with a letter or digit", label, value)
		}
		m.Labels[label] = value
		return nil
	}
	var err error
	switch column {
	case "port":
		m.Spec.Port, err = parsePort(value)
	case "bastion":
		m.Spec.Bastion, err = parseBastion(value)
	default:
		*map[string]*string{
			"name": &m.Name, "address": &m.Spec.Address, "user": &m.Spec.User, "key": &m.Spec.SSHKeySecretName,
			"site": &m.Spec.Site, "failureDomain": &m.Spec.FailureDomain,
		}[column] = value
	}
	return err
}

func parsePort(s string) (int32, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q must be a number from 1 to 65535", s)
	}
	return int32(n), nil
}

// parseBastion reads user@address:port; user and port may be missing. An IPv6 address with a port stands in brackets.
func parseBastion(s string) (*v1alpha1.Bastion, error) {
	b := &v1alpha1.Bastion{User: "root", Port: 22}
	rest := s
	if user, after, ok := strings.Cut(rest, "@"); ok {
		b.User, rest = user, after
	}
	if inner, ok := strings.CutPrefix(rest, "["); ok && strings.HasSuffix(inner, "]") && net.ParseIP(strings.TrimSuffix(inner, "]")) != nil {
		rest = strings.TrimSuffix(inner, "]")
	}
	if net.ParseIP(rest) == nil && strings.Contains(rest, ":") {
		host, port, err := net.SplitHostPort(rest)
		if err != nil {
			return nil, fmt.Errorf("bastion %q: write user@address:port, an IPv6 address as [address]:port", s)
		}
		if b.Port, err = parsePort(port); err != nil {
			return nil, fmt.Errorf("bastion %q: %w", s, err)
		}
		rest = host
	}
	if rest == "" || b.User == "" || strings.ContainsAny(rest, "[]") {
		return nil, fmt.Errorf("bastion %q: write user@address:port", s)
	}
	b.Address = rest
	return b, nil
}

// machinesFromYAML reads Machines and SSH Secrets, strictly, and gives the Secrets first.
func machinesFromYAML(text []byte, namespace string) ([]client.Object, error) {
	docs, err := documents(text)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, errors.New("there is no machine in it")
	}
	var secrets, machines []client.Object
	var failed []error
	documentOf := map[string]int{}
	for _, doc := range docs {
		obj, err := machineObject(doc)
		if err != nil {
			failed = append(failed, fmt.Errorf("document %d: %w", doc.number, err))
			continue
		}
		if obj.GetNamespace() == "" {
			obj.SetNamespace(namespace)
		}
		key := obj.GetNamespace() + " " + describe(obj)
		if first, twice := documentOf[key]; twice {
			failed = append(failed, fmt.Errorf("document %d: %s stands in document %d already", doc.number, describe(obj), first))
			continue
		}
		documentOf[key] = doc.number
		if _, ok := obj.(*corev1.Secret); ok {
			secrets = append(secrets, obj)
		} else {
			machines = append(machines, obj)
		}
	}
	return append(secrets, machines...), errors.Join(failed...)
}

// machineObject reads a Machine, or a Secret with an SSH key.
func machineObject(doc document) (client.Object, error) {
	var obj client.Object
	switch doc.kind {
	case metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}:
		obj = &corev1.Secret{}
	case metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Machine"}:
		obj = &v1alpha1.Machine{}
	default:
		return nil, fmt.Errorf("%s %s is neither a Machine of %s nor a Secret of v1", doc.kind.APIVersion, doc.kind.Kind, v1alpha1.GroupVersion)
	}
	err := decodeStrict(doc.text, obj)
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return nil, fmt.Errorf("the values under data must be base64, and one is not; stringData takes them as they are: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if obj.GetName() == "" {
		return nil, fmt.Errorf("the %s has no metadata.name", strings.ToLower(doc.kind.Kind))
	}
	if s, ok := obj.(*corev1.Secret); ok {
		return obj, checkKeySecret(s)
	}
	return obj, nil
}

// checkKeySecret refuses Secrets in which no key would be found.
func checkKeySecret(s *corev1.Secret) error {
	if s.Type != corev1.SecretTypeSSHAuth {
		return fmt.Errorf("secret %s has type %q; a key is kept in one of type %s", s.Name, s.Type, corev1.SecretTypeSSHAuth)
	}
	if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 && s.StringData[corev1.SSHAuthPrivateKey] == "" {
		return fmt.Errorf("secret %s has no data.%s; it has %v", s.Name, corev1.SSHAuthPrivateKey, slices.Sorted(maps.Keys(s.Data)))
	}
	return nil
}
