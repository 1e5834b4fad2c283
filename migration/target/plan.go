package target

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/config"
	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/volume"
)

// Stage is how far the move is; the configuration of the target follows it.
type Stage string

// The stages.
const (
	// Bridge is from the first start to the cutover: no alerts, no remote write, the past is read from the source.
	Bridge Stage = "Bridge"
	// Verify is while both servers are compared, before the cutover: no alerts, no remote write, and every answer is the target's own.
	Verify Stage = "Verify"
	// CutOver is from the cutover to the end of the observation: alerts and remote write are on.
	CutOver Stage = "CutOver"
	// Final is when the source is no longer needed: a read shim in the server's pod is gone, too.
	Final Stage = "Final"
)

// Stages are all, in the order in which a move goes through them.
func Stages() []Stage { return []Stage{Bridge, Verify, CutOver, Final} }

// Source is what the old server is.
type Source struct {
	Version skew.Version
	// Flags are its command line; nil when it is not known.
	Flags *skew.Flags
	// WorkingDir is where it was started: relative paths begin there. Empty when it is not known.
	WorkingDir string
	Config     *config.File
	// Files are rule files, files of targets and of jobs, by their absolute path on the source.
	Files map[string][]byte
	// Need is what its data takes; zero when it is not known.
	Need volume.Need
}

// Options are all that a plan follows from.
type Options struct {
	Source    Source
	Migration *Migration
	// Stage is Bridge by default.
	Stage Stage
	// ShimSecret names a Secret with ca.crt, tls.crt and tls.key, the folder target of slipway prometheus agent init, with which the server shows
	// itself to the shim; its URL begins with https. It is mounted at every stage: a pod that changes is a restart. Empty: no certificates.
	ShimSecret string
	// Leave names sections that stay with the source: alerting, remote_write. The target has them at no stage.
	Leave []string
	// Override names findings that do not refuse.
	Override []string

	port int32 // where the target listens whatever the source does; 0: as the source
}

// The sections by which a server sends.
const (
	sectionAlerting    = "alerting"
	sectionRemoteWrite = "remote_write"
)

// Change is a difference between the old server and the new one, made on purpose.
type Change struct {
	Name string `json:"name"`
	// Where is a flag, or a place in the configuration.
	Where string `json:"where"`
	What  string `json:"what"`
	Why   string `json:"why"`
}

type (
	// Verdict is that of all checks.
	Verdict = rule.Verdict
	// Finding is that of all checks.
	Finding = rule.Finding
)

// Verdicts, the worst last.
const (
	Look       = rule.Look
	Overridden = rule.Overridden
	Refused    = rule.Refused
)

// The names of findings; those of migration/skew come beside them.
const (
	RuleRetention      = "retention"
	RuleRetentionSize  = "retention-by-size"
	RuleCapacity       = "capacity"
	RuleFileNeeded     = "file-needed"
	RuleLoopback       = "loopback-target"
	RuleKubernetes     = "kubernetes-discovery"
	RuleWebConfig      = "web-config"
	RuleUnknownFlag    = "unknown-flag"
	RuleJobFiles       = "jobs-in-other-files"
	RuleFlagsUnknown   = "flags-unknown"
	RuleOwnRemoteRead  = "own-remote-read"
	RuleOldTarget      = "target_version_loses_nothing" // as the preflight calls it: whoever lets it pass does so once
	RuleVolumeReleased = "volume-released"
	RuleVolume         = "volume"
	RuleClaim          = "claim"
	RuleClass          = "storage-class"
	RuleOwnership      = "volume-ownership"
	RulePodSecurity    = "pod-security"
	RuleUIDRange       = "uid-range"
	RuleNode           = "volume-node"
)

// Plan is what the new server is to be.
type Plan struct {
	Version skew.Version
	Stage   Stage
	// Config is the configuration; its name is the path that it has on both servers.
	Config *config.File
	// Args are the command line in full.
	Args     []string
	Changes  []Change
	Findings []Finding

	o       Options
	paths   paths
	port    int32
	prefix  string // of the web routes, for probes
	storage string
}

// DataDir is where the volume is mounted.
const DataDir = "/prometheus"

