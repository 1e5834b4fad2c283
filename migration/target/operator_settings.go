package target

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// global carries what all jobs inherit: the operator's defaults are others than Prometheus' (30s for both intervals). What else
// stands there and can stand in a job goes into each job: an operator that does not know a field of spec drops it, silently.
func (x *Operator) global() {
	s, c, g := &x.after.Spec, &x.after.Spec.CommonPrometheusFields, x.Config.Node("global")
	c.ScrapeInterval, c.ScrapeTimeout, s.EvaluationInterval, s.RuleQueryOffset, s.QueryLogFile = "1m", "", "1m", nil, ""
	for _, key := range keys(g) {
		switch v := text(g, key); key {
		case "scrape_interval":
			c.ScrapeInterval = monitoringv1.Duration(v)
		case "scrape_timeout":
			c.ScrapeTimeout = monitoringv1.Duration(v)
		case "evaluation_interval":
			s.EvaluationInterval = monitoringv1.Duration(v)
		case "rule_query_offset":
			s.RuleQueryOffset = ptr.To(monitoringv1.Duration(v))
		case "query_log_file":
			s.QueryLogFile = path.Base(v)
			x.changed("query-log", "spec.queryLogFile", "/var/log/prometheus/"+s.QueryLogFile, "elsewhere the pod's file system is read-only; the operator mounts a volume there")
		case "metric_name_validation_scheme":
			c.NameValidationScheme = ptr.To(monitoringv1.UTF8NameValidationScheme)
			if v == "legacy" {
				c.NameValidationScheme = ptr.To(monitoringv1.LegacyNameValidationScheme)
			}
		case "external_labels":
		default:
			if !slices.Contains(inherited(), key) {
				x.found(RuleOperatorSettings, Refused, "global."+key, "it has no counterpart that is known here", "set the field of the Prometheus by hand, and let it pass")
			}
		}
	}
	x.changed("intervals", "spec.scrapeInterval, spec.evaluationInterval", string(c.ScrapeInterval)+", "+string(s.EvaluationInterval), "the operator's defaults are 30s; jobs and rules inherit them")
	c.ExternalLabels = map[string]string{}
	labels := value(g, "external_labels")
	for _, key := range keys(labels) {
		c.ExternalLabels[key] = text(labels, key)
		x.checkVariables("global.external_labels."+key, c.ExternalLabels[key])
	}
	c.PrometheusExternalLabelName, c.ReplicaExternalLabelName = ptr.To(""), ptr.To("")
	x.changed("external-labels", "spec.prometheusExternalLabelName, spec.replicaExternalLabelName", "empty, as the source has them not",
		"the operator adds prometheus and prometheus_replica to each question to the past, which then finds nothing, silently, and to each alert, which then comes twice")
}

// inherited are the settings of global that a job can have, too, with the same meaning (config/config.go of Prometheus 3.16).
func inherited() []string {
	return []string{"scrape_protocols", "body_size_limit", "sample_limit", "target_limit", "label_limit", "label_name_length_limit", "label_value_length_limit", "keep_dropped_targets",
		"metric_name_validation_scheme", "metric_name_escaping_scheme", "scrape_native_histograms", "always_scrape_classic_histograms", "convert_classic_histograms_to_nhcb",
		"extra_scrape_metrics"}
}

