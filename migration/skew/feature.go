package skew

import (
	"strings"
)

// feature is a name of --enable-feature that a version no longer takes. Unknown names are a warning in the log, so the
// server starts without what they stood for.
type feature struct {
	since    Version
	severity Severity
	what     string
	flag     string // that stands for it now
	fix      string
}

// features were read in setFeatureListOptions of cmd/prometheus/main.go of 2.25.0, 2.33.0, 2.42.0, 2.55.0, 3.0.0, 3.9.0 and 3.16.0.
func features() map[string]feature {
	v3 := Version{3, 0, 0}
	byDefault := func(since Version) feature {
		return feature{since, Look, "it is always on, and the name is a warning in the log", "", "leave the name out"}
	}
	return map[string]feature{
		"agent": {v3, Breaks, "the name is ignored: the server starts as a full server, not as an agent, or refuses the agent's flags",
			"--agent", "give the flag in its place"},
		"remote-write-receiver": {v3, Breaks, "the name is ignored: what is sent to /api/v1/write is refused",
			"--web.enable-remote-write-receiver", "give the flag in its place; 2.33.0 and later know it"},
		"otlp-write-receiver": {v3, Breaks, "the name is ignored: what is sent to /api/v1/otlp is refused",
			"--web.enable-otlp-receiver", "give the flag in its place"},
		"no-default-scrape-port":          {v3, Look, "the name is ignored: ports are neither added nor removed", "", "leave the name out; see the rule default-port"},
		"promql-at-modifier":              byDefault(v3),
		"promql-negative-offset":          byDefault(v3),
		"new-service-discovery-manager":   byDefault(v3),
		"expand-external-labels":          byDefault(v3),
		"auto-gomaxprocs":                 byDefault(v3),
		"auto-gomemlimit":                 byDefault(v3),
		"utf8-names":                      byDefault(v3),
		"ooo-native-histograms":           byDefault(Version{3, 4, 0}),
		"promql-duration-expr":            byDefault(Version{3, 14, 0}),
		"promql-extended-range-selectors": byDefault(Version{3, 16, 0}),
		"native-histograms": {Version{3, 9, 0}, Breaks, "the name has no effect: native histograms are not scraped", "",
			"set scrape_native_histograms: true under global in the configuration (known from 3.8.0 on) and leave the name out"},
	}
}

func (c *Checker) checkFeatures() {
	given := c.opts.Flags.features()
	all := features()
	now := c.newFeatures(given, all)
	for _, name := range given {
		f, ok := all[name]
		if !ok || name == "native-histograms" && c.server.native {
			continue
		}
		c.add(Finding{
			Rule: ruleFeatureFlag, Severity: f.severity, Since: &f.since, Where: "feature " + name, What: f.what,
			Why: "the feature flag went in " + f.since.String(), Fix: f.fix,
			Old: "--enable-feature=" + strings.Join(given, ","), New: now,
		})
	}
}

// newFeatures is the command line that means to the new server what the given features mean to the old one.
func (c *Checker) newFeatures(given []string, all map[string]feature) string {
	var names, flags []string
	for _, name := range given {
		f, ok := all[name]
		switch {
		case !ok || !c.crosses(&f.since):
			names = append(names, name)
		case f.flag != "":
			flags = append(flags, f.flag)
		}
	}
	if len(names) > 0 {
		flags = append([]string{"--enable-feature=" + strings.Join(names, ",")}, flags...)
	}
	return strings.Join(flags, " ")
}

// checkServer tells what concerns the server as a whole.
func (c *Checker) checkServer() {
	c.add(Finding{
		Rule: ruleDowngrade, Severity: Look, What: "the way back ends at 2.55",
		Why: "what 3.x writes is read by 2.55 and later only",
		Fix: "stay on 2.55 until it is seen to work, and keep 2.55 at hand for the way back, nothing older",
	})
	c.add(Finding{
		Rule: ruleLogFormat, Severity: Look, What: "log lines look different: " + c.logExample(),
		Why: "Prometheus logs through log/slog from 3.0.0 on", Fix: "change what reads the log: time for ts, source for caller, levels in capitals",
	})
	if !c.opts.Flags.feature("auto-gomemlimit") || !c.opts.Flags.feature("auto-gomaxprocs") {
		c.add(Finding{
			Rule: ruleAutoLimits, Severity: Look, What: "memory and CPU limits of the container are taken over by the Go runtime",
			Why: "GOMEMLIMIT and GOMAXPROCS are set from the cgroup from 3.0.0 on, before only with feature flags",
			Fix: "nothing; --no-auto-gomemlimit and --no-auto-gomaxprocs turn it off",
		})
	}
	if c.opts.Flags == nil {
		c.report.Notes = append(c.report.Notes, "the flags of the old server were not given: removed flags and features are not looked for")
		return
	}
	c.checkRemovedFlags()
	if c.opts.Flags.value("web.config.file") != "" && c.opts.Flags.value("web.external-url") == "" {
		c.add(Finding{
			Rule: ruleExternalURL, Severity: Look, Where: "flag --web.external-url", What: "links in alerts begin with https:// if the web configuration has TLS",
			Why: "without --web.external-url the scheme follows --web.config.file from 3.16.0 on, before it was http always",
			Fix: "nothing, unless something compares these links: then give --web.external-url",
		})
	}
}

func (c *Checker) logExample() string {
	if c.opts.Flags.value("log.format") == "json" {
		return `{"time":…,"level":"INFO","source":…,"msg":…} for {"caller":…,"level":"info","msg":…,"ts":…}`
	}
	return "time=… level=INFO source=… msg=… for ts=… caller=… level=info msg=…"
}
