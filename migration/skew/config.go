package skew

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// learn takes from a configuration what expressions are judged by.
func (c *Checker) learn(n *yamlNode) {
	c.server.configured = true
	every := time.Minute // scrape_interval and evaluation_interval, config/config.go, DefaultGlobalConfig
	if d, ok := duration(get(n, "global", "scrape_interval")); ok {
		every = d
	}
	if d, ok := duration(get(n, "global", "evaluation_interval")); ok {
		c.server.evaluation = d
	}
	c.server.native = c.server.native || str(get(n, "global", "scrape_native_histograms")) == "true"
	for _, job := range items(get(n, "scrape_configs")) {
		own := every
		if d, ok := duration(get(job, "scrape_interval")); ok {
			own = d
		}
		c.server.jobs[str(get(job, "job_name"))] = own
		c.server.native = c.server.native || str(get(job, "scrape_native_histograms")) == "true"
		for _, rc := range items(get(job, "metric_relabel_configs")) {
			if label, ok := writesBack(rc); ok {
				c.server.keeps[label] = true
			}
		}
	}
}

// configCheck is a configuration being checked.
type configCheck struct {
	c    *Checker
	src  *source
	root *yamlNode
	dots *dots
}

func (c *Checker) checkConfig(src *source, n *yamlNode) {
	x := &configCheck{c: c, src: src, root: n, dots: &dots{}}
	x.global()
	for _, job := range items(get(n, "scrape_configs")) {
		x.job(job)
	}
	x.contentType()
	for _, am := range items(get(n, "alerting", "alertmanagers")) {
		x.alertmanager(am)
	}
	for _, rw := range items(get(n, "remote_write")) {
		x.remoteWrite(rw)
	}
	x.relabel(get(n, "alerting", "alert_relabel_configs"), "alert_relabel_configs", false)
	c.reportDots(x.dots)
}

// at records a finding at a node.
func (x *configCheck) at(n *yamlNode, f Finding) {
	f.File = x.src.name
	f.Line, f.Column = x.src.place(x.src.offset(n.Line, n.Column))
	x.c.add(f)
}

func (x *configCheck) global() {
	global, body := pair(x.root, "global")
	if _, labels := pair(body, "external_labels"); labels != nil && !x.c.opts.Flags.feature("expand-external-labels") {
		x.externalLabels(labels)
	}
	where, words := global, "add it under global"
	if where == nil {
		where, words = x.root, "add a global section with it"
	}
	if get(body, "metric_name_validation_scheme") == nil && get(x.root, "scrape_configs") != nil {
		x.at(where, Finding{
			Rule: ruleUTF8, Severity: Look, What: "metric and label names may hold any UTF-8 character, and targets may send such names",
			Why: "UTF-8 names are allowed from 3.0.0 on unless metric_name_validation_scheme says legacy; targets with such names were refused or sent them escaped",
			Fix: words + " to keep the names as they were until everything that reads them is ready (known from 2.55.0 on)",
			New: "metric_name_validation_scheme: legacy",
		})
	}
	if d, ok := duration(get(body, "scrape_interval")); ok {
		x.lookback(get(body, "scrape_interval"), d, "global")
	}
}

// externalLabels: from 3.0.0 on $name and ${name} are taken from the environment (config/config.go, Load).
func (x *configCheck) externalLabels(labels *yamlNode) {
	for i := 0; i+1 < len(labels.Content); i += 2 {
		key, value := labels.Content[i], resolve(labels.Content[i+1])
		text := str(value)
		used := false
		expanded := os.Expand(text, func(string) string { used = true; return "" })
		if !used && expanded == text {
			continue
		}
		x.at(value, Finding{
			Rule: ruleExternalLabels, Severity: Differs, Where: "external label " + key.Value,
			What: fmt.Sprintf("the value %s is filled from the environment", text),
			Why:  "$name and ${name} in external labels are replaced from 3.0.0 on, before only with a feature flag; unknown names become empty, and series and alerts get another identity",
			Fix:  "write $$ for each $ that is meant as it is, together with the server: 2.x keeps both",
			Old:  text, New: strings.ReplaceAll(text, "$", "$$"),
		})
	}
}

// lookback: a sample as old as the lookback is too old from 3.0.0 on.
func (x *configCheck) lookback(n *yamlNode, every time.Duration, where string) {
	if every != x.c.server.lookback {
		return
	}
	x.at(n, Finding{
		Rule: ruleLookback, Severity: Look, Where: where,
		What: fmt.Sprintf("scrapes are as far apart as a query looks back (%v)", model.Duration(every)),
		Why:  "a sample exactly as old as the lookback is not found from 3.0.0 on, so a scrape that is a little late leaves a gap",
		Fix:  "scrape more often than --query.lookback-delta, or make that longer",
	})
}