// arguments carries the command line, where the operator has a field for it, and else as an additional argument. An argument that
// the operator gives by itself may not be given as an additional one: it would not write the StatefulSet any more.
func (x *Operator) arguments() {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	c.AdditionalArgs = slices.Clone(c.AdditionalArgs)
	fields := x.argumentFields()
	// What is not given is the default on both servers.
	s.Retention, s.RetentionSize, s.Query, s.Rules = "", "", &monitoringv1.QuerySpec{}, monitoringv1.Rules{}
	for _, arg := range x.Args {
		name, v, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch set := fields[name]; {
		case slices.Contains([]string{"config.file", "storage.tsdb.path", "web.listen-address", "web.enable-lifecycle", "web.route-prefix"}, name): // the operator's own
		case set != nil:
			set(v)
		default:
			c.AdditionalArgs = slices.DeleteFunc(c.AdditionalArgs, func(a monitoringv1.Argument) bool { return a.Name == name })
			c.AdditionalArgs = append(c.AdditionalArgs, monitoringv1.Argument{Name: name, Value: v})
		}
	}
	if *s.Query == (monitoringv1.QuerySpec{}) {
		s.Query = nil
	}
	// The operator always gives a prefix, / by default; Prometheus takes the path of its external address.
	if cmp.Or(c.RoutePrefix, "/") != cmp.Or(x.prefix, "/") {
		c.RoutePrefix = cmp.Or(x.prefix, "/")
		x.changed("route-prefix", "spec.routePrefix", c.RoutePrefix, "users ask the new server under the same paths as the old one")
	}
	if s.Retention != "" || s.RetentionSize == "" {
		x.changed("operator-retention", "spec.retention", string(s.Retention), "without it the operator keeps 24h: all imported blocks would be deleted within a minute")
	}
}

// argumentFields are the fields of spec that become arguments (BuildCommonPrometheusArgs and buildServerArgs of the operator).
func (x *Operator) argumentFields() map[string]func(string) {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	return map[string]func(string){
		"storage.tsdb.retention.time": func(v string) { s.Retention = monitoringv1.Duration(v) }, "storage.tsdb.retention.size": func(v string) { s.RetentionSize = monitoringv1.ByteSize(v) },
		"query.lookback-delta": func(v string) { s.Query.LookbackDelta = &v }, "query.timeout": func(v string) { s.Query.Timeout = ptr.To(monitoringv1.Duration(v)) },
		"query.max-concurrency": func(v string) { s.Query.MaxConcurrency = x.number(v) }, "query.max-samples": func(v string) { s.Query.MaxSamples = x.number(v) },
		"rules.alert.for-outage-tolerance": func(v string) { s.Rules.Alert.ForOutageTolerance = v }, "rules.alert.for-grace-period": func(v string) { s.Rules.Alert.ForGracePeriod = v },
		"rules.alert.resend-delay": func(v string) { s.Rules.Alert.ResendDelay = v },
		"web.enable-admin-api":     func(string) { s.EnableAdminAPI = true }, "web.enable-remote-write-receiver": func(string) { c.EnableRemoteWriteReceiver = true },
		"web.enable-otlp-receiver": func(string) { c.EnableOTLPReceiver = ptr.To(true) }, "web.external-url": func(v string) { c.ExternalURL = v },
		"log.level": func(v string) { c.LogLevel = v }, "log.format": func(v string) { c.LogFormat = v },
		"enable-feature": func(v string) {
			c.EnableFeatures = slices.Clone(c.EnableFeatures)
			for name := range strings.SplitSeq(v, ",") {
				if !slices.Contains(c.EnableFeatures, monitoringv1.EnableFeature(name)) {
					c.EnableFeatures = append(c.EnableFeatures, monitoringv1.EnableFeature(name))
				}
			}
		},
	}
}

func (x *Operator) number(v string) *int32 {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		x.found(RuleOperatorArguments, Refused, "the source's flags", v+" is no number that the operator takes", "set the field by hand, and let it pass")
	}
	return ptr.To(int32(n))
}

// sections carries the other parts of the configuration.
func (x *Operator) sections() {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	if x.without(sectionAlerting) && (s.Alerting != nil || s.AdditionalAlertManagerConfigs != nil) {
		x.changed("alerting-off", "spec.alerting, spec.additionalAlertManagerConfigs", "taken out, until the cutover where alerts move", "the source alone alerts")
		s.Alerting, s.AdditionalAlertManagerConfigs = nil, nil
	}
	if x.without(sectionRemoteWrite) && len(c.RemoteWrite) > 0 {
		x.changed("remote-write-off", "spec.remoteWrite", "taken out, until the cutover where it moves", "the source alone writes: the receiver would get every sample twice")
		c.RemoteWrite = nil
	}
	c.TSDB, s.Exemplars = nil, nil
	for _, name := range x.o.Source.Config.Sections() {
		switch name {
		case "global", "scrape_configs", "rule_files", "alerting":
		case sectionRemoteWrite:
			x.checkRemoteWrite()
		case "storage":
			x.storage()
		default:
			x.found(RuleOperatorSettings, Refused, name, "the section has no counterpart that is known here", "set the fields of the Prometheus by hand, and let it pass")
		}
	}
	x.readPastOf(s, c)
}

