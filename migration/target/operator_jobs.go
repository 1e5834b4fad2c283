package target

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	yamlv3 "go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/slipway-dev/slipway/migration/config"
)

// The keys of the Secret.
const (
	jobsKey          = "scrape-configs.yaml"
	alertmanagersKey = "alertmanagers.yaml"
	alertRelabelKey  = "alert-relabel.yaml"
	originalKey      = "original.yaml"
)

// filesVolume is the volume of files of targets.
const filesVolume = "slipway-files"

// maxRules is what the operator takes of one PrometheusRule (MaxConfigMapDataSize of its pkg/operator).
const maxRules = maxObject / 2

// jobs refers to what the objects hold.
func (x *Operator) jobs() error {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	name := JobsSecretName(x.before.Name)
	in := func(key string) *corev1.SecretKeySelector {
		return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
	}
	c.AdditionalScrapeConfigs = in(jobsKey)
	x.changed("jobs", "spec.additionalScrapeConfigs", "Secret "+name, "the operator appends these jobs as they are")
	if x.Config.Has("alerting") { // not while the source alone alerts
		if s.AdditionalAlertManagerConfigs != nil || s.AdditionalAlertRelabelConfigs != nil {
			x.found(RuleOperatorSettings, Refused, "spec.additionalAlertManagerConfigs", "the Prometheus has Alertmanagers of its own there, and the source's would take their place",
				"put them into the source's configuration, or into spec.alerting")
		}
		if x.Config.Node("alerting", "alertmanagers", 0) != nil {
			s.AdditionalAlertManagerConfigs = in(alertmanagersKey)
		}
		if x.Config.Node("alerting", "alert_relabel_configs", 0) != nil {
			s.AdditionalAlertRelabelConfigs = in(alertRelabelKey)
		}
		x.changed("alerting", "spec.additionalAlertManagerConfigs", "Secret "+name, "the operator appends the source's Alertmanagers as they are")
	}
	files, err := x.mountedFiles()
	if err != nil || len(files) == 0 {
		return err
	}
	c.Volumes = append(slices.Clone(c.Volumes), corev1.Volume{Name: filesVolume, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: x.filesName()}}}})
	c.VolumeMounts = slices.Clone(c.VolumeMounts)
	for _, f := range files {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: filesVolume, MountPath: f.Path, SubPath: f.Key, ReadOnly: true})
	}
	x.found(RuleOperatorFiles, Look, "spec.volumeMounts",
		fmt.Sprintf("%d files of targets are mounted one by one, as they were given: the pod does not see later changes of ConfigMap %s", len(files), x.filesName()),
		"where a program writes them, mount what it writes in their place")
	return nil
}

func (x *Operator) filesName() string { return FilesName(x.before.Name) }

// FilesName is the name of the ConfigMap of files of targets among the manifests of a Prometheus.
func FilesName(prometheus string) string { return prometheus + "-slipway-files" }

// mountedFiles are the files of the source that are no rule files, at the path that they have there.
func (x *Operator) mountedFiles() ([]file, error) {
	var all []file
	keys, total := map[string]string{}, 0
	for _, name := range slices.Sorted(maps.Keys(x.o.Source.Files)) {
		if x.isRuleFile(name) {
			continue
		}
		text := x.o.Source.Files[name]
		key := notInKey.ReplaceAllString(strings.TrimPrefix(name, "/"), "_")
		if total += len(key) + len(text); total > maxObject || !utf8.Valid(text) {
			return nil, fmt.Errorf("writing the files of targets: with %s they have %d bytes, or it is no UTF-8 text, "+
				"and one ConfigMap has to hold all; leave it out here and mount it by spec.volumes", name, total)
		}
		if other, taken := keys[key]; taken {
			return nil, fmt.Errorf("writing the files of targets: %s and %s would have the same key %s in a ConfigMap; rename one of them", other, name, key)
		}
		keys[key] = name
		all = append(all, file{key, name, string(text)})
	}
	return all, nil
}

