package target

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/slipway-dev/slipway/migration/skew"
)

// kept are the flags that the new server gets from the old one where they say something else than these defaults, which have
// been the same since each flag came (cmd/prometheus/main.go, 2.0.0 to 3.16.0, but for those in since).
func kept() map[string]string {
	return map[string]string{
		"query.lookback-delta": "5m", "query.timeout": "2m", "query.max-concurrency": "20", "query.max-samples": "50000000",
		"rules.alert.for-outage-tolerance": "1h", "rules.alert.for-grace-period": "10m", "rules.alert.resend-delay": "1m", "rules.max-concurrent-evals": "4",
		"alertmanager.notification-queue-capacity": "10000", "alertmanager.notification-batch-size": "256", "alertmanager.drain-notification-queue-on-shutdown": "true",
		"storage.remote.flush-deadline": "1m", "storage.remote.read-sample-limit": "5e7", "storage.remote.read-concurrent-limit": "10",
		"storage.remote.read-max-bytes-in-frame": "1048576",
		"storage.tsdb.wal-segment-size":          "0B", "storage.tsdb.max-block-chunk-segment-size": "0B", "storage.tsdb.samples-per-chunk": "120",
		"storage.tsdb.head-chunks-write-queue-size": "0", "storage.tsdb.allow-overlapping-compaction": "true",
		"scrape.adjust-timestamps": "true", "scrape.timestamp-tolerance": "2ms", "scrape.discovery-reload-interval": "5s",
		"web.read-timeout": "5m", "web.max-connections": "512", "web.page-title": "Prometheus Time Series Collection and Processing Server",
		"web.cors.origin": ".*", "web.external-url": "", "web.route-prefix": "", "web.enable-admin-api": "false", "web.enable-remote-write-receiver": "false",
		"web.enable-otlp-receiver": "false", "log.level": "info", "log.format": "logfmt", "enable-feature": "",
		"auto-gomaxprocs": "true", "auto-gomemlimit": "true", "auto-gomemlimit.ratio": "0.9",
	}
}

// otherDefaults are values that a release told for a flag that nobody gave: they are not carried over either.
func otherDefaults(name string) []string {
	return map[string][]string{
		"storage.tsdb.wal-segment-size": {"0", "0MB"}, "storage.tsdb.max-block-chunk-segment-size": {"0", "0MB"},
		"scrape.timestamp-tolerance": {"0s"}, "query.max-samples": {"5e+07"}, "storage.remote.read-sample-limit": {"50000000"},
		"alertmanager.notification-batch-size": {"64"}, "web.external-url": {"<nil>"}, "enable-feature": {"[]"},
		// Until 2.55 it was a feature; the API tells it as off.
		"auto-gomaxprocs": {"false"}, "auto-gomemlimit": {"false"},
	}[name]
}

// own are flags that the plan decides about.
func own() []string {
	return []string{"config.file", "storage.tsdb.path", "storage.tsdb.retention", "storage.tsdb.retention.time", "storage.tsdb.retention.size",
		"storage.tsdb.min-block-duration", "storage.tsdb.max-block-duration", "storage.tsdb.no-lockfile", "storage.tsdb.wal-compression", "storage.tsdb.wal-compression-type",
		"storage.tsdb.block-reload-interval", "storage.tsdb.delay-compact-file.path", "storage.tsdb.delayed-compaction.max-percent",
		"web.listen-address", "web.enable-lifecycle", "web.config.file", "web.console.templates", "web.console.libraries", "web.user-assets", "agent",
		"config.auto-reload", "config.auto-reload-interval", "auto-gomemlimit.refresh-interval", "web.max-notifications-subscribers",
		// Gone: what they meant is told by migration/skew where somebody gave them.
		"alertmanager.timeout", "storage.tsdb.allow-overlapping-blocks", "storage.exemplars.exemplars-limit", "scrape.name-escaping-scheme",
		// Debian's own: where its pages stand, and the lock the other way round.
		"web.local-assets", "storage.tsdb.use-lockfile",
		"web.remote-write-receiver.accepted-protobuf-messages", "web.search.max-limit", "version", "help", "write-documentation"}
}

// planFlags makes the command line.
func (p *Plan) planFlags() error {
	flags := p.o.Source.Flags
	if v, _ := flags.Get("agent"); v == "true" || slices.Contains(flags.Features(), "agent") {
		return fmt.Errorf("planning the target: the source is an agent, which has no blocks to move")
	}
	if flags == nil {
		p.found(RuleFlagsUnknown, Refused, "the source's flags", "they are not known: retention, block length, lookback and features of the target would be guesses",
			"curl http://source:9090/api/v1/status/flags > flags.json, and give that")
	}
	p.listen()
	p.Args = []string{"--config.file=" + p.paths.flag, "--storage.tsdb.path=" + p.storage, "--web.listen-address=:" + strconv.Itoa(int(p.port)), "--web.enable-lifecycle"}
	if v, _ := flags.Get("web.enable-lifecycle"); v != "true" {
		p.changed("lifecycle", "--web.enable-lifecycle", "added", "the configuration is loaded anew at the cutover without a restart")
	}
	if err := p.retention(); err != nil {
		return err
	}
	if err := p.blockDurations(); err != nil {
		return err
	}
	p.reloadInterval()
	p.carry()
	p.web()
	return nil
}

