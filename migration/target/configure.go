package target

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/skew"
)

// planConfig derives the configuration.
func (p *Plan) planConfig() error {
	p.Config = p.o.Source.Config.Named(p.paths.config)
	if masked := p.Config.Masked(); len(masked) > 0 {
		return &MaskedError{File: p.o.Source.Config.Name(), Places: masked}
	}
	steps := []func() error{p.switchOff, p.mendSkew, p.scrapeAsBefore, p.keepAsBefore, p.selfScrape, p.readPast}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("planning the configuration: %w", err)
		}
	}
	p.checkSkew()
	p.checkFiles()
	p.checkJobs()
	return nil
}

// MaskedError is a configuration that a server told: it writes <secret> for what is secret.
type MaskedError struct {
	File   string
	Places []config.Place
}

// Error names all places.
func (e *MaskedError) Error() string {
	places := make([]string, len(e.Places))
	for i, p := range e.Places {
		places[i] = fmt.Sprintf("%s (line %d)", p.Path, p.Line)
	}
	return fmt.Sprintf("%s holds masks in place of secrets, as a server tells its configuration: %s; give the file itself, from the old server's host",
		e.File, strings.Join(places, ", "))
}

// edit keeps a step if it worked.
func (p *Plan) edit(f *config.File, err error) error {
	if err == nil {
		p.Config = f
	}
	return err
}

// switchOff takes out what must not happen twice.
func (p *Plan) switchOff() error {
	for _, off := range []struct{ section, name, why string }{
		{sectionAlerting, "alerting-off", "until the cutover the source alone sends alerts"},
		{sectionRemoteWrite, "remote-write-off", "until the cutover the source alone writes: the receiver would get every sample twice"},
	} {
		if !p.without(off.section) || !p.Config.Has(off.section) {
			continue
		}
		without, _, err := p.Config.TakeOut(off.section)
		if err := p.edit(without, err); err != nil {
			return err
		}
		if slices.Contains(p.o.Leave, off.section) {
			p.changed(off.name, off.section, "taken out; it stays with the source", "the cutover leaves it there")
			continue
		}
		p.changed(off.name, off.section, "taken out; it comes back at the cutover", off.why)
	}
	return nil
}

// mendSkew changes what the new version refuses or reads otherwise, where the file says what stands in its place.
func (p *Plan) mendSkew() error {
	report, err := p.skewed(map[string][]byte{p.Config.Name(): p.Config.Bytes()})
	if err != nil {
		return err
	}
	// From the last to the first: an edit does not move what stands before it.
	for _, f := range slices.Backward(report.Findings) {
		at := p.Config.PathAt(f.Line, f.Column)
		if f.File == "" || at == nil {
			continue
		}
		switch f.Rule {
		case "classic-histograms-option":
			err = p.edit(p.Config.Rename(at, "always_scrape_classic_histograms"))
		case "alertmanager-v1":
			err = p.edit(p.Config.SetText(at, "v2"))
		case "external-label-variables", "default-port":
			err = p.edit(p.Config.SetText(at, f.New))
		default:
			continue
		}
		if err != nil {
			return err
		}
		p.changed(f.Rule, at.String(), f.What, f.Why)
	}
	return nil
}

