package survey

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// defaultOfOperator is the retention that Prometheus Operator sets where nobody gave one (pkg/prometheus/common.go, DefaultRetention).
const defaultOfOperator = 24 * 3600

func retentionHolds(p Pair) Finding {
	s, t := p.Source.Retention, p.Target.Retention
	const fix = "set --storage.tsdb.retention.time (retention of the Prometheus resource) to at least the source's, restart the target, and run this again"
	switch {
	case t.Share != "":
		return found(Refused, "set a time or a size", "the target keeps %s of its disk: a share cannot be planned with", t.Share)
	case t.Seconds > 0 && s.Seconds == 0:
		return found(Refused, fix, "the target keeps %s, the source has no limit of time (%s)", words(t.Seconds), s.Text)
	case t.Seconds > 0 && t.Seconds < s.Seconds:
		hint := ""
		if t.Seconds == defaultOfOperator {
			hint = "; 24h is what Prometheus Operator sets where nobody gave a retention"
		}
		return found(Refused, fix, "the target keeps %s, the source %s: older blocks would be deleted within a minute%s", words(t.Seconds), words(s.Seconds), hint)
	case t.Bytes > 0 && t.Bytes < p.Source.need().Bytes:
		return found(Refused, "raise --storage.tsdb.retention.size", "the target keeps %s, the source has %s of blocks and log", Size(t.Bytes), Size(p.Source.need().Bytes))
	}
	return fine("the target keeps %s, the source %s", t.Text, s.Text)
}

func blockDurations(p Pair) Finding {
	s, t := p.Source.Flags, p.Target.Flags
	switch {
	case t.MinBlockSeconds != s.MinBlockSeconds:
		return found(Warns, "set --storage.tsdb.min-block-duration as on the source", "the head of the target is cut into %s, the source's into %s: the seam comes at another time", words(t.MinBlockSeconds), words(s.MinBlockSeconds))
	case t.MaxBlockSeconds > s.MaxBlockSeconds:
		return found(Warns, "set --storage.tsdb.max-block-duration="+words(s.MaxBlockSeconds)+" on the target until all blocks are installed",
			"the target compacts up to %s, the source up to %s: it would write all %s anew, with as much space free as the largest takes",
			words(t.MaxBlockSeconds), words(s.MaxBlockSeconds), Size(p.Source.Storage.BlockBytes))
	}
	return fine("from %s to %s, on the source to %s: no imported block is written anew", words(t.MinBlockSeconds), words(t.MaxBlockSeconds), words(s.MaxBlockSeconds))
}

func overlaps(p Pair) Finding {
	t := p.Target.Flags
	thanos := ""
	if t.MinBlockSeconds == t.MaxBlockSeconds || t.DelayCompactFile != "" {
		thanos = "; its blocks look as if Thanos uploads them: a sidecar would upload every imported block of level 1"
	}
	switch {
	case !t.OverlappingCompaction:
		return found(Warns, "leave --no-storage.tsdb.allow-overlapping-compaction out until the seam is merged", "overlapping blocks stay as they are, and queries over the seam merge them each time%s", thanos)
	case thanos != "":
		return found(Warns, "stop the sidecar until all blocks are installed, or let it upload from the source alone", "overlapping blocks are merged%s", thanos)
	}
	return fine("overlapping blocks are merged")
}

func externalLabels(p Pair) Finding {
	s, t := p.Source.Config.ExternalLabels, p.Target.Config.ExternalLabels
	if maps.Equal(s, t) {
		return fine("%s", labelWords(s))
	}
	return found(Warns, "give the target the same external_labels before the cutover (with the operator: empty prometheusExternalLabelName and replicaExternalLabelName), or change who matches them",
		"the source has %s, the target %s: alerts and what is sent on are other ones after the cutover, and a plain remote_read would find nothing", labelWords(s), labelWords(t))
}

func labelWords(m map[string]string) string {
	if len(m) == 0 {
		return "no external labels"
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s=%q", name, m[name]))
	}
	return strings.Join(list, ", ")
}