// checkRemoteWrite: there is no field that takes the section as it is, and a cutover that waits for it would wait for ever.
func (x *Operator) checkRemoteWrite() {
	const fix = "set spec.remoteWrite before the move: it is held back until the cutover"
	switch {
	case slices.Contains(x.o.Leave, sectionRemoteWrite):
	case len(x.before.Spec.RemoteWrite) == 0:
		x.found(RuleOperatorRemoteWrite, Refused, sectionRemoteWrite, "the source writes remotely, and the Prometheus has no spec.remoteWrite: nobody would write after the cutover",
			fix+"; or leave it with the source (spec.cutover.remoteWrite: Leave)")
	default:
		x.found(RuleOperatorRemoteWrite, Look, sectionRemoteWrite, "the operator writes this section from spec.remoteWrite, and the source's was not translated",
			"make sure that both say the same; it is held back until the cutover")
	}
}

// storage carries what the operator has fields for; retention there is one of the arguments.
func (x *Operator) storage() {
	s, c := &x.after.Spec, &x.after.Spec.CommonPrometheusFields
	if window := x.Config.Node("storage", "tsdb", "out_of_order_time_window"); window != nil {
		c.TSDB = &monitoringv1.TSDBSpec{OutOfOrderTimeWindow: ptr.To(monitoringv1.Duration(window.Value))}
	}
	if most := x.Config.Node("storage", "exemplars", "max_exemplars"); most != nil {
		n, err := strconv.ParseInt(most.Value, 10, 64)
		if err != nil {
			x.found(RuleOperatorSettings, Refused, "storage.exemplars.max_exemplars", most.Value+" is no number", "set spec.exemplars by hand, and let it pass")
			return
		}
		s.Exemplars = &monitoringv1.Exemplars{MaxSize: &n}
	}
}

// readPastOf leads questions about the past to the shim. A container of the shim stays until the last stage: taking it out restarts
// the server, and after the proof nothing restarts it on purpose.
func (x *Operator) readPastOf(s *monitoringv1.PrometheusSpec, c *monitoringv1.CommonPrometheusFields) {
	shim := x.o.Migration.Spec.Target.StatefulSet.Shim
	if x.Stage.bridged() {
		read := monitoringv1.RemoteReadSpec{URL: shimURL(shim), Name: ShimName, ReadRecent: true, FilterExternalLabels: ptr.To(false)}
		if name := x.o.ShimSecret; name != "" {
			key := func(key string) *corev1.SecretKeySelector {
				return &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}
			}
			read.TLSConfig = &monitoringv1.TLSConfig{SafeTLSConfig: monitoringv1.SafeTLSConfig{CA: monitoringv1.SecretOrConfigMap{Secret: key("ca.crt")},
				Cert: monitoringv1.SecretOrConfigMap{Secret: key("tls.crt")}, KeySecret: key("tls.key"), ServerName: ptr.To(shimServerName)}}
		}
		s.RemoteRead = append(slices.Clone(s.RemoteRead), read)
	}
	if shim.Image != "" && x.Stage != Final {
		c.Containers = append(slices.Clone(c.Containers), corev1.Container{Name: ShimName, Image: shim.Image, Args: shim.Args, SecurityContext: containerSecurity()})
		x.found(RuleOperatorShim, Look, "target.prometheus.shim.image", "the shim is a container of the server's pod: the stage Final takes it out, which restarts the server",
			"run the shim as a Deployment of its own, and give its url alone")
	}
}
