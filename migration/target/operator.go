package target

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// Operator is a Prometheus of Prometheus Operator that is to become the new server.
type Operator struct {
	*Plan
	// Patch is a merge patch of the Prometheus, Undo the one that takes it back.
	Patch, Undo []byte
	// Objects are a Secret with the jobs and a PrometheusRule for each rule file, as YAML. The Secret may hold passwords.
	Objects []byte

	before, after *monitoringv1.Prometheus
	rules         []*monitoringv1.PrometheusRule
}

// The names of findings about Prometheus Operator; each is a trap in which a move loses data or hides it.
const (
	RuleOperatorReplicas   = "operator-replicas"
	RuleOperatorStorage    = "operator-storage"
	RuleOperatorSubPath    = "operator-sub-path"
	RuleOperatorThanos     = "operator-thanos"
	RuleOperatorCompaction = "operator-compaction"
	RuleOperatorJobs       = "operator-jobs"
	RuleOperatorRules      = "operator-rules"
	RuleOperatorSettings   = "operator-settings"
	RuleOperatorArguments  = "operator-arguments"
)

// ReadPrometheus reads a Prometheus as kubectl get prometheus NAME -o yaml writes it. Fields of a later version than that of our
// types are left alone: the patch does not name them.
func ReadPrometheus(data []byte) (*monitoringv1.Prometheus, error) {
	var p monitoringv1.Prometheus
	if err := yaml.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("reading the Prometheus: %w", err)
	}
	if p.Kind != monitoringv1.PrometheusesKind || p.APIVersion != "monitoring.coreos.com/v1" || p.Name == "" {
		return nil, fmt.Errorf("reading the Prometheus: it is %s of %s; want one Prometheus of monitoring.coreos.com/v1", orNone(p.Kind), orNone(p.APIVersion))
	}
	return &p, nil
}

// NewOperator plans a patch of a Prometheus.
func NewOperator(o Options, cr *monitoringv1.Prometheus) (*Operator, error) {
	spec := o.Migration.Spec.Target.Prometheus
	if spec == nil || spec.Name != cr.Name || cr.Namespace != "" && cr.Namespace != o.Migration.Namespace {
		return nil, fmt.Errorf("planning the target: target.prometheus is not %s/%s, which was given", cr.Namespace, cr.Name)
	}
	// What follows from the old server is the same for both kinds of target.
	same := &v1alpha1.StatefulSetTarget{Name: spec.Name, Retention: spec.Retention, Shim: spec.Shim, Image: ptr.Deref(cr.Spec.Image, ""), Version: cr.Spec.Version}
	if _, err := serverVersion(same); err != nil {
		return nil, fmt.Errorf("planning the target: neither spec.version nor the tag of spec.image of Prometheus %s says which version it is; set spec.version", cr.Name)
	}
	if s := cr.Spec.Storage; s != nil {
		if q, ok := s.VolumeClaimTemplate.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
			same.Storage.Size = &q
		}
	}
	m := *o.Migration
	m.Spec.Target = v1alpha1.Target{StatefulSet: same}
	o.Migration = &m
	p, err := New(o)
	if err != nil {
		return nil, err
	}
	x := &Operator{Plan: p, before: cr, after: cr.DeepCopy()}
	x.checkTraps()
	x.global()
	x.arguments()
	x.sections()
	if err := x.jobsAndRules(); err != nil {
		return nil, err
	}
	p.Findings = p.overridden(p.Findings)
	return x, x.patches()
}

// checkTraps names what the operator does by itself (pkg/prometheus of Prometheus Operator).
func (x *Operator) checkTraps() {
	s := x.before.Spec
	if n := ptr.Deref(s.Replicas, 1) * ptr.Deref(s.Shards, 1); n != 1 {
		x.found(RuleOperatorReplicas, Refused, "spec.replicas", fmt.Sprintf("there are %d pods, each with a volume of its own: blocks are installed into one", n), "set replicas and shards to 1 for the time of the move")
	}
	switch {
	case s.Storage == nil || s.Storage.EmptyDir != nil || s.Storage.Ephemeral != nil:
		x.found(RuleOperatorStorage, Refused, "spec.storage", "the data would lie in a volume that goes with the pod", "set spec.storage.volumeClaimTemplate")
	case !s.Storage.DisableMountSubPath:
		x.found(RuleOperatorSubPath, Look, "spec.storage", "the operator mounts the folder prometheus-db of the volume: blocks belong there and not at its root", "give the puller that folder as its directory")
	}
	x.checkCompaction()
	x.checkSelectors()
}