func noPlainRemoteRead(p Pair) Finding {
	source, _ := url.Parse(p.Source.URL)
	for _, address := range p.Target.Config.RemoteRead {
		if u, err := url.Parse(address); err == nil && source != nil && u.Host == source.Host {
			return found(Refused, "name the read shim's address there", "its remote_read goes to the source itself (%s)", u.Host)
		}
	}
	if n := len(p.Target.Config.RemoteRead); n > 0 {
		return fine("it reads from %s", strings.Join(p.Target.Config.RemoteRead, ", "))
	}
	return found(Note, "set up the read shim before queries go to the target", "it has no remote_read yet: it answers from its own start on")
}

// selfScrapes finds targets that are another process on each side, and the same series.
func selfScrapes(p Pair) Finding {
	there := byLabels(p.Target.Targets)
	sameHost := hostOf(p.Source.URL) == hostOf(p.Target.URL)
	var both []string
	for _, s := range p.Source.Targets {
		t, ok := there[s.Labels]
		if ok && loopback(hostOf(s.URL)) && loopback(hostOf(t.URL)) && (!sameHost || s.URL != t.URL && isServer(s.URL, p.Source.URL) && isServer(t.URL, p.Target.URL)) {
			both = append(both, s.Labels)
		}
	}
	if len(both) > 0 {
		return found(Refused, "give the target's own scrape another instance label, such as the name of its host or pod",
			"%s is scraped on this very host by each server: two processes would write one series%s", both[0], more(len(both)))
	}
	return fine("no series of a server's own host is written by both")
}

func hostOf(address string) string { host, _ := hostPort(address); return host }

// isServer says that a target is the server itself.
func isServer(target, server string) bool {
	_, a := hostPort(target)
	_, b := hostPort(server)
	return a == b
}

func more(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n-1)
}

func alertsOff(p Pair) Finding {
	if n := len(p.Target.Alertmanagers); n > 0 || p.Target.Config.Alerting > 0 {
		return found(Refused, "take the section alerting out of the target's configuration; the cutover puts it in", "the target sends alerts to %s", orFound(p.Target.Alertmanagers))
	}
	if len(p.Source.Alertmanagers) == 0 {
		return fine("neither server sends alerts")
	}
	return fine("the target sends none; the source sends to %s, which the cutover hands over", strings.Join(p.Source.Alertmanagers, ", "))
}

func orFound(list []string) string {
	if len(list) == 0 {
		return "Alertmanagers that it has not found yet"
	}
	return strings.Join(list, ", ")
}

func remoteWriteOff(p Pair) Finding {
	if to := p.Target.Config.RemoteWrite; len(to) > 0 {
		return found(Refused, "take remote_write out of the target's configuration; the cutover puts it in", "the target writes to %s", strings.Join(to, ", "))
	}
	if to := p.Source.Config.RemoteWrite; len(to) > 0 {
		return fine("the target writes nowhere; the source writes to %s, which the cutover hands over", strings.Join(to, ", "))
	}
	return fine("neither server writes to others")
}

func lateSamples(p Pair) Finding {
	s, t := p.Source.Config.OutOfOrderMillis/1000, p.Target.Config.OutOfOrderMillis/1000
	switch {
	case t < s:
		return found(Warns, "set storage.tsdb.out_of_order_time_window on the target as on the source",
			"the source takes samples that are %s late (%d since its start), the target %s: later ones are refused after the cutover", words(s), p.Source.Storage.LateSamples, lateWords(t))
	case s > 0:
		return found(Note, "", "late samples come to the source up to %s after the seam; they are brought in a piece of their own", words(s))
	}
	return fine("late samples are refused by both")
}

func lateWords(seconds int64) string {
	if seconds == 0 {
		return "takes none"
	}
	return words(seconds)
}

// clocks bounds the difference by what the questions took.
func clocks(p Pair) Finding {
	return apart("the target's clock", p.Target.Clock.MinMillis-p.Source.Clock.MaxMillis, p.Target.Clock.MaxMillis-p.Source.Clock.MinMillis)
}