// write makes what the stages refer to. Alertmanagers are taken from the stage at which they count.
func (x *Operator) write(cutOver *Operator) error {
	secret, err := x.secret(cutOver)
	if err != nil {
		return err
	}
	all := []runtime.Object{secret}
	files, err := x.mountedFiles()
	if err != nil {
		return err
	}
	if len(files) > 0 {
		m := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: x.meta(x.filesName()), Data: map[string]string{}}
		for _, f := range files {
			m.Data[f.Key] = f.Text
		}
		all = append(all, m)
	}
	rules, err := x.readRules()
	if err != nil {
		return err
	}
	all = append(all, rules...)
	var docs []string
	for _, o := range all {
		doc, err := yaml.Marshal(o)
		if err != nil {
			return fmt.Errorf("writing the objects: %w", err)
		}
		docs = append(docs, string(doc))
	}
	x.manifests = &Manifests{YAML: []byte(strings.Join(docs, "---\n")), Objects: all}
	return nil
}

func (x *Operator) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: x.o.Migration.Namespace, Labels: map[string]string{labelInstance: x.before.Name, labelManagedBy: manager}}
}

func (x *Operator) secret(cutOver *Operator) (*corev1.Secret, error) {
	data := map[string]string{}
	for key, n := range map[string]*yamlv3.Node{jobsKey: x.Config.Node("scrape_configs"), alertmanagersKey: cutOver.Config.Node("alerting", "alertmanagers"),
		alertRelabelKey: cutOver.Config.Node("alerting", "alert_relabel_configs")} {
		if n == nil && key != jobsKey {
			continue
		}
		text, err := x.verbatim(key, n)
		if err != nil {
			return nil, err
		}
		data[key] = text
	}
	original, err := yaml.Marshal(map[string]any{"apiVersion": "monitoring.coreos.com/v1", "kind": monitoringv1.PrometheusesKind,
		"metadata": map[string]string{"name": x.before.Name, "namespace": x.before.Namespace}, "spec": x.before.Spec})
	if err != nil {
		return nil, fmt.Errorf("writing the Prometheus: %w", err)
	}
	data[originalKey] = string(original)
	return &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: x.meta(JobsSecretName(x.before.Name)), StringData: data}, nil
}

// readRules makes a PrometheusRule of each rule file.
func (x *Operator) readRules() ([]runtime.Object, error) {
	var all []runtime.Object
	files := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(x.o.Source.Files)) {
		if !x.isRuleFile(name) {
			continue
		}
		r := &monitoringv1.PrometheusRule{TypeMeta: metav1.TypeMeta{APIVersion: "monitoring.coreos.com/v1", Kind: monitoringv1.PrometheusRuleKind}, ObjectMeta: x.meta(ruleName(x.before.Name, name))}
		if s := x.before.Spec.RuleSelector; s != nil {
			maps.Copy(r.Labels, s.MatchLabels)
		}
		if err := yaml.UnmarshalStrict(x.o.Source.Files[name], &r.Spec); err != nil {
			return nil, fmt.Errorf("reading %s as a PrometheusRule: %w", name, err)
		}
		if other := files[r.Name]; other != "" {
			return nil, fmt.Errorf("writing the rules: %s and %s would become one PrometheusRule %s; rename one of them", other, name, r.Name)
		}
		files[r.Name] = name
		if n := len(x.o.Source.Files[name]); n > maxRules {
			x.found(RuleOperatorRules, Refused, name, fmt.Sprintf("it has %d bytes; the operator leaves a PrometheusRule of more than %d out", n, maxRules), "split the file on the source first")
		}
		all = append(all, r)
	}
	if len(all) > 0 {
		x.found(RuleOperatorRules, Look, "PrometheusRule",
			"the operator gives rule files paths of its own, and the time at which a group is evaluated follows from the path: recorded samples get other times than on the source",
			"nothing: the seam is cut for each series; do not compare recorded samples by their time")
	}
	return all, nil
}

func (x *Operator) isRuleFile(name string) bool {
	for _, n := range items(x.Config.Node(), "rule_files") {
		if ok, err := path.Match(x.absolute(n.Value), name); err == nil && ok {
			return true
		}
	}
	return false
}

// ruleName is a name that Kubernetes takes, with the file in it.
func ruleName(prometheus, file string) string {
	base := strings.TrimSuffix(strings.TrimPrefix(file, "/"), path.Ext(file))
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(base))
	return prometheus + "-" + strings.Trim(clean, "-")
}