// checkCompaction looks at what decides about the length of blocks and who else reads them.
func (x *Operator) checkCompaction() {
	s := x.before.Spec
	if s.Thanos != nil {
		x.found(RuleOperatorThanos, Refused, "spec.thanos", "the sidecar uploads installed blocks of the source, and the operator holds back or forbids compaction while it does",
			"take spec.thanos out for the time of the move, or let it pass if the history is wanted in the object storage")
	}
	if s.DisableCompaction {
		x.found(RuleOperatorCompaction, Refused, "spec.disableCompaction", "the operator sets blocks of 2h at least and at most, the source has longer ones", "set it to false for the time of the move")
	}
}

// checkSelectors looks at what the operator adds to the source's jobs and rules.
func (x *Operator) checkSelectors() {
	s := x.before.Spec
	if s.AdditionalScrapeConfigs != nil && s.AdditionalScrapeConfigs.Name != x.secretName() {
		x.found(RuleOperatorJobs, Refused, "spec.additionalScrapeConfigs", "there are jobs of "+s.AdditionalScrapeConfigs.Name+" already, and the source's would take their place",
			"put them into the source's configuration, or make ScrapeConfigs of them")
	}
	if s.ServiceMonitorSelector != nil || s.PodMonitorSelector != nil || s.ProbeSelector != nil || s.ScrapeConfigSelector != nil {
		x.found(RuleOperatorJobs, Look, "spec", "it scrapes what monitors and ScrapeConfigs select, beside the source's jobs", "make sure that no target is in both: its series would be there twice")
	}
	if s.RuleSelector == nil {
		x.found(RuleOperatorRules, Refused, "spec.ruleSelector", "without a selector the operator takes no PrometheusRule at all", "set it, {} for all of the namespace")
	} else if len(s.RuleSelector.MatchExpressions) > 0 {
		x.found(RuleOperatorRules, Look, "spec.ruleSelector", "it has expressions, which the written rules may not match", "give them the labels that it asks for")
	}
}

func (x *Operator) secretName() string { return x.before.Name + "-slipway-jobs" }

// global carries what all jobs inherit: the operator's defaults are others than Prometheus' (30s for both intervals).
func (x *Operator) global() {
	c, g := &x.after.Spec.CommonPrometheusFields, x.Config.Node("global")
	c.ScrapeInterval, x.after.Spec.EvaluationInterval = "1m", "1m"
	for _, key := range keys(g) {
		v := text(g, key)
		switch key {
		case "scrape_interval":
			c.ScrapeInterval = monitoringv1.Duration(v)
		case "scrape_timeout":
			c.ScrapeTimeout = monitoringv1.Duration(v)
		case "evaluation_interval":
			x.after.Spec.EvaluationInterval = monitoringv1.Duration(v)
		case "scrape_native_histograms":
			c.ScrapeNativeHistograms = ptr.To(v == "true")
		case "metric_name_validation_scheme":
			c.NameValidationScheme = ptr.To(monitoringv1.UTF8NameValidationScheme)
			if v == "legacy" {
				c.NameValidationScheme = ptr.To(monitoringv1.LegacyNameValidationScheme)
			}
		case "external_labels":
		default:
			x.found(RuleOperatorSettings, Refused, "global."+key, "it has no counterpart that is known here", "set the field of the Prometheus by hand, and let it pass")
		}
	}
	x.changed("intervals", "spec.scrapeInterval, spec.evaluationInterval", string(c.ScrapeInterval)+", "+string(x.after.Spec.EvaluationInterval), "the operator's defaults are 30s; jobs and rules inherit them")
	c.ExternalLabels = map[string]string{}
	labels := value(g, "external_labels")
	for _, key := range keys(labels) {
		c.ExternalLabels[key] = text(labels, key)
	}
	c.PrometheusExternalLabelName, c.ReplicaExternalLabelName = ptr.To(""), ptr.To("")
	x.changed("external-labels", "spec.prometheusExternalLabelName, spec.replicaExternalLabelName", "empty, as the source has them not",
		"the operator adds prometheus and prometheus_replica to each question to the past, which then finds nothing, silently, and to each alert, which then comes twice")
}

