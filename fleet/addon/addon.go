package addon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed all:charts
var charts embed.FS

const (
	chartsRoot = "charts"
	// Namespace is where addons live.
	Namespace = "kube-system"
	// factsKey is the place in a chart's values where facts are; values of users cannot have it: no schema does.
	factsKey = "slipway"
	// Annotations of a chart that say what it needs.
	annotationImage       = "slipway.dev/image"
	annotationCertificate = "slipway.dev/certificate"
	annotationHook        = "helm.sh/hook"
)

// Facts are what an addon has to know of its cluster.
type Facts struct {
	// ClusterDNS is the address of the DNS service, ClusterDomain the domain of the cluster; empty: cluster.local.
	ClusterDNS    string
	ClusterDomain string
	// KubernetesVersion is the version of the cluster, as in v1.36.3.
	KubernetesVersion string
	// Images are the images of the bundle: name to reference.
	Images map[string]string
	// Issue gives a serving certificate for names, in PEM, and its authority. Asked again it must give the same, or the
	// addon is rolled each time. Addons that serve TLS need it.
	Issue func(commonName string, names []string) (certificate, key, authority []byte, err error)
}

// Rendered is an addon as it is to be applied.
type Rendered struct {
	Objects []unstructured.Unstructured
	// Digest is "sha256:" and the digest of the objects.
	Digest string
}

// Known names the addons that are shipped, sorted.
func Known() []string {
	entries, err := charts.ReadDir(chartsRoot)
	if err != nil {
		return nil // cannot be: the folder is embedded
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Check says what is wrong with the values (JSON; may be empty) of an addon.
func Check(name string, values []byte) error {
	c, err := load(name)
	if err != nil {
		return err
	}
	_, err = merged(c, values)
	return err
}

// Render makes the objects of an addon from its chart, values (JSON; may be empty) and facts.
func Render(name string, values []byte, facts Facts) (Rendered, error) {
	c, err := load(name)
	if err != nil {
		return Rendered{}, err
	}
	all, err := merged(c, values)
	if err != nil {
		return Rendered{}, fmt.Errorf("rendering addon %s: %w", name, err)
	}
	if all[factsKey], err = factValues(c, facts); err != nil {
		return Rendered{}, fmt.Errorf("rendering addon %s: %w", name, err)
	}
	objects, err := execute(c, all, facts)
	if err != nil {
		return Rendered{}, fmt.Errorf("rendering addon %s: %w", name, err)
	}
	data, err := json.Marshal(objects)
	if err != nil {
		return Rendered{}, fmt.Errorf("rendering addon %s: encoding objects: %w", name, err)
	}
	sum := sha256.Sum256(data)
	return Rendered{Objects: objects, Digest: "sha256:" + hex.EncodeToString(sum[:])}, nil
}

// load reads an embedded chart.
func load(name string) (*chart.Chart, error) {
	if !slices.Contains(Known(), name) {
		return nil, fmt.Errorf("there is no addon %q; there are %s", name, strings.Join(Known(), ", "))
	}
	root := path.Join(chartsRoot, name)
	var files []*archive.BufferedFile
	err := fs.WalkDir(charts, root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := charts.ReadFile(at)
		if err != nil {
			return err
		}
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(at, root+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading chart of addon %s: %w", name, err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("loading chart of addon %s: %w", name, err)
	}
	return c, nil
}

// merged lays values over those of the chart and checks the result against the chart's schema.
func merged(c *chart.Chart, values []byte) (map[string]any, error) {
	user := map[string]any{}
	if len(bytes.TrimSpace(values)) > 0 {
		if err := json.Unmarshal(values, &user); err != nil {
			return nil, errors.New("values are not an object")
		}
	}
	all, err := util.CoalesceValues(c, user)
	if err != nil {
		return nil, fmt.Errorf("merging values: %w", err)
	}
	if len(c.Schema) == 0 {
		return nil, errors.New("the chart has no values.schema.json")
	}
	if err := util.ValidateAgainstSingleSchema(all, c.Schema); err != nil {
		return nil, schemaError(err)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Values)) {
		if _, ok := all[key]; !ok { // to Helm null means without the default, and the templates want one
			return nil, fmt.Errorf("%s is null; leave it out to have the default", key)
		}
	}
	return all, nil
}

// schemaError makes one line of what Helm prints in several.
func schemaError(err error) error {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "- ")); line != "" {
			parts = append(parts, line)
		}
	}
	return errors.New(strings.Join(parts, "; "))
}