func (x *configCheck) job(job *yamlNode) {
	where := "job " + str(get(job, "job_name"))
	if key, _ := pair(job, "scrape_classic_histograms"); key != nil {
		old := x.src.line(key.Line)
		x.at(key, Finding{
			Rule: ruleClassicOption, Severity: Breaks, Where: where, What: "scrape_classic_histograms is not known, and the configuration is refused",
			Why: "it is called always_scrape_classic_histograms from 3.0.0 on; 2.55 does not know that name, so change it together with the server",
			Fix: "rename it", Old: old, New: strings.Replace(old, "scrape_classic_histograms", "always_scrape_classic_histograms", 1),
		})
	}
	if d, ok := duration(get(job, "scrape_interval")); ok {
		x.lookback(get(job, "scrape_interval"), d, where)
	}
	x.ports(job, where)
	x.kubernetes(job, where)
	x.hetzner(job, where)
	x.relabel(get(job, "relabel_configs"), where, false)
	x.relabel(get(job, "metric_relabel_configs"), where, true)
}

// contentType tells once for all jobs: what targets send cannot be seen in a file.
func (x *configCheck) contentType() {
	key, jobs := pair(x.root, "scrape_configs")
	var names []string
	for _, job := range items(jobs) {
		if get(job, "fallback_scrape_protocol") == nil {
			names = append(names, str(get(job, "job_name")))
		}
	}
	if len(names) == 0 {
		return
	}
	x.at(key, Finding{
		Rule: ruleContentType, Severity: Look, Where: plural(len(names), "job") + ": " + list(names, 5),
		What: "targets that send no Content-Type, or one that is not known, are not scraped any more",
		Why:  "2.x read them as the text format; from 3.0.0 on the scrape fails unless the job has fallback_scrape_protocol (not known to 2.x)",
		Fix:  "ask each target (curl -sI URL/metrics | grep -i content-type); where none comes, add the line to its job together with the server",
		New:  "fallback_scrape_protocol: PrometheusText0.0.4",
	})
}

func (x *configCheck) alertmanager(am *yamlNode) {
	key, version := pair(am, "api_version")
	if str(version) == "v1" {
		old := x.src.line(key.Line)
		x.at(version, Finding{
			Rule: ruleAlertmanagerV1, Severity: Breaks, Where: "alerting", What: "api_version v1 is refused, and the server does not start",
			Why: "from 3.0.0 on Prometheus speaks v2 alone, which Alertmanager knows from 0.16.0 on",
			Fix: "change it now, 2.x knows v2 as well", Old: old, New: strings.Replace(old, "v1", "v2", 1),
		})
	}
	x.relabel(get(am, "relabel_configs"), "alerting", false)
	x.relabel(get(am, "alert_relabel_configs"), "alerting", false)
}

func (x *configCheck) remoteWrite(rw *yamlNode) {
	where := "remote_write " + str(get(rw, "url"))
	if name := str(get(rw, "name")); name != "" {
		where = "remote_write " + name
	}
	// Go speaks HTTP/2 over TLS alone.
	tls := strings.HasPrefix(str(get(rw, "url")), "https:")
	if tls && get(rw, "http_config", "enable_http2") == nil && get(rw, "enable_http2") == nil {
		x.at(rw, Finding{
			Rule: ruleRemoteWriteHTTP2, Severity: Differs, Where: where, What: "samples are sent with HTTP/1.1",
			Why: "the default of enable_http2 in remote_write is false from 3.0.0 on, so that shards get connections of their own",
			Fix: "nothing, unless what stands between needs HTTP/2: then add the line to this entry", New: "enable_http2: true",
		})
	}
	if key, _ := pair(get(rw, "queue_config"), "max_retries"); key != nil {
		x.at(key, Finding{
			Rule: ruleRemoteRetries, Severity: Breaks, Where: where, What: "max_retries is not known, and the configuration is refused",
			Why: "it was removed in 2.11.0 and had no effect for some time before", Fix: "remove the line", Old: x.src.line(key.Line),
		})
	}
	x.relabel(get(rw, "write_relabel_configs"), where, true)
}

// kubernetes: from 3.0.0 on only the v1 APIs are asked.
func (x *configCheck) kubernetes(job *yamlNode, where string) {
	for _, sd := range items(get(job, "kubernetes_sd_configs")) {
		role := get(sd, "role")
		since := map[string]string{"endpointslice": "1.21", "ingress": "1.19"}[str(role)]
		if since == "" {
			continue
		}
		x.at(role, Finding{
			Rule: ruleKubernetesBeta, Severity: Look, Where: where, What: fmt.Sprintf("role %s needs Kubernetes %s or later", role.Value, since),
			Why: "the v1beta1 API is not asked any more from 3.0.0 on", Fix: "kubectl version; nothing to do for any Kubernetes of today",
		})
	}
}

// hetzner: the label of role hcloud followed the API of Hetzner out.
func (x *configCheck) hetzner(job *yamlNode, where string) {
	const label = "__meta_hetzner_datacenter"
	if !slices.ContainsFunc(items(get(job, "hetzner_sd_configs")), func(sd *yamlNode) bool { return str(get(sd, "role")) == "hcloud" }) {
		return
	}
	for _, rc := range items(get(job, "relabel_configs")) {
		for _, l := range items(get(rc, "source_labels")) {
			if l.Kind == yaml.ScalarNode && l.Value == label {
				x.at(l, Finding{
					Rule: ruleHetzner, Severity: Breaks, Where: where, What: label + " is empty for role hcloud",
					Why: "3.14.0 dropped it, since Hetzner's API no longer tells it", Fix: "use __meta_hetzner_hcloud_location (the location without the number of the data center; known from 3.11.0 on)",
				})
			}
		}
	}
}