// arguments carries the command line, where the operator has a field for it, and else as an additional argument.
func (x *Operator) arguments() {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	c.AdditionalArgs = slices.Clone(c.AdditionalArgs)
	number := func(v string) *int32 {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			x.found(RuleOperatorArguments, Refused, "the source's flags", v+" is no number that the operator takes", "set the field by hand, and let it pass")
		}
		return ptr.To(int32(n))
	}
	if s.Query == nil {
		s.Query = &monitoringv1.QuerySpec{}
	}
	fields := map[string]func(string){
		"storage.tsdb.retention.time": func(v string) { s.Retention = monitoringv1.Duration(v) }, "storage.tsdb.retention.size": func(v string) { s.RetentionSize = monitoringv1.ByteSize(v) },
		"query.lookback-delta": func(v string) { s.Query.LookbackDelta = &v }, "query.timeout": func(v string) { s.Query.Timeout = ptr.To(monitoringv1.Duration(v)) },
		"query.max-concurrency": func(v string) { s.Query.MaxConcurrency = number(v) }, "query.max-samples": func(v string) { s.Query.MaxSamples = number(v) },
		"web.enable-admin-api": func(string) { s.EnableAdminAPI = true }, "web.enable-remote-write-receiver": func(string) { c.EnableRemoteWriteReceiver = true },
		"web.enable-otlp-receiver": func(string) { c.EnableOTLPReceiver = ptr.To(true) }, "web.external-url": func(v string) { c.ExternalURL = v },
		"web.route-prefix": func(v string) { c.RoutePrefix = v }, "log.level": func(v string) { c.LogLevel = v }, "log.format": func(v string) { c.LogFormat = v },
		"enable-feature": func(v string) {
			for name := range strings.SplitSeq(v, ",") {
				if !slices.Contains(c.EnableFeatures, monitoringv1.EnableFeature(name)) {
					c.EnableFeatures = append(c.EnableFeatures, monitoringv1.EnableFeature(name))
				}
			}
		},
	}
	s.Retention, s.RetentionSize = "", ""
	for _, arg := range x.Args {
		name, v, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch set := fields[name]; {
		case slices.Contains([]string{"config.file", "storage.tsdb.path", "web.listen-address", "web.enable-lifecycle"}, name): // the operator's own
		case set != nil:
			set(v)
		default:
			c.AdditionalArgs = slices.DeleteFunc(c.AdditionalArgs, func(a monitoringv1.Argument) bool { return a.Name == name })
			c.AdditionalArgs = append(c.AdditionalArgs, monitoringv1.Argument{Name: name, Value: v})
		}
	}
	if s.Retention == "" && s.RetentionSize != "" {
		return
	}
	x.changed("operator-retention", "spec.retention", string(s.Retention), "without it the operator keeps 24h: all imported blocks would be deleted within a minute")
}

// sections carries the other parts of the configuration.
func (x *Operator) sections() {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	if x.Stage == Bridge || x.Stage == Verify {
		if s.Alerting != nil || s.AdditionalAlertManagerConfigs != nil || len(c.RemoteWrite) > 0 {
			x.changed("alerting-off", "spec.alerting, spec.additionalAlertManagerConfigs, spec.remoteWrite", "taken out; the undo patch has them", "until the cutover the source alone alerts and writes")
		}
		s.Alerting, s.AdditionalAlertManagerConfigs, c.RemoteWrite = nil, nil, nil
	}
	for _, name := range x.o.Source.Config.Sections() {
		switch name {
		case "global", "scrape_configs", "rule_files":
		case "alerting", "remote_write":
			x.found(RuleOperatorSettings, Look, name, "the operator writes this section from fields of its own, and the source's was not translated", "set spec.alerting and spec.remoteWrite at the cutover")
		case "storage":
			window := x.Config.Node("storage", "tsdb", "out_of_order_time_window")
			if window != nil {
				c.TSDB = &monitoringv1.TSDBSpec{OutOfOrderTimeWindow: ptr.To(monitoringv1.Duration(window.Value))}
			}
		default:
			x.found(RuleOperatorSettings, Refused, name, "the section has no counterpart that is known here", "set the fields of the Prometheus by hand, and let it pass")
		}
	}
	x.readPastOf(s, c)
}

