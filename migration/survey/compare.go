package survey

import (
	"fmt"
	"slices"
	"strings"
)

// Verdicts of a coverage.
const (
	CoverageEqual     = "Equal"
	CoverageWaiting   = "Waiting"
	CoverageDifferent = "Different"
)

// GapKind says what is wrong with a target on the new server.
type GapKind string

// Kinds of gaps. The first four are differences; the last two, and Itself, are told and stand in nobody's way.
const (
	// Missing is a target of the source that the new server does not know.
	Missing GapKind = "Missing"
	// Unreachable is one that it cannot connect to.
	Unreachable GapKind = "Unreachable"
	// Failing is one that answers it with something else than metrics.
	Failing GapKind = "Failing"
	// Differs is one that gives it another number of samples.
	Differs GapKind = "Differs"
	// Waiting is one that was not scraped often enough yet, on one of the two.
	Waiting GapKind = "Waiting"
	// DownOnBoth is one that no server reaches.
	DownOnBoth GapKind = "DownOnBoth"
	// Extra is a target of the new server alone.
	Extra GapKind = "Extra"
)

// Gap is a target that is not the same on both servers.
type Gap struct {
	Kind   GapKind `json:"kind"`
	Job    string  `json:"job"`
	Labels string  `json:"labels"`
	// URL is where the source scrapes it (the new server where it is Extra).
	URL   string `json:"url"`
	Error string `json:"error,omitempty"`
	// SourceSamples and TargetSamples are those of the last scrapes.
	SourceSamples float64 `json:"sourceSamples"`
	TargetSamples float64 `json:"targetSamples"`
}

// JobCoverage counts the targets of a job.
type JobCoverage struct {
	Job    string `json:"job"`
	Source int    `json:"source"`
	Target int    `json:"target"`
	Equal  int    `json:"equal"`
	Except bool   `json:"except,omitempty"`
}

// Exception is a job that stays behind, and what that means.
type Exception struct {
	Job              string  `json:"job"`
	Targets          int     `json:"targets"`
	SamplesPerScrape float64 `json:"samplesPerScrape"`
	Consequence      string  `json:"consequence"`
}

// CoverageReport says whether two servers scrape the same.
type CoverageReport struct {
	Verdict string `json:"verdict"`
	// Says is the verdict with its numbers.
	Says       string        `json:"says"`
	Jobs       []JobCoverage `json:"jobs"`
	Gaps       []Gap         `json:"gaps"`
	Firewall   []Opening     `json:"firewall"`
	Exceptions []Exception   `json:"exceptions,omitempty"`
}

// Compare holds what two servers scraped against each other, over the last scrapes of each target.
func Compare(source, target *Scraped, scrapes int, except []string) CoverageReport {
	r := CoverageReport{Jobs: []JobCoverage{}, Gaps: []Gap{}, Firewall: []Opening{}}
	here, there := byLabels(source.Targets), byLabels(target.Targets)
	jobs := map[string]*JobCoverage{}
	for _, job := range jobsOf(source.Targets, target.Targets) {
		jobs[job] = &JobCoverage{Job: job, Except: slices.Contains(except, job)}
	}
	for _, t := range target.Targets {
		jobs[t.Job].Target++
		if _, known := here[t.Labels]; !known {
			r.Gaps = append(r.Gaps, Gap{Kind: Extra, Job: t.Job, Labels: t.Labels, URL: t.URL, TargetSamples: last(target.Samples[t.Labels])})
		}
	}
	for _, s := range source.Targets {
		jobs[s.Job].Source++
		t, known := there[s.Labels]
		kind, why := compareTarget(s, t, known, source, target, scrapes)
		if kind == "" {
			jobs[s.Job].Equal++
			continue
		}
		r.Gaps = append(r.Gaps, Gap{Kind: kind, Job: s.Job, Labels: s.Labels, URL: s.URL, Error: why,
			SourceSamples: last(source.Samples[s.Labels]), TargetSamples: last(target.Samples[s.Labels])})
	}
	for _, job := range jobsOf(source.Targets, target.Targets) {
		r.Jobs = append(r.Jobs, *jobs[job])
		if jobs[job].Except {
			r.Exceptions = append(r.Exceptions, exception(job, source))
		}
	}
	r.conclude(except)
	return r
}