// reloadsBlocks is the first version with --storage.tsdb.block-reload-interval (changelog of 3.9.0, #16728).
func reloadsBlocks() skew.Version { return skew.Version{Major: 3, Minor: 9} }

// reloadInterval: each block that is installed is waited for until the server has seen it, which is once a minute by default. A look reads a
// small file for each block.
func (p *Plan) reloadInterval() {
	if p.Version.Before(reloadsBlocks()) {
		return
	}
	p.Args = append(p.Args, "--storage.tsdb.block-reload-interval=5s")
	p.changed("block-reload-interval", "--storage.tsdb.block-reload-interval", "5s in place of a minute", "a block that is installed is seen at once, and one that is broken, too")
}

func (p *Plan) listen() {
	p.port = 9090
	addresses := p.o.Source.Flags.Values("web.listen-address")
	if len(addresses) > 0 {
		first := strings.Fields(strings.NewReplacer("[::]", "", "[", "", "]", "", ",", " ").Replace(addresses[0]))
		if len(first) > 0 {
			if n, err := strconv.ParseUint(first[0][strings.LastIndex(first[0], ":")+1:], 10, 16); err == nil && n > 0 {
				p.port = int32(n)
			}
		}
	}
	if p.o.port != 0 && p.port != p.o.port {
		p.changed("listen-address", "--web.listen-address", fmt.Sprintf("port %d in place of %d", p.o.port, p.port), "the operator lets every server listen there")
		p.port = p.o.port
	}
	if p.port < 1024 {
		p.changed("listen-address", "--web.listen-address", fmt.Sprintf("port 9090 in place of %d", p.port), "a pod without privileges cannot listen below 1024")
		p.port = 9090
	}
}

// carry takes over flags that the new server knows.
func (p *Plan) carry() {
	flags, table := p.o.Source.Flags, kept()
	replaced := p.skewFlags()
	for _, name := range flags.Names() {
		plain := strings.TrimPrefix(name, "no-")
		if slices.Contains(own(), name) || slices.Contains(own(), plain) || replaced[name] || strings.HasPrefix(name, "storage.agent.") || name == "enable-feature" {
			continue
		}
		value, _ := flags.Get(name)
		fallback, known := table[plain]
		switch {
		case !known:
			p.found(RuleUnknownFlag, Look, "--"+name, fmt.Sprintf("it is %q on the source, and it is not known what it means to %v; it was left out", value, p.Version),
				"if the target needs it, add it in the template")
		case name != plain:
			p.Args = append(p.Args, "--"+name)
		case value != fallback && !slices.Contains(otherDefaults(name), value):
			p.Args = append(p.Args, argument(name, value))
		}
	}
}

func argument(name, value string) string {
	if value == "true" || value == "" {
		return "--" + name
	}
	if value == "false" {
		return "--no-" + name
	}
	return "--" + name + "=" + value
}

// skewFlags takes over features in the words of the new version, and says which flags it has dealt with.
func (p *Plan) skewFlags() map[string]bool {
	done := map[string]bool{}
	report, err := p.skewed(nil)
	if err != nil { // a step back: the version's own finding tells
		return done
	}
	features := "--enable-feature=" + strings.Join(p.o.Source.Flags.Features(), ",")
	for _, f := range report.Findings {
		name, isFlag := strings.CutPrefix(f.Where, "flag --")
		switch {
		case f.Rule == "feature-flag":
			features = f.New
			p.changed("feature-flag", f.Where, "left out or written anew: "+orNone(f.New), f.What+"; "+f.Why)
		case f.Rule == "removed-flag" && isFlag:
			done[name] = true
			if name != "storage.tsdb.retention" {
				p.changed("removed-flag", "--"+name, "left out", f.Why+"; "+f.Fix)
			}
		}
	}
	if features != "--enable-feature=" && features != "" {
		p.Args = append(p.Args, strings.Fields(features)...)
	}
	return done
}

// skewed holds files against the new version.
func (p *Plan) skewed(files map[string][]byte) (*skew.Report, error) {
	c, err := skew.New(skew.Options{From: p.o.Source.Version, To: p.Version, Flags: p.o.Source.Flags})
	if err != nil {
		return nil, err
	}
	for name, data := range files {
		c.Add(name, data)
	}
	return c.Report(), nil
}

// keep is how long and how much a server keeps; zero is without end.
type keep struct {
	time model.Duration
	size string
}

