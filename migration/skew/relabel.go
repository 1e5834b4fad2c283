package skew

import (
	"net"
	"regexp"
	"slices"
	"strings"
)

// relabel looks at a list of relabelling steps; samples says that they see samples and so le and quantile.
func (x *configCheck) relabel(list *yamlNode, where string, samples bool) {
	for _, rc := range items(list) {
		pattern := get(rc, "regex")
		if pattern == nil {
			continue
		}
		if dotted(pattern.Value) && x.c.has(ruleNewline) {
			x.dots.note(yamlText(x.src, pattern), 0, where)
		}
		if samples {
			x.bucketStep(rc, pattern, where)
		}
	}
}

// bucketStep: relabelling sees values of le and quantile as they are stored.
func (x *configCheck) bucketStep(rc, pattern *yamlNode, where string) {
	action := strings.ToLower(str(get(rc, "action")))
	label, part, alone := bucketPart(rc, pattern.Value)
	if label == "" || strings.HasPrefix(action, "label") || action == "hashmod" {
		return
	}
	lost, values := lostValues(label, part)
	if len(lost) == 0 {
		return
	}
	f := Finding{
		Rule: ruleBucketValue, Severity: Look, Where: where,
		What: "the regex does not match what these values of " + label + " are stored as any more: " + examples(lost, values),
		Why:  "from 3.0.0 on le and quantile are written as OpenMetrics writes numbers before relabelling sees them",
		Fix:  "change it together with the server",
	}
	if values != nil {
		f.Severity = Differs
	}
	if action == "keep" && values != nil && len(lost) == len(values) {
		f.Severity, f.What = Breaks, f.What+"; all these series are dropped"
	}
	if values != nil && alone {
		f.Old, f.New = pattern.Value, strings.Join(values, "|")
	}
	x.at(pattern, f)
}

// writesBack knows the step by which the migration guide keeps the old values: 1.0 becomes 1 again.
func writesBack(rc *yamlNode) (label string, ok bool) {
	pattern := str(get(rc, "regex"))
	label, part, _ := bucketPart(rc, pattern)
	if label == "" || str(get(rc, "target_label")) != label || get(rc, "replacement") != nil {
		return "", false
	}
	re, err := regexp.Compile("^(?:" + part + ")$")
	if err != nil {
		return "", false
	}
	m := re.FindStringSubmatch("1.0")
	return label, len(m) > 1 && m[1] == "1"
}

// bucketPart is the part of a regex that is held against le or quantile; alone says that it is the whole regex. The
// label is empty where there is none, or where the regex cannot be taken apart.
func bucketPart(rc *yamlNode, pattern string) (label, part string, alone bool) {
	var names []string
	for _, n := range items(get(rc, "source_labels")) {
		names = append(names, str(n))
	}
	i := slices.IndexFunc(names, func(n string) bool { return n == "le" || n == "quantile" })
	if i < 0 {
		return "", "", false
	}
	if len(names) == 1 {
		return names[0], pattern, true
	}
	separator := ";"
	if s := get(rc, "separator"); s != nil {
		separator = s.Value
	}
	if separator == "" {
		return "", "", false
	}
	parts := strings.Split(pattern, separator)
	if len(parts) != len(names) {
		return "", "", false
	}
	if _, err := regexp.Compile(parts[i]); err != nil {
		return "", "", false // a group reaches over the separator
	}
	return names[i], parts[i], false
}

// ports: 2.x wrote the default port of the scheme into addresses without one, or with a feature flag took it out of those
// with one; 3.x takes addresses as they are. instance is made of the address unless relabelling sets it.
func (x *configCheck) ports(job *yamlNode, where string) {
	scheme := "http"
	if s := str(get(job, "scheme")); s != "" {
		scheme = s
	}
	steps := relabelled(job)
	if len(steps["__scheme__"])+len(steps["instance"]) > 0 {
		return // another port for each target, or an instance that is not made of the address
	}
	if setters := steps["__address__"]; len(setters) > 0 {
		for _, rc := range setters {
			if replacement := get(rc, "replacement"); replacement != nil && !strings.Contains(replacement.Value, "$") {
				x.port(replacement, scheme, where)
			}
		}
		return
	}
	for _, static := range items(get(job, "static_configs")) {
		if get(static, "labels", "instance") != nil {
			continue
		}
		for _, target := range items(get(static, "targets")) {
			x.port(target, scheme, where)
		}
	}
}

// relabelled are the relabelling steps of a job by the label that they set.
func relabelled(job *yamlNode) map[string][]*yamlNode {
	steps := map[string][]*yamlNode{}
	for _, rc := range items(get(job, "relabel_configs")) {
		target := str(get(rc, "target_label"))
		steps[target] = append(steps[target], rc)
	}
	return steps
}

func (x *configCheck) port(n *yamlNode, scheme, where string) {
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	if port == "" || str(n) == "" {
		return
	}
	var before string
	host, given, err := net.SplitHostPort(n.Value)
	removes := x.c.opts.Flags.feature("no-default-scrape-port")
	switch {
	case removes && err == nil && given == port:
		before = host
	case !removes && err != nil:
		if _, _, err := net.SplitHostPort(n.Value + ":1234"); err != nil {
			return // no address
		}
		before = n.Value + ":" + port
	default:
		return
	}
	x.at(n, Finding{
		Rule: ruleDefaultPort, Severity: Differs, Where: where,
		What: "the label instance becomes " + n.Value + ", it was " + before + ": all series of the target are new ones",
		Why:  "from 3.0.0 on the default port is neither added to nor removed from the address of a target",
		Fix:  "write the address as it was stored before", Old: n.Value, New: before,
	})
}