// readPastOf leads questions about the past to the shim.
func (x *Operator) readPastOf(s *monitoringv1.PrometheusSpec, c *monitoringv1.CommonPrometheusFields) {
	s.RemoteRead = slices.DeleteFunc(slices.Clone(s.RemoteRead), func(r monitoringv1.RemoteReadSpec) bool { return r.Name == ShimName })
	if !x.Stage.bridged() {
		return
	}
	shim := x.o.Migration.Spec.Target.StatefulSet.Shim
	read := monitoringv1.RemoteReadSpec{URL: shimURL(shim), Name: ShimName, ReadRecent: true, FilterExternalLabels: ptr.To(false)}
	if name := x.o.ShimSecret; name != "" {
		key := func(key string) *corev1.SecretKeySelector {
			return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
		}
		read.TLSConfig = &monitoringv1.TLSConfig{SafeTLSConfig: monitoringv1.SafeTLSConfig{CA: monitoringv1.SecretOrConfigMap{Secret: key("ca.crt")},
			Cert: monitoringv1.SecretOrConfigMap{Secret: key("tls.crt")}, KeySecret: key("tls.key"), ServerName: ptr.To(shimServerName)}}
	}
	s.RemoteRead = append(s.RemoteRead, read)
	if shim.Image != "" {
		c.Containers = append(slices.DeleteFunc(slices.Clone(c.Containers), func(o corev1.Container) bool { return o.Name == ShimName }),
			corev1.Container{Name: ShimName, Image: shim.Image, Args: shim.Args, SecurityContext: containerSecurity()})
	}
}

// jobsAndRules writes the jobs into a Secret and each rule file into a PrometheusRule.
func (x *Operator) jobsAndRules() error {
	var jobs []any
	if n := x.Config.Node("scrape_configs"); n != nil {
		if err := n.Decode(&jobs); err != nil {
			return fmt.Errorf("reading the jobs: %w", err)
		}
	}
	data, err := yaml.Marshal(jobs)
	if err != nil {
		return fmt.Errorf("writing the jobs: %w", err)
	}
	labels := map[string]string{labelInstance: x.before.Name, labelManagedBy: manager}
	const key = "scrape-configs.yaml"
	all := []any{&corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: x.secretName(), Namespace: x.o.Migration.Namespace, Labels: labels}, StringData: map[string]string{key: string(data)}}}
	x.after.Spec.AdditionalScrapeConfigs = &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: x.secretName()}, Key: key}
	x.changed("jobs", "spec.additionalScrapeConfigs", "Secret "+x.secretName(), "the operator appends these jobs as they are")
	if s := x.before.Spec.RuleSelector; s != nil {
		maps.Copy(labels, s.MatchLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(x.o.Source.Files)) {
		if !x.isRuleFile(name) {
			continue
		}
		r := &monitoringv1.PrometheusRule{TypeMeta: metav1.TypeMeta{APIVersion: "monitoring.coreos.com/v1", Kind: monitoringv1.PrometheusRuleKind},
			ObjectMeta: metav1.ObjectMeta{Name: ruleName(x.before.Name, name), Namespace: x.o.Migration.Namespace, Labels: labels}}
		if err := yaml.UnmarshalStrict(x.o.Source.Files[name], &r.Spec); err != nil {
			return fmt.Errorf("reading %s as a PrometheusRule: %w", name, err)
		}
		if slices.ContainsFunc(x.rules, func(o *monitoringv1.PrometheusRule) bool { return o.Name == r.Name }) {
			return fmt.Errorf("writing the rules: two files would become PrometheusRule %s; rename %s", r.Name, name)
		}
		x.rules, all = append(x.rules, r), append(all, r)
	}
	if len(x.rules) > 0 {
		x.found(RuleOperatorRules, Look, "PrometheusRule", "the operator gives rule files paths of its own, and the time at which a group is evaluated follows from the path: recorded samples get other times than on the source",
			"nothing: the seam is cut for each series; do not compare recorded samples by their time")
	}
	var docs []string
	for _, o := range all {
		doc, err := yaml.Marshal(o)
		if err != nil {
			return fmt.Errorf("writing the objects: %w", err)
		}
		docs = append(docs, string(doc))
	}
	x.Objects = []byte(strings.Join(docs, "---\n"))
	return nil
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

// patches compares the Prometheus before and after.
func (x *Operator) patches() error {
	before, err := json.Marshal(x.before)
	if err != nil {
		return fmt.Errorf("writing the Prometheus: %w", err)
	}
	after, err := json.Marshal(x.after)
	if err != nil {
		return fmt.Errorf("writing the Prometheus: %w", err)
	}
	for _, p := range []struct {
		from, to []byte
		into     *[]byte
	}{{before, after, &x.Patch}, {after, before, &x.Undo}} {
		patch, err := jsonpatch.CreateMergePatch(p.from, p.to)
		if err != nil {
			return fmt.Errorf("comparing the Prometheus before and after: %w", err)
		}
		if *p.into, err = yaml.JSONToYAML(patch); err != nil {
			return fmt.Errorf("writing the patch: %w", err)
		}
	}
	return nil
}