// sourceKeeps: cmd/prometheus/main.go; without time and size it is 15 days, and the configuration (3.11.0 and later) counts before flags.
func (p *Plan) sourceKeeps() (keep, error) {
	var k keep
	for _, name := range []string{"storage.tsdb.retention", "storage.tsdb.retention.time"} {
		text, _ := p.o.Source.Flags.Get(name)
		if text == "" || text == "0s" {
			continue
		}
		d, err := model.ParseDuration(text)
		if err != nil {
			return k, fmt.Errorf("reading the source's --%s: %w", name, err)
		}
		k.time = d
	}
	if text, _ := p.o.Source.Flags.Get("storage.tsdb.retention.size"); text != "" && strings.Trim(text, "0BKMGTPEi") != "" {
		k.size = text
	}
	if n := p.o.Source.Config.Node("storage", "tsdb", "retention", "time"); n != nil {
		d, err := model.ParseDuration(n.Value)
		if err != nil {
			return k, fmt.Errorf("reading storage.tsdb.retention.time of the source's configuration: %w", err)
		}
		k.time = d
	}
	if n := p.o.Source.Config.Node("storage", "tsdb", "retention", "size"); n != nil {
		k.size = n.Value
	}
	if k.time == 0 && k.size == "" {
		k.time = model.Duration(15 * 24 * time.Hour)
	}
	return k, nil
}

// retention: a shorter one deletes imported blocks within a minute of their install.
func (p *Plan) retention() error {
	spec := p.o.Migration.Spec.Target.StatefulSet
	source, err := p.sourceKeeps()
	if err != nil {
		return err
	}
	want := source
	if spec.Retention != "" {
		if want.time, err = model.ParseDuration(spec.Retention); err != nil {
			return fmt.Errorf("reading target.statefulSet.retention: %w", err)
		}
	}
	if spec.RetentionSize != "" {
		want.size = spec.RetentionSize
	}
	p.checkRetention(source, want)
	if want.time != source.time {
		p.changed("retention", "--storage.tsdb.retention.time", fmt.Sprintf("%v in place of %v", want.time, source.time), "target.statefulSet.retention asks for it")
	}
	if want.time > 0 {
		p.Args = append(p.Args, "--storage.tsdb.retention.time="+want.time.String())
	}
	if want.size != "" {
		p.Args = append(p.Args, "--storage.tsdb.retention.size="+want.size)
	}
	return nil
}

func (p *Plan) checkRetention(source, want keep) {
	switch {
	case source.time > 0 && want.time > 0 && want.time < source.time:
		p.found(RuleRetention, Refused, "target.statefulSet.retention",
			fmt.Sprintf("%v is shorter than the source's %v: blocks older than that would be deleted within a minute of their install", want.time, source.time),
			fmt.Sprintf("say %v or more; shorten it after the move", source.time))
	case source.time == 0 && want.time > 0:
		p.found(RuleRetentionSize, Look, "target.statefulSet.retention", fmt.Sprintf("the source keeps %s whatever its age; blocks older than %v would be deleted", source.size, want.time),
			"make sure that nothing on the source is older, or leave it out")
	}
	if want.size != source.size {
		p.found(RuleRetentionSize, Look, "target.statefulSet.retentionSize", fmt.Sprintf("the source keeps %s by size, the target %s", orNone(source.size), want.size),
			"it counts the write-ahead log, too: keep it above what the source's data takes")
	}
}

// longestBlock is the default of main.go: a tenth of the retention, 31 days at most.
const longestBlock = 31 * 24 * time.Hour

// blockDurations are the source's effective ones. The default follows from the retention; with another length the target would
// compact all imported blocks anew.
func (p *Plan) blockDurations() error {
	source, err := p.sourceKeeps()
	if err != nil {
		return err
	}
	least, most := 2*time.Hour, longestBlock
	if source.time > 0 {
		most = min(most, time.Duration(source.time)/10)
	}
	for name, into := range map[string]*time.Duration{"storage.tsdb.min-block-duration": &least, "storage.tsdb.max-block-duration": &most} {
		text, _ := p.o.Source.Flags.Get(name)
		if text == "" || text == "0s" {
			continue
		}
		d, err := model.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("reading the source's --%s: %w", name, err)
		}
		*into = time.Duration(d)
	}
	most = max(most, least)
	p.Args = append(p.Args, "--storage.tsdb.min-block-duration="+model.Duration(least).String(), "--storage.tsdb.max-block-duration="+model.Duration(most).String())
	p.changed("block-duration", "--storage.tsdb.max-block-duration", model.Duration(most).String()+", as it is on the source", "with longer blocks the target would compact all imported ones anew")
	return nil
}

// web deals with what hangs on the address.
func (p *Plan) web() {
	flags := p.o.Source.Flags
	prefix, _ := flags.Get("web.route-prefix")
	external, _ := flags.Get("web.external-url")
	if external == "<nil>" {
		external = ""
	}
	if u, err := url.Parse(external); prefix == "" && err == nil {
		prefix = u.Path
	}
	p.prefix = path.Clean("/" + prefix)
	if p.prefix == "/" {
		p.prefix = ""
	}
	if name, _ := flags.Get("web.config.file"); name != "" {
		p.found(RuleWebConfig, Look, "--web.config.file", "the source asks for TLS or a password ("+name+"); the target as planned is plain HTTP within its cluster",
			"if that will not do: add the flag, the file and the scheme of the probes in the template")
	}
}
