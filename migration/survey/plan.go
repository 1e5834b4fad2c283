package survey

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/slipway-dev/slipway/migration/skew"
)

// PlanOptions say what the plan is for.
type PlanOptions struct {
	// To is the version of the new server.
	To skew.Version
	// Rates are bytes per second that the way between the hosts may give.
	Rates []int64
}

// Plan is what moving a server means, made of what it tells alone.
type Plan struct {
	Source *Observation `json:"source"`
	// HistorySeconds is from the oldest sample to now.
	HistorySeconds int64     `json:"historySeconds"`
	Need           Need      `json:"need"`
	Takes          []Takes   `json:"takes"`
	Seam           Seam      `json:"seam"`
	Findings       []Finding `json:"findings"`
	// Skew is nil where the version is not known or cannot be moved.
	Skew  *skew.Report `json:"skew,omitempty"`
	Steps []Step       `json:"steps"`
}

// Takes is how long the blocks travel at a rate.
type Takes struct {
	BytesPerSecond int64 `json:"bytesPerSecond"`
	Seconds        int64 `json:"seconds"`
}

// Seam is when the two servers' data can be joined, if the new one starts at Start: some minutes before the end of a head's range.
type Seam struct {
	// SourceCut is when the source cuts its head next; zero while its head is empty.
	SourceCut time.Time `json:"sourceCut,omitzero"`
	Start     time.Time `json:"start"`
	Boundary  time.Time `json:"boundary"`
	// SourceBlock is when the source's block up to Boundary is there, TargetCut when the target has cut its first own block: then the
	// last piece can be installed.
	SourceBlock time.Time `json:"sourceBlock"`
	TargetCut   time.Time `json:"targetCut"`
}

// Step is one of the protocol.
type Step struct {
	Name    string `json:"name"`
	Does    string `json:"does"`
	WaitsOn string `json:"waitsOn"`
	// Command is what a person runs; empty where the move does it.
	Command string `json:"command,omitempty"`
}

// NewPlan makes the plan. It asks nothing.
func NewPlan(o *Observation, opts PlanOptions) (*Plan, error) {
	p := &Plan{Source: o, Findings: Judge(Pair{Source: o}, nil), Takes: []Takes{}, Steps: []Step{}}
	if !o.readable() {
		return p, nil
	}
	p.Need = o.need()
	if o.Storage.Lowest > 0 && o.Storage.Lowest < o.At.UnixMilli() {
		p.HistorySeconds = (o.At.UnixMilli() - o.Storage.Lowest) / 1000
	}
	for _, rate := range opts.Rates {
		if rate > 0 {
			p.Takes = append(p.Takes, Takes{rate, p.Need.BlockBytes/rate + 1})
		}
	}
	p.Seam = newSeam(o)
	p.Findings = append(p.Findings, ranges(o))
	if f, does := scrapesItself(o); does {
		p.Findings = append(p.Findings, f)
	}
	p.Steps = steps(o, p.Seam, opts.To)
	report, err := Skew(o, opts.To)
	if err != nil {
		return nil, err
	}
	p.Skew = report
	return p, nil
}

// ranges tells the longest range of the rules, which the plan lists though there is no target yet.
func ranges(o *Observation) Finding {
	rule, group, ok := longest(o.Groups)
	f := fine("it has no rules")
	if ok {
		f = fine("rule %s of group %s reads back furthest, %s: the target must keep more", rule.Name, group.Name, words(rule.ReachSeconds))
	}
	f.Rule = RuleLongestRange
	return f
}

// startBefore is how long before a boundary the target is started: early enough to be scraping at it, late enough that the two overlap little.
const startBefore = 10 * time.Minute

// newSeam follows the head's rule: it is cut when it spans one and a half ranges (tsdb/head.go, compactable), at multiples of the range.
func newSeam(o *Observation) Seam {
	length := o.Flags.minBlock()
	s := Seam{}
	if !o.Storage.HeadEmpty {
		s.SourceCut = time.UnixMilli(o.Storage.HeadMin).UTC().Add(length * 3 / 2)
	}
	s.Boundary = o.At.Add(startBefore).Truncate(length).Add(length)
	s.Start = s.Boundary.Add(-min(startBefore, length/4))
	s.SourceBlock = s.Boundary.Add(length / 2)
	s.TargetCut = s.Start.Add(length * 3 / 2)
	return s
}

