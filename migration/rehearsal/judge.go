package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/skew"
	"github.com/slipway-dev/slipway/migration/survey"
	"github.com/slipway-dev/slipway/migration/volume"
)

// Names of the rules that are judged here; those of the volume and clocks_agree come beside them.
const (
	RuleSourceReached   = "source_is_reached"
	RuleFlags           = "flags_are_known"
	RuleTargetsReached  = "targets_are_reached"
	RuleTargetsAnswer   = "targets_answer"
	RuleWays            = "ways_are_open"
	RuleEndpointReached = "endpoint_is_reached"
)

// Rules lists all rules in the order in which they are told. Each can be overridden.
func Rules() []string {
	return append(volume.Rules(), RuleSourceReached, survey.RuleClocks, RuleFlags, RuleTargetsReached, RuleTargetsAnswer, RuleWays, RuleEndpointReached)
}

const errRefused = syscall.ECONNREFUSED

func found(v rule.Verdict, fix, format string, a ...any) rule.Finding {
	return rule.Finding{Verdict: v, Fix: fix, Says: fmt.Sprintf(format, a...)}
}

func named(name string, f rule.Finding) rule.Finding {
	f.Rule = name
	return f
}

func notTried(name string) rule.Finding {
	return named(name, found(rule.Unknown, "", "could not be tried: the source does not answer here"))
}

// sourceReached judges the old server and its clock.
func sourceReached(seen *survey.Observation, err error) []rule.Finding {
	if err != nil {
		return []rule.Finding{
			named(RuleSourceReached, found(rule.Refused, "open the way from here to it: the read shim, the proof and the transfer go there", "%v", err)),
			notTried(survey.RuleClocks),
		}
	}
	reached := named(RuleSourceReached, found(rule.Fine, "", "Prometheus %s at %s, %d targets, %d rule groups", orUnsaid(seen.Version), seen.URL, len(seen.Targets), len(seen.Groups)))
	if seen.At.IsZero() { // a server of 1.x tells its version alone
		reached.Verdict, reached.Fix = rule.Refused, "see slipway prometheus plan "+seen.URL
		return []rule.Finding{reached, named(survey.RuleClocks, found(rule.Unknown, "", "could not be asked"))}
	}
	return []rule.Finding{reached, seen.ClockHere()}
}

func orUnsaid(version string) string {
	if version == "" {
		return "of no told version"
	}
	return version
}

// flags judges the new server's command line where it is known, else what the source has that a newer version does not know.
func (o *Options) flags(seen *survey.Observation) rule.Finding {
	if len(o.Args) > 0 {
		return named(RuleFlags, newFlags(o.Args, o.To))
	}
	report, err := survey.Skew(seen, o.To)
	if err != nil || report == nil {
		return named(RuleFlags, found(rule.Fine, "", "the source's %s is not older than %v: it has no flags that went", orUnsaid(seen.Version), o.To))
	}
	var gone []string
	for _, f := range report.Findings {
		if f.Severity == skew.Breaks && (strings.HasPrefix(f.Where, "flag ") || strings.HasPrefix(f.Where, "feature ")) {
			gone = append(gone, f.Where+" ("+f.Why+")")
		}
	}
	if len(gone) > 0 {
		return named(RuleFlags, found(rule.Warns, "leave them out, as slipway prometheus target config does, or give the new server's command line here behind --",
			"the source has what %v does not know: %s", o.To, strings.Join(gone, "; ")))
	}
	return named(RuleFlags, found(rule.Fine, "", "%v knows all flags of the source's %s", o.To, orUnsaid(seen.Version)))
}

// newFlags holds a command line against the flags that are known of the newest version.
func newFlags(args []string, to skew.Version) rule.Finding {
	var unknown []string
	for _, name := range skew.NewFlags(args).Names() {
		if !skew.KnowsFlag(name) {
			unknown = append(unknown, "--"+name)
		}
	}
	switch {
	case len(unknown) > 0 && skew.Known().Before(to):
		return found(rule.Warns, "look at --help of "+to.String(), "not known in %v, the newest version that is known here: %s", skew.Known(), strings.Join(unknown, ", "))
	case len(unknown) > 0:
		return found(rule.Refused, "leave them out: a server that meets a flag it does not know does not start", "%v does not know %s", to, strings.Join(unknown, ", "))
	}
	return found(rule.Fine, "", "%v knows all %d flags", to, len(skew.NewFlags(args).Names()))
}

func targetsReached(r *survey.ReachReport) rule.Finding {
	f := named(RuleTargetsReached, found(rule.Fine, "", "%s", r.Says()))
	switch {
	case r.Counts[survey.Unreachable] > 0:
		f.Verdict, f.Fix = rule.Refused, "open the ways that are listed, or give up a job by --except"
	case r.Counts[survey.Unresolved] > 0:
		f.Verdict, f.Fix = rule.Refused, "make the source's names known here: its search domain and its name server (dnsConfig of a pod), or give up a job by --except"
	}
	return f
}

func targetsAnswer(r *survey.ReachReport) rule.Finding {
	f := named(RuleTargetsAnswer, found(rule.Fine, "", "all that are reached give metrics"))
	first := func(kind survey.GapKind) string {
		i := slices.IndexFunc(r.Gaps, func(g survey.Unreached) bool { return g.Kind == kind })
		return fmt.Sprintf("%s of job %s: %s", r.Gaps[i].URL, r.Gaps[i].Job, r.Gaps[i].Error)
	}
	switch {
	case r.Counts[survey.Failing] > 0:
		f.Verdict, f.Fix = rule.Refused, "see what is listed: most often the target answers some addresses alone"
		f.Says = fmt.Sprintf("%d answer the source and not here, such as %s", r.Counts[survey.Failing], first(survey.Failing))
	case r.Counts[survey.Guarded] > 0:
		f.Verdict, f.Says = rule.Note, fmt.Sprintf("%d want what the configuration has, which was not tried, such as %s", r.Counts[survey.Guarded], first(survey.Guarded))
	case r.Counts[survey.Untyped] > 0:
		f.Verdict, f.Fix = rule.Note, "fallback_scrape_protocol in their jobs, which slipway prometheus target config writes"
		f.Says = fmt.Sprintf("%d give no content type of Prometheus, such as %s", r.Counts[survey.Untyped], first(survey.Untyped))
	case r.Counts[survey.OnItsHost] > 0:
		f.Verdict, f.Fix = rule.Note, "give those targets the source's address in the configuration: here the same address is this host"
		f.Says = fmt.Sprintf("%d are on the source's own host and were not tried", r.Counts[survey.OnItsHost])
	}
	return f
}

func waysReached(ways []Way) rule.Finding {
	f := named(RuleWays, rule.Finding{Verdict: rule.Fine})
	var says []string
	for _, w := range ways {
		switch {
		case w.Error == "":
			says = append(says, fmt.Sprintf("%s listens at %s", w.Name, w.Address))
		case w.Refused:
			says = append(says, fmt.Sprintf("%s: the host of %s answers, and nothing listens there", w.Name, w.Address))
			f.Verdict = rule.Worst([]rule.Finding{f, {Verdict: rule.Warns}})
		default:
			says = append(says, fmt.Sprintf("%s: %s", w.Name, w.Error))
			f.Verdict = rule.Refused
		}
	}
	f.Says = strings.Join(says, "; ")
	switch f.Verdict {
	case rule.Warns:
		f.Fix = "start what is to listen there; the way is open"
	case rule.Refused:
		f.Fix = "open the way from here, TCP"
	}
	return f
}