// verbatim writes a list of the configuration so that it means the same after the operator has read it into YAML values of its
// own, written those, and put them elsewhere: what Prometheus reads as text is in quotes where the operator would write another
// text, and paths are absolute.
func (x *Operator) verbatim(key string, list *yamlv3.Node) (string, error) {
	if list == nil {
		return "[]\n", nil
	}
	list = copied(list)
	if key == jobsKey {
		for _, job := range list.Content {
			x.inherit(job)
		}
	}
	visit(list, config.Path{key}, func(n *yamlv3.Node, at config.Path) {
		if changes(n, at) {
			n.Style, n.Tag = yamlv3.DoubleQuotedStyle, "!!str"
		}
		// A relative path begins at the configuration, which lies elsewhere in the operator's pod.
		if last, _ := at[len(at)-1].(string); n.Value != "" && (isFileList(at) || strings.HasSuffix(last, "_file")) {
			n.Value = x.absolute(n.Value)
		}
		x.checkVariables(at.String(), n.Value)
	})
	text, err := yamlv3.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", key, err)
	}
	return string(text), nil
}

// inherit gives a job what it would inherit from global, where the operator may have no field for it.
func (x *Operator) inherit(job *yamlv3.Node) {
	g := x.Config.Node("global")
	for _, key := range inherited() {
		if v := value(g, key); v != nil && value(job, key) == nil && job.Kind == yamlv3.MappingNode {
			job.Content = append(job.Content, &yamlv3.Node{Kind: yamlv3.ScalarNode, Value: key}, copied(v))
		}
	}
}

// copied is a copy of a node in which aliases are what they stand for.
func copied(n *yamlv3.Node) *yamlv3.Node {
	n = followed(n)
	c := *n
	c.Anchor, c.HeadComment, c.LineComment, c.FootComment = "", "", "", ""
	c.Content = make([]*yamlv3.Node, len(n.Content))
	for i, o := range n.Content {
		c.Content[i] = copied(o)
	}
	return &c
}

// variable is what the config-reloader replaces by a variable of its environment; it ends where there is no such variable.
var variable = regexp.MustCompile(`\$\([A-Za-z0-9_]+\)`)

func (x *Operator) checkVariables(where, text string) {
	if found := variable.FindString(text); found != "" {
		x.found(RuleOperatorVariables, Refused, where,
			found+" means a variable of the environment to the operator's config-reloader: the configuration would be loaded with another text, or not at all",
			"write it otherwise, in a regular expression as $()"+strings.TrimPrefix(found, "$"))
	}
}

// changes says whether the operator would write a plain scalar as another text that means something else to Prometheus. It reads
// YAML 1.1 (gopkg.in/yaml.v2): yes is true, 007 is 7, 1.10 is 1.1. Prometheus reads such a word as text where it wants text.
func changes(n *yamlv3.Node, at config.Path) bool {
	if n.Style&(yamlv3.DoubleQuotedStyle|yamlv3.SingleQuotedStyle|yamlv3.LiteralStyle|yamlv3.FoldedStyle|yamlv3.TaggedStyle) != 0 {
		return false
	}
	if slices.Contains([]string{"y", "yes", "on", "n", "no", "off", "true", "false"}, strings.ToLower(n.Value)) {
		return n.Value != "true" && n.Value != "false" && isText(at)
	}
	written, isNumber := number(n.Value)
	return isNumber && written != n.Value && !isCount(at)
}

// number is how the operator writes what it reads as a number.
func number(text string) (written string, isNumber bool) {
	plain := strings.ReplaceAll(text, "_", "")
	if text == "" || !strings.ContainsRune("+-.0123456789", rune(text[0])) {
		return "", false
	}
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return strconv.FormatUint(u, 10), true
	}
	if f, err := strconv.ParseFloat(plain, 64); err == nil {
		return strconv.FormatFloat(f, 'g', -1, 64), true
	}
	return "", false
}

// isText says that a word like yes is text in this place.
func isText(at config.Path) bool {
	last, _ := at[len(at)-1].(string)
	if slices.Contains([]string{"replacement", "regex", "separator", "target_label", "job_name", "username", "password", "credentials", "bearer_token", "client_id", "client_secret"}, last) {
		return true
	}
	for i, step := range at {
		if name, _ := step.(string); i > 0 && slices.Contains([]string{"labels", "params", "targets", "source_labels", "headers", "files", "names"}, name) {
			return true
		}
	}
	return false
}

// isCount says that a number in this place is meant as one.
func isCount(at config.Path) bool {
	last, _ := at[len(at)-1].(string)
	return strings.HasSuffix(last, "_limit") || strings.HasSuffix(last, "_factor") || slices.Contains([]string{"modulus", "keep_dropped_targets", "port"}, last)
}