// Skew holds what a server tells of its flags, configuration and rules against a newer version. Places are those of the configuration as
// the server prints it, and of rules as it runs them. Nil where the versions make no move to a newer one.
func Skew(o *Observation, to skew.Version) (*skew.Report, error) {
	from := o.version()
	if from == nil || !from.Before(to) {
		return nil, nil
	}
	all, err := json.Marshal(o.flags)
	if err != nil {
		return nil, fmt.Errorf("writing the flags of the %s: %w", o.Name, err)
	}
	var flags *skew.Flags
	if len(o.flags) > 0 {
		if flags, err = skew.ReadFlags(all); err != nil {
			return nil, err
		}
	}
	checker, err := skew.New(skew.Options{From: *from, To: to, Flags: flags})
	if err != nil {
		return nil, err
	}
	if o.yaml != "" {
		checker.Add("configuration", []byte(o.yaml))
	}
	for _, file := range ruleFiles(o.Groups) {
		text, err := yaml.Marshal(file.content)
		if err != nil {
			return nil, errors.New("writing the rules of a file again: they are no YAML")
		}
		checker.Add(file.name, text)
	}
	return checker.Report(), nil
}

type ruleFile struct {
	name    string
	content map[string][]yamlGroup
}

type yamlGroup struct {
	Name     string     `yaml:"name"`
	Interval string     `yaml:"interval,omitempty"`
	Rules    []yamlRule `yaml:"rules"`
}

type yamlRule struct {
	Record string `yaml:"record,omitempty"`
	Alert  string `yaml:"alert,omitempty"`
	Expr   string `yaml:"expr"`
}

// ruleFiles writes the groups again as the files that they came from.
func ruleFiles(groups []Group) (files []ruleFile) {
	for _, g := range groups {
		out := yamlGroup{Name: g.Name}
		if g.IntervalSeconds >= 1 {
			out.Interval = fmt.Sprintf("%ds", int64(g.IntervalSeconds))
		}
		for _, r := range g.Rules {
			one := yamlRule{Record: r.Name, Expr: r.Expr}
			if r.Alert {
				one.Record, one.Alert = "", r.Name
			}
			out.Rules = append(out.Rules, one)
		}
		i := slices.IndexFunc(files, func(f ruleFile) bool { return f.name == g.File })
		if i < 0 {
			i, files = len(files), append(files, ruleFile{g.File, map[string][]yamlGroup{}})
		}
		files[i].content["groups"] = append(files[i].content["groups"], out)
	}
	return files
}

// steps are those of the protocol, with what each waits for.
func steps(o *Observation, s Seam, to skew.Version) []Step {
	clock := func(t time.Time) string { return t.Format("15:04Z") }
	n := o.need()
	keep := o.Retention.Text
	return []Step{
		{"Preflight", "looks at both servers and at the target's volume; refuses by named rules", "the target's volume, and a first start of the target for its own retention and targets",
			fmt.Sprintf("slipway prometheus volume DIR --need %d --largest-block %d --head %d", n.BlockBytes, n.LargestBlockBytes, n.HeadBytes)},
		{"Pin", "links all blocks so that retention cannot take them away; nothing is copied on the old host", "an agent on the old host, run as the server's user",
			"slipway prometheus agent source " + quoteDir(o.Flags.DataDir) + " --listen :9797 --credentials ./source --server " + o.URL},
		{"StartTarget", fmt.Sprintf("starts Prometheus %v with the same scrape configuration and rules, retention %s, without alerting and remote_write", to, keep),
			"a moment shortly before a head's range ends: " + clock(s.Start) + " for " + clock(s.Boundary),
			"slipway prometheus target config -f migration.yaml --source " + o.URL + " --source-config prometheus.yml"},
		{"Coverage", "both servers scrape the same targets with the same result", "some scrapes of every target; ways through firewalls that are missing",
			"slipway prometheus preflight --source " + o.URL + " --target URL"},
		{"Stage", "brings the blocks, verified, next to the target's own; throttled by the old server's query latency", "the network: see the times above",
			"slipway prometheus migrate --source OLD:9797 --credentials ./target --source-server " + o.URL + " --target-data DIR --target URL --state ./move"},
		{"Seam", "cuts the source's newest block where the target's own data begins", "the source's block up to " + clock(s.Boundary) + ", there at about " + clock(s.SourceBlock), ""},
		{"Install", "renames the blocks into place, newest first, without holes", "the target's first own block, at about " + clock(s.TargetCut) + ", for the last piece", ""},
		{"Verify", "compares both servers sample by sample; restart the target and compare again", "the head cut at about " + clock(s.TargetCut) + ", and the end of the target's remote_read",
			"slipway prometheus proof --source " + o.URL + " --target URL --seam TIME"},
		{"Cutover", "turns queries and alerts to the target; the source goes on scraping", "you", "slipway prometheus cutover -f cutover.yaml --state ./cutover"},
		{"Observe", "watches both, so that going back loses nothing", "as long as you like", "slipway prometheus rollback --state ./cutover"},
		{"Finalize", "lists what can be switched off", "you", "slipway prometheus finalize --state ./cutover"},
	}
}

// quoteDir is a directory as an argument of a shell.
func quoteDir(dir string) string {
	if dir == "" {
		return "DIR"
	}
	if strings.ContainsAny(dir, " '\"$\\&;|<>()*?`!#~\t") {
		return "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
	}
	return dir
}