// ClockHere holds this host's clock against the server's.
func (o *Observation) ClockHere() Finding {
	f := apart("this host's clock", -o.Clock.MaxMillis, -o.Clock.MinMillis)
	f.Rule = RuleClocks
	return f
}

func apart(whose string, least, most int64) Finding {
	says := fmt.Sprintf("%s is between %d and %d ms ahead of the source's", whose, least, most)
	fix := "run chrony or ntpd on both hosts: the cut of the seam goes by the time of the samples"
	switch {
	case least > 1000 || most < -1000:
		return found(Refused, fix, "%s", says)
	case most > 1000 || least < -1000:
		return found(Warns, "ask from a host with a shorter way to both", "%s: the way there is too long to say that it is less than a second", says)
	}
	return fine("%s", says)
}

func capacity(p Pair) Finding {
	n := p.Source.need()
	says := fmt.Sprintf("%s are needed: blocks %s, the largest of them written anew %s, log and head %s, and a fifth to spare", Size(n.Total), Size(n.BlockBytes), Size(n.LargestBlockBytes), Size(n.HeadBytes))
	switch {
	case p.FreeBytes == 0:
		return found(Note, fmt.Sprintf("measure the volume: slipway prometheus volume DIR --need %d --largest-block %d --head %d", n.BlockBytes, n.LargestBlockBytes, n.HeadBytes), "%s", says)
	case p.FreeBytes < n.Total:
		return found(Refused, "make the volume larger by "+Size(n.Total-p.FreeBytes), "%s are free; %s", Size(p.FreeBytes), says)
	}
	return fine("%s are free; %s", Size(p.FreeBytes), says)
}

func longestRange(p Pair) Finding {
	rule, group, ok := longest(p.Source.Groups)
	if !ok {
		return fine("the source has no rules")
	}
	says := fmt.Sprintf("rule %s of group %s reads %s back", rule.Name, group.Name, words(rule.ReachSeconds))
	if keep := p.Target.Retention.Seconds; keep > 0 && rule.ReachSeconds > keep {
		return found(Warns, "keep more, or shorten the rule", "%s, the target keeps %s", says, words(keep))
	}
	return fine("%s; until all blocks are installed the read shim answers for them", says)
}

// ruleGroups compares by name and file: the time at which a group is evaluated comes from both (rules/group.go, hash).
func ruleGroups(p Pair) Finding {
	type key struct{ name, file string }
	here, named, there := map[key]bool{}, map[string]bool{}, map[string]bool{}
	for _, g := range p.Target.Groups {
		here[key{g.Name, g.File}], named[g.Name] = true, true
	}
	var missing, moved []string
	for _, g := range p.Source.Groups {
		there[g.Name] = true
		switch {
		case here[key{g.Name, g.File}]:
		case named[g.Name]:
			moved = append(moved, g.Name)
		default:
			missing = append(missing, g.Name)
		}
	}
	switch {
	case len(missing) > 0:
		return found(Refused, "give the target the source's rule files", "the target does not run the group %s%s: its series and alerts would end at the cutover", missing[0], more(len(missing)))
	case len(moved) > 0:
		return found(Warns, "mount the rule files under the source's path where you can",
			"group %s comes from another file%s: it is evaluated at other times, so that at the seam both samples stay", moved[0], more(len(moved)))
	}
	return fine("%d groups from the same files", len(there))
}

func coverageEqual(p Pair) Finding {
	c := p.Coverage
	fix := ""
	if len(c.Firewall) > 0 {
		fix = "open the ways that are listed, or give up a job by --except"
	}
	switch c.Verdict {
	case CoverageEqual:
		return fine("%s", c.Says)
	case CoverageWaiting:
		return found(Unknown, "wait and run this again, or give it time by --wait", "%s", c.Says)
	}
	if fix == "" {
		fix = "see what is listed; a job that may stay behind is named by --except"
	}
	return found(Refused, fix, "%s", c.Says)
}