// checkSkew tells what is left: what breaks refuses.
func (p *Plan) checkSkew() {
	report, err := p.skewed(map[string][]byte{p.Config.Name(): p.Config.Bytes()})
	if err != nil {
		return // mendSkew has told
	}
	for _, f := range report.Findings {
		verdict, where := Look, f.Where
		switch {
		case f.File == "" && (f.Rule == "removed-flag" || f.Rule == "feature-flag"):
			continue // the flags are planned
		case f.Severity == skew.Breaks:
			verdict = Refused
		}
		if f.Line > 0 {
			where = fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		p.found(f.Rule, verdict, where, f.What+": "+f.Why, f.Fix)
	}
}

// crosses says that the move goes over a version.
func (p *Plan) crosses(v skew.Version) bool {
	return p.o.Source.Version.Before(v) && !p.Version.Before(v)
}

// scrapeAsBefore keeps 3.x scraping what 2.x scraped.
func (p *Plan) scrapeAsBefore() error {
	if p.crosses(skew.Version{Major: 3}) && p.Config.Has("scrape_configs") {
		if p.Config.Node("global", "metric_name_validation_scheme") == nil {
			if err := p.edit(p.Config.SetKey(config.Path{"global"}, "metric_name_validation_scheme", "legacy")); err != nil {
				return err
			}
			p.changed("utf8-names", "global.metric_name_validation_scheme", "legacy", "from 3.0.0 on targets may send names with any character; what reads the data may not be ready")
		}
		for i, job := range p.jobs() {
			if text(job, "fallback_scrape_protocol") != "" {
				continue
			}
			if err := p.edit(p.Config.SetKey(config.Path{"scrape_configs", i}, "fallback_scrape_protocol", "PrometheusText0.0.4")); err != nil {
				return err
			}
			p.changed("content-type", fmt.Sprintf("scrape_configs[%d].fallback_scrape_protocol", i), "PrometheusText0.0.4 for job "+text(job, "job_name"),
				"from 3.0.0 on a target that names no format is not scraped; 2.x read it as text")
		}
	}
	native := slices.Contains(p.o.Source.Flags.Features(), "native-histograms")
	if native && p.crosses(skew.Version{Major: 3, Minor: 9}) && p.Config.Node("global", "scrape_native_histograms") == nil {
		if err := p.edit(p.Config.SetKey(config.Path{"global"}, "scrape_native_histograms", true)); err != nil {
			return err
		}
		p.changed("native-histograms", "global.scrape_native_histograms", "true", "the source has the feature native-histograms, which has no effect from 3.9.0 on")
	}
	return nil
}

// keepAsBefore: a retention in the configuration counts before the flag.
func (p *Plan) keepAsBefore() error {
	want := p.o.Migration.Spec.Target.StatefulSet.Retention
	if n := p.Config.Node("storage", "tsdb", "retention", "time"); n == nil || want == "" || n.Value == want {
		return nil
	}
	return p.edit(p.Config.SetText(config.Path{"storage", "tsdb", "retention", "time"}, want))
}

// relabelling is a step of relabel_configs.
type relabelling struct {
	SourceLabels []string `yaml:"source_labels,flow"`
	Regex        string   `yaml:"regex"`
	TargetLabel  string   `yaml:"target_label"`
	Replacement  string   `yaml:"replacement"`
}

// selfScrape looks for targets on the source's own loopback: on the target they are somebody else.
func (p *Plan) selfScrape() error {
	name := p.o.Migration.Spec.Target.StatefulSet.Name
	for i, job := range p.jobs() {
		for _, address := range loopbacks(job) {
			at := config.Path{"scrape_configs", i, "relabel_configs"}
			where := fmt.Sprintf("job %s, target %s", text(job, "job_name"), address)
			if p.isItself(address) {
				step := relabelling{[]string{"__address__"}, regexp.QuoteMeta(address), "instance", name + ":" + strconv.Itoa(int(p.port))}
				if err := p.edit(p.Config.Append(at, step)); err != nil {
					return err
				}
				p.changed("self-scrape", where, "instance becomes "+step.Replacement,
					"the server scrapes itself here: old and new would be one series with the samples of both")
				if err := p.selfPort(at, where, address); err != nil {
					return err
				}
				continue
			}
			if err := p.reachSource(at, where, address); err != nil {
				return err
			}
		}
	}
	return nil
}

// selfPort leads the server's scrape of itself to where it listens now.
func (p *Plan) selfPort(at config.Path, where, address string) error {
	host, port, err := net.SplitHostPort(address)
	own := strconv.Itoa(int(p.port))
	if err != nil || port == own {
		return nil
	}
	there := net.JoinHostPort(host, own)
	p.changed("self-scrape", where, "scraped at "+there, "the new server listens there")
	return p.edit(p.Config.Append(at, relabelling{[]string{"__address__"}, regexp.QuoteMeta(address), "__address__", there}))
}

// reachSource leads a loopback target to the source's host, and keeps its instance.
func (p *Plan) reachSource(at config.Path, where, address string) error {
	host, err := netip.ParseAddr(p.o.Migration.Spec.Source.Host.Address)
	_, port, noPort := net.SplitHostPort(address)
	if err != nil || noPort != nil {
		p.found(RuleLoopback, Look, where, "it is a program on the source's host; in the cluster this address is the pod itself, where nothing answers",
			"give source.host.address, or let the target listen on an address of the network and write that; keep the label instance")
		return nil
	}
	there := net.JoinHostPort(host.String(), port)
	for _, step := range []relabelling{
		{[]string{"instance", "__address__"}, ";" + regexp.QuoteMeta(address), "instance", address},
		{[]string{"__address__"}, regexp.QuoteMeta(address), "__address__", there},
	} {
		if err := p.edit(p.Config.Append(at, step)); err != nil {
			return err
		}
	}
	p.changed(RuleLoopback, where, "scraped at "+there+", with the same instance", "in the cluster its address is the pod itself")
	p.found(RuleLoopback, Look, where, "it is scraped at "+there+" from the cluster", "make sure that it listens there, and not on loopback alone")
	return nil
}

// isItself says that an address is the source's own.
func (p *Plan) isItself(address string) bool {
	_, port, err := net.SplitHostPort(address)
	own := p.port
	if u := sourcePort(p.o.Migration.Spec.Source); u != 0 {
		own = u
	}
	return err == nil && (port == strconv.Itoa(int(own)) || port == strconv.Itoa(int(p.port)))
}

// loopbacks are the addresses on loopback among the static targets of a job.
func loopbacks(job *yaml.Node) []string {
	var all []string
	for _, static := range items(job, "static_configs") {
		for _, target := range items(static, "targets") {
			host, _, err := net.SplitHostPort(target.Value)
			if err != nil {
				host = target.Value
			}
			a, err := netip.ParseAddr(host)
			if (host == "localhost" || err == nil && a.IsLoopback()) && !slices.Contains(all, target.Value) {
				all = append(all, target.Value)
			}
		}
	}
	return all
}

// remoteRead is the read shim as Prometheus configures it.
type remoteRead struct {
	URL  string `yaml:"url"`
	Name string `yaml:"name"`
	// The shim alone knows where the target's own data begins: without this the target would not ask it for a hole between blocks.
	ReadRecent bool `yaml:"read_recent"`
	// The shim sees each question as it is, and takes the source's external labels off itself: with the default filter they would be
	// matched, and a source without them would answer nothing, silently (storage/remote/read.go).
	FilterExternalLabels bool       `yaml:"filter_external_labels"`
	TLS                  *tlsConfig `yaml:"tls_config,omitempty"`
}

// tlsConfig is how the server shows itself to the shim.
type tlsConfig struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

const (
	// ShimFolder is where the Secret with the certificates for the shim is mounted.
	ShimFolder = "/etc/slipway/shim"
	// shimServerName is what the shim's certificate is made out to, whatever its address (migration/transfer, InitCredentials).
	shimServerName = "slipway-source"
)

// ShimName is the name of the read shim in the configuration.
const ShimName = "slipway-shim"

// bridged says that the target asks the shim. After the cutover it does not: a source that fails would fail the users' questions.
func (s Stage) bridged() bool { return s == Bridge }

func (p *Plan) readPast() error {
	if !p.Stage.bridged() {
		return nil
	}
	if p.Config.Node("remote_read", 0) != nil {
		p.found(RuleOwnRemoteRead, Look, "remote_read", "the source reads from other servers as well, and the target does, too", "make sure that the target reaches them")
	}
	shim := p.o.Migration.Spec.Target.StatefulSet.Shim
	read := remoteRead{URL: shimURL(shim), Name: ShimName, ReadRecent: true}
	if p.o.ShimSecret != "" {
		read.TLS = &tlsConfig{ShimFolder + "/ca.crt", ShimFolder + "/tls.crt", ShimFolder + "/tls.key", shimServerName}
	}
	if err := p.edit(p.Config.Append(config.Path{"remote_read"}, read)); err != nil {
		return err
	}
	p.changed("read-shim", "remote_read", "added: "+shimURL(shim), "until all blocks are installed the target answers for the past through the shim, which cuts at the target's own first sample")
	return nil
}

// checkFiles names what the configuration reads beside itself.
func (p *Plan) checkFiles() {
	missing := func(where, name string) {
		p.found(RuleFileNeeded, Look, where, name+" has to be there in the pod, too, and was not given",
			"give it beside the configuration; what is secret goes into a Secret that the template mounts")
	}
	visit(p.Config.Node(), nil, func(n *yaml.Node, at config.Path) {
		last, _ := at[len(at)-1].(string)
		where := fmt.Sprintf("%s:%d", p.paths.config, n.Line)
		list := isFileList(at)
		switch {
		case n.Value == "", strings.HasPrefix(n.Value, ShimFolder+"/"):
		case list && len(p.matching(n.Value)) == 0, strings.HasSuffix(last, "_file") && p.o.Source.Files[p.absolute(n.Value)] == nil:
			missing(where, p.absolute(n.Value))
		case list && at[0] == "scrape_config_files":
			p.found(RuleJobFiles, Look, where, "jobs in "+n.Value+" are taken over as they are: self-scrape and version skew were not looked at there",
				"move these jobs into the configuration, or look at them by hand")
		}
	})
}

// matching are the files that a pattern of the configuration means.
func (p *Plan) matching(pattern string) []string {
	var all []string
	for name := range p.o.Source.Files {
		if ok, err := path.Match(p.absolute(pattern), name); err == nil && ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

func (p *Plan) checkJobs() {
	for _, job := range p.jobs() {
		for _, sd := range items(job, "kubernetes_sd_configs") {
			if text(sd, "api_server") == "" {
				p.found(RuleKubernetes, Look, "job "+text(job, "job_name"), "it discovers pods by the ServiceAccount of the server's own pod, which has no rights as planned",
					"give the pod a ServiceAccount with the needed rights in the template")
			}
		}
	}
}

// jobs are the scrape jobs of the configuration as it is now.
func (p *Plan) jobs() []*yaml.Node { return items(p.Config.Node(), "scrape_configs") }

// Patterns are the files that a configuration reads beside itself and that are no secrets, as absolute patterns on the source, and
// the folder that holds the configuration there.
func Patterns(s Source) (dir string, patterns []string, err error) {
	p := &Plan{Config: s.Config, o: Options{Source: s}}
	if err := p.findPaths(); err != nil {
		return "", nil, err
	}
	visit(s.Config.Node(), nil, func(n *yaml.Node, at config.Path) {
		if n.Value != "" && isFileList(at) {
			patterns = append(patterns, p.absolute(n.Value))
		}
	})
	return p.paths.dir, patterns, nil
}

// isFileList says that an item at a path is a pattern of files.
func isFileList(at config.Path) bool {
	return len(at) > 1 && slices.Contains([]any{"rule_files", "scrape_config_files", "files"}, at[len(at)-2])
}