func last(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[len(values)-1]
}

// compareTarget says what is wrong with a target of the source on the new server; "" is nothing.
func compareTarget(s, t Target, known bool, source, target *Scraped, scrapes int) (GapKind, string) {
	upS, upT, samplesS, samplesT := source.Up[s.Labels], target.Up[s.Labels], source.Samples[s.Labels], target.Samples[s.Labels]
	if !known {
		return unknown(source.Itself[s.Labels])
	}
	few := min(len(upS), len(upT), len(samplesS), len(samplesT)) < scrapes
	switch {
	case few:
		return soon(s, t, fmt.Sprintf("%d of %d scrapes on the source, %d on the target", min(len(upS), len(samplesS)), scrapes, min(len(upT), len(samplesT))))
	case downThroughout(upS) && downThroughout(upT):
		return DownOnBoth, t.Error
	case downThroughout(upS):
		return "", "" // the new server sees more: nothing is lost
	case downThroughout(upT), slices.Contains(upT, 0) && !slices.Contains(upS, 0):
		return failing(t)
	case !meet(upS, upT) || !meet(samplesS, samplesT):
		return Differs, ""
	}
	return "", ""
}

// unknown is a target that the new server does not have.
func unknown(itself bool) (GapKind, string) {
	if itself {
		return Itself, "it is the source itself; the target writes its own metrics under another name"
	}
	return Missing, ""
}

// soon is a target with few scrapes yet.
func soon(s, t Target, counts string) (GapKind, string) {
	if t.Health == "down" && s.Health == "up" && unreachable(t.Error) {
		return Unreachable, t.Error
	}
	return Waiting, counts
}

// failing says why the new server cannot scrape a target.
func failing(t Target) (GapKind, string) {
	switch {
	case t.Error == "":
		return Failing, "some of its last scrapes failed"
	case unreachable(t.Error):
		return Unreachable, t.Error
	}
	return Failing, t.Error
}

func exception(job string, source *Scraped) Exception {
	e := Exception{Job: job}
	for _, t := range source.Targets {
		if t.Job == job {
			e.Targets++
			e.SamplesPerScrape += last(source.Samples[t.Labels])
		}
	}
	e.Consequence = fmt.Sprintf("what the target cannot scrape of it ends at the cutover (targets: %d, series: %.0f), and so does every rule and panel that reads it", e.Targets, e.SamplesPerScrape)
	return e
}

// conclude makes the verdict, and the ways to ask for.
func (r *CoverageReport) conclude(except []string) {
	counts := map[GapKind]int{}
	var ways []way
	for _, g := range r.Gaps {
		if slices.Contains(except, g.Job) {
			continue
		}
		counts[g.Kind]++
		if g.Kind == Unreachable {
			ways = append(ways, way{g.URL, g.Job, g.Error})
		}
	}
	r.Firewall = openings(ways)
	targets, equal := 0, 0
	for _, j := range r.Jobs {
		if !j.Except {
			targets, equal = targets+j.Source, equal+j.Equal
		}
	}
	var words []string
	for _, k := range []GapKind{Missing, Unreachable, Failing, Differs, Waiting, DownOnBoth, Extra, Itself} {
		if n := counts[k]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, k.words()))
		}
	}
	r.Says = fmt.Sprintf("%d of %d targets are equal", equal, targets)
	if len(words) > 0 {
		r.Says += "; " + strings.Join(words, ", ")
	}
	switch {
	case counts[Missing]+counts[Unreachable]+counts[Failing]+counts[Differs] > 0:
		r.Verdict = CoverageDifferent
	case counts[Waiting] > 0:
		r.Verdict = CoverageWaiting
	default:
		r.Verdict = CoverageEqual
	}
	if len(r.Exceptions) > 0 {
		r.Says += fmt.Sprintf("; jobs that stay behind: %d", len(r.Exceptions))
	}
}

func (k GapKind) words() string {
	switch k {
	case Missing:
		return "not known to the target"
	case Unreachable:
		return "that it cannot reach"
	case Failing:
		return "that fail there"
	case Differs:
		return "with another number of samples"
	case Waiting:
		return "not scraped often enough yet"
	case DownOnBoth:
		return "down on both"
	case Itself:
		return "of the source itself"
	}
	return "on the target alone"
}
