package skew

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Options are the move and what is known of the old server.
type Options struct {
	From, To Version
	// Flags are those of the old server; nil when they are not known.
	Flags *Flags
	// MaxBytes is the largest file that is read; 0 means 16 MiB.
	MaxBytes int
}

const defaultMaxBytes = 16 << 20

// Checker holds files of an old server against a new one. Use it once: Add all files, then call Report.
type Checker struct {
	opts   Options
	hops   []Hop
	parser parser.Parser
	since  map[string]*Version
	docs   []document
	report *Report
	server server
	ranges int // range selectors whose interval is not known or longer than one sample
}

// server is what the files tell about the old server.
type server struct {
	jobs       map[string]time.Duration // scrape interval by job
	evaluation time.Duration            // of rules, and the default step of subqueries
	configured bool                     // a configuration was read
	lookback   time.Duration
	native     bool            // native histograms are scraped by configuration
	keeps      map[string]bool // le or quantile, where a job writes the old values back
}

// document is a file, or one document of it, whose kind is known.
type document struct {
	kind Kind
	src  *source
	yaml *yamlNode
	json *jsonNode
}

// New makes a checker for one move.
func New(o Options) (*Checker, error) {
	hops, err := Hops(o.From, o.To)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	c := &Checker{
		opts: o, hops: hops, parser: NewParser(), since: map[string]*Version{},
		report: &Report{
			From: o.From, To: o.To, Hops: hops,
			Files: []FileKind{}, Unrecognised: []string{}, Findings: []Finding{},
		},
		server: server{jobs: map[string]time.Duration{}, keeps: map[string]bool{}, evaluation: time.Minute, lookback: o.Flags.lookback()},
	}
	for _, r := range Rules() {
		c.since[r.Name] = r.Since
	}
	return c, nil
}

// NewParser makes a parser that knows what any version knows: experimental functions, and holt_winters, which 3.0 renamed.
func NewParser() parser.Parser {
	functions := maps.Clone(parser.Functions)
	renamed := *functions["double_exponential_smoothing"]
	renamed.Name = holtWinters
	functions[holtWinters] = &renamed
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true, Functions: functions})
}

// Add reads a file and finds out by its content what it is. What it cannot read becomes a finding.
func (c *Checker) Add(name string, data []byte) {
	src := newSource(name, data)
	docs, err := recognise(src, c.opts.MaxBytes)
	switch {
	case err != nil:
		c.AddUnread(name, err)
	case len(docs) == 0:
		c.report.Unrecognised = append(c.report.Unrecognised, name)
	}
	c.docs = append(c.docs, docs...)
}

// AddUnread records a file that could not be read.
func (c *Checker) AddUnread(name string, err error) {
	c.add(Finding{
		Rule: ruleUnreadable, Severity: Look, File: name, What: err.Error(),
		Why: "nothing in this file was looked at", Fix: "mend or name another file; leave it out if the server does not read it",
	})
}

// Report checks all files that were added.
func (c *Checker) Report() *Report {
	c.checkServer()
	// Configurations first: they say how often series are sampled.
	slices.SortStableFunc(c.docs, func(a, b document) int { return a.kind.order() - b.kind.order() })
	for _, d := range c.docs {
		if d.kind == Configuration {
			c.learn(d.yaml)
		}
	}
	c.checkFeatures()
	kinds := map[string]int{}
	for _, d := range c.docs {
		n := c.checkDocument(d)
		i, ok := kinds[d.src.name]
		if !ok {
			i = len(c.report.Files)
			kinds[d.src.name] = i
			c.report.Files = append(c.report.Files, FileKind{Name: d.src.name, Kind: d.kind})
		}
		c.report.Files[i].Expressions += n
	}
	c.checkRanges()
	if Known().Before(c.opts.To) {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("the rules cover changes up to %v; those after it are not looked for", Known()))
	}
	c.report.sort()
	return c.report
}

func (c *Checker) checkDocument(d document) int {
	switch d.kind {
	case Configuration:
		c.checkConfig(d.src, d.yaml)
		return 0
	case RuleFile:
		return c.checkRuleGroups(d.src, d.yaml)
	default:
		return c.checkDashboard(d.src, d.json)
	}
}

// crosses says that the move goes over a version in which something changed.
func (c *Checker) crosses(v *Version) bool {
	return v == nil || (c.opts.From.Before(*v) && !c.opts.To.Before(*v))
}

func (c *Checker) has(rule string) bool { return c.crosses(c.since[rule]) }

// add records a finding if the move meets it. Rule, Severity, What, Why and Fix are the caller's.
func (c *Checker) add(f Finding) {
	if f.Since == nil {
		f.Since = c.since[f.Rule]
	}
	if !c.crosses(f.Since) {
		return
	}
	f.Hop = c.hop(f.Since)
	c.report.Findings = append(c.report.Findings, f)
}

func (c *Checker) hop(since *Version) int {
	if len(c.hops) == 1 {
		return 1
	}
	// Where it is no matter of versions the last server is the one that reads it.
	if since == nil || c.hops[0].To.Before(*since) {
		return 2
	}
	return 1
}

// checkRanges tells once about ranges that see one sample less only when an evaluation meets a sample to the millisecond.
func (c *Checker) checkRanges() {
	if c.ranges == 0 {
		return
	}
	c.add(Finding{
		Rule: ruleRange, Severity: Look,
		What: fmt.Sprintf("%d other range selectors see one sample less where an evaluation falls on a sample to the millisecond", c.ranges),
		Why:  "a range no longer holds a sample exactly at its left boundary; scraped samples seldom lie there, those of rules and pushed ones do",
		Fix:  "nothing for most; where an exact count is compared, make the range 1ms longer",
	})
}

func list(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