// factValues are the values that Slipway itself gives to a chart.
func factValues(c *chart.Chart, facts Facts) (map[string]any, error) {
	image := facts.Images[c.Metadata.Annotations[annotationImage]]
	if image == "" {
		return nil, fmt.Errorf("the bundle has no image %q", c.Metadata.Annotations[annotationImage])
	}
	domain := facts.ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	out := map[string]any{"image": image, "clusterDNS": facts.ClusterDNS, "clusterDomain": domain}
	name := c.Metadata.Annotations[annotationCertificate]
	if name == "" {
		return out, nil
	}
	if facts.Issue == nil {
		return nil, fmt.Errorf("it serves TLS as %s and nobody issues certificates", name)
	}
	certificate, key, authority, err := facts.Issue(name, []string{name, name + "." + domain})
	if err != nil {
		return nil, fmt.Errorf("issuing the certificate of %s: %w", name, err)
	}
	out["certificate"], out["key"], out["authority"] = string(certificate), string(key), string(authority)
	return out, nil
}

// execute runs the templates and decodes what they print, in a fixed order.
func execute(c *chart.Chart, values map[string]any, facts Facts) ([]unstructured.Unstructured, error) {
	capabilities := common.DefaultCapabilities.Copy()
	if facts.KubernetesVersion != "" {
		version, err := common.ParseKubeVersion(facts.KubernetesVersion)
		if err != nil {
			return nil, fmt.Errorf("reading version %q: %w", facts.KubernetesVersion, err)
		}
		capabilities.KubeVersion = *version
	}
	printed, err := engine.Engine{Strict: true}.RenderWithContext(context.Background(), c, common.Values{
		"Values": values, "Capabilities": capabilities, "Chart": c.Metadata,
		"Release": map[string]any{
			"Name": c.Metadata.Name, "Namespace": Namespace, "Service": "Slipway", "IsInstall": true, "IsUpgrade": false, "Revision": 1,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("running templates: %w", err)
	}
	var objects []unstructured.Unstructured
	for _, file := range sortedKeys(printed) {
		if strings.HasSuffix(file, ".tpl") || strings.HasSuffix(file, "NOTES.txt") {
			continue
		}
		some, err := decode(printed[file])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		objects = append(objects, some...)
	}
	slices.SortStableFunc(objects, func(a, b unstructured.Unstructured) int { return order(a) - order(b) })
	return objects, nil
}

// decode reads the objects of one printed template; hooks are refused by name.
func decode(text string) ([]unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var objects []unstructured.Unstructured
	for {
		var text json.RawMessage
		err := decoder.Decode(&text)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		var o unstructured.Unstructured
		if err == nil {
			err = utiljson.Unmarshal(text, &o.Object) // whole numbers stay whole, as the API wants them
		}
		if err != nil {
			return nil, fmt.Errorf("decoding: %w", err)
		}
		if len(o.Object) == 0 {
			continue
		}
		if o.GetAPIVersion() == "" || o.GetKind() == "" || o.GetName() == "" {
			return nil, fmt.Errorf("an object lacks apiVersion, kind or name: %s %s %q", o.GetAPIVersion(), o.GetKind(), o.GetName())
		}
		if hook := o.GetAnnotations()[annotationHook]; hook != "" {
			return nil, fmt.Errorf("%s %s is a hook (%s); hooks are not supported", o.GetKind(), o.GetName(), hook)
		}
		objects = append(objects, o)
	}
}

// order puts what others refer to first, and the registration of an API, which needs a server behind it, last.
func order(o unstructured.Unstructured) int {
	first := []string{
		"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ConfigMap", "Secret",
		"Service", "PodDisruptionBudget",
	}
	if i := slices.Index(first, o.GetKind()); i >= 0 {
		return i
	}
	if o.GetKind() == "APIService" {
		return len(first) + 1
	}
	return len(first)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