// New plans a StatefulSet. The configuration has to be the file itself: one that a server told has its secrets masked.
func New(o Options) (*Plan, error) {
	spec := o.Migration.Spec.Target.StatefulSet
	if spec == nil {
		return nil, fmt.Errorf("planning the target: target.statefulSet is not there")
	}
	version, err := serverVersion(spec)
	if err != nil {
		return nil, err
	}
	if o.Stage == "" {
		o.Stage = Bridge
	}
	p := &Plan{Version: version, Stage: o.Stage, o: o, storage: DataDir}
	if err := p.findPaths(); err != nil {
		return nil, err
	}
	if err := p.planFlags(); err != nil {
		return nil, err
	}
	if err := p.planConfig(); err != nil {
		return nil, err
	}
	p.planSize()
	p.checkVersion()
	p.Findings = p.overridden(p.Findings)
	return p, nil
}

// without says that the source alone has a section by which a server sends: alerting or remote_write.
func (p *Plan) without(section string) bool {
	return p.Stage == Bridge || p.Stage == Verify || slices.Contains(p.o.Leave, section)
}

// overridden lets pass what the user named.
func (p *Plan) overridden(findings []Finding) []Finding { return rule.Override(findings, p.o.Override) }

// Refusals are the findings that stop the plan.
func (p *Plan) Refusals() []Finding {
	var all []Finding
	for _, f := range p.Findings {
		if f.Verdict == Refused {
			all = append(all, f)
		}
	}
	return all
}

func (p *Plan) changed(name, where, what, why string) {
	p.Changes = append(p.Changes, Change{name, where, what, why})
}

func (p *Plan) found(name string, v Verdict, where, says, fix string) {
	p.Findings = append(p.Findings, Finding{Rule: name, Verdict: v, Where: where, Says: says, Fix: fix})
}

// safe is the first release in which the known losses of imported and of own data are mended.
func safe() skew.Version { return skew.Version{Major: 3, Minor: 16} }

// checkVersion: changelog of 3.14.0 (#19016) and of 3.16.0 (#19737).
func (p *Plan) checkVersion() {
	if p.Version.Before(safe()) {
		p.found(RuleOldTarget, Refused, "target.statefulSet.image",
			fmt.Sprintf("Prometheus %v can lose samples of its write-ahead log and of out-of-order data at a restart (mended in 3.14.0, prometheus#19016, and in 3.16.0, prometheus#19737)", p.Version),
			"use 3.16.0 or later, or let it pass by this rule's name")
	}
}

// paths are where files of the source stand; they are the same on the target, since the time at which a rule group is evaluated
// follows from the path of its file (rules/group.go, GroupKey and EvalTimestamp).
type paths struct {
	config string // absolute
	flag   string // as the flag says it
	dir    string // of the configuration
	work   string // working directory, where the flag is relative
}

func (p *Plan) findPaths() error {
	flag, given := p.o.Source.Flags.Get("config.file")
	if !given || flag == "" {
		flag = "/etc/prometheus/prometheus.yml"
		if p.o.Source.Flags != nil {
			flag = "prometheus.yml" // the default of --config.file
		}
	}
	p.paths = paths{config: path.Clean(flag), flag: flag}
	if !path.IsAbs(flag) {
		if !path.IsAbs(p.o.Source.WorkingDir) {
			return fmt.Errorf("planning the target: the source's --config.file=%s is relative, and its working directory is not known: "+
				"/api/v1/status/runtimeinfo tells it as CWD", flag)
		}
		p.paths.work = p.o.Source.WorkingDir
		p.paths.config = path.Join(p.paths.work, flag)
	}
	p.paths.dir = path.Dir(p.paths.config)
	if p.paths.dir == "/" || p.paths.dir == DataDir || strings.HasPrefix(DataDir+"/", p.paths.dir+"/") || strings.HasPrefix(p.paths.dir, DataDir+"/") {
		return fmt.Errorf("planning the target: the source's configuration stands in %s, where a pod cannot have a volume of its own beside %s; "+
			"move it to a folder such as /etc/prometheus on the source first", p.paths.dir, DataDir)
	}
	return nil
}

// absolute is a path of the configuration on the source: relative ones begin at the configuration's folder.
func (p *Plan) absolute(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(p.paths.dir, name)
}
