package grafana

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
)

// CompareOptions say which two are compared.
type CompareOptions struct {
	Old, New *Client
	// Source is the address of the old Prometheus, Users that of the users' Service.
	Source, Users string
	Override      []string
	// Patience is how long differences are given to go away: a Grafana that has just started still reads its provisioning.
	Patience time.Duration
	// Tell is told what is waited for; nil: nobody.
	Tell func(text string)
}

// pause is how long it waits between two looks.
const pause = 2 * time.Second

// Compare looks at both and says what is different.
func Compare(ctx context.Context, o CompareOptions) (*Report, error) {
	until := time.Now().Add(o.Patience)
	for {
		r, err := once(ctx, o)
		if err != nil || !r.Verdict.Stops() || !time.Now().Before(until) {
			return r, err
		}
		if o.Tell != nil {
			o.Tell("waiting: " + r.Says)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(pause, time.Until(until))):
		}
	}
}

// once looks one time. What does not answer is a finding, for a Grafana may still start.
func once(ctx context.Context, o CompareOptions) (*Report, error) {
	var seen [2]Seen
	for i, c := range []*Client{o.Old, o.New} {
		var err error
		if seen[i], err = c.Look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			f := rule.Finding{Rule: RuleAnswers, Verdict: rule.Refused, Where: c.URL(), Says: err.Error()}
			if denied(err) {
				f.Fix = "the Secret of spec.grafana.from.apiSecretName wants username and password of a server administrator, or token of an organisation's administrator"
			}
			return report([]rule.Finding{f}, o.Override, ""), nil
		}
	}
	sick := map[string]string{}
	for _, org := range seen[1].Orgs {
		for uid, s := range org.Sources {
			if !asksUsers(s, o.Users) {
				continue
			}
			if err := o.New.Healthy(ctx, org.ID, uid); err != nil {
				sick[s.Name] = err.Error()
			}
		}
	}
	return report(Judge(seen[0], seen[1], sick, o.Source, o.Users), o.Override, summary(seen[1], o.Users)), ctx.Err()
}

func asksUsers(s Source, users string) bool {
	return s.Type == "prometheus" && sameAddress(s.URL, users)
}

// summary says what both have.
func summary(s Seen, users string) string {
	var dashboards, folders, rules, sources, led int
	for _, o := range s.Orgs {
		dashboards, folders, rules, sources = dashboards+len(o.Dashboards), folders+len(o.Folders), rules+len(o.Rules), sources+len(o.Sources)
		for _, d := range o.Sources {
			if asksUsers(d, users) {
				led++
			}
		}
	}
	text := fmt.Sprintf("Grafana %s has what the old one has: %s, %s, %s, %s, %s", s.Version, of(len(s.Orgs), "organisation"), of(dashboards, "dashboard"), of(folders, "folder"), of(rules, "alert rule"), of(sources, "data source"))
	if s.Users >= 0 {
		text += ", " + of(s.Users, "user")
	}
	return text + "; " + of(led, "data source") + " asked " + users + " and got an answer"
}

func of(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// Judge holds a new Grafana against the old one. sick are the data sources of the new one that got no answer, with the reason, by name.
func Judge(before, now Seen, sick map[string]string, source, users string) []rule.Finding {
	j := &judge{source: source, users: users}
	j.add(RuleAnswers, "", "", "both answer, and have their databases")
	j.version(before.Version, now.Version)
	if before.Users >= 0 {
		j.add(RuleUsers, differ(before.Users, now.Users), again, of(now.Users, "user")+" on both")
	}
	names := func(s Seen) map[string]string {
		all := map[string]string{}
		for _, o := range s.Orgs {
			all[strconv.FormatInt(o.ID, 10)] = o.Name
		}
		return all
	}
	j.add(RuleOrgs, lacks(names(before), names(now)), again, of(len(now.Orgs), "organisation")+" on both")
	for _, old := range before.Orgs {
		i := slices.IndexFunc(now.Orgs, func(o Org) bool { return o.ID == old.ID })
		if i >= 0 {
			j.org(old, now.Orgs[i])
		}
	}
	unwell := ""
	for _, name := range slices.Sorted(maps.Keys(sick)) {
		unwell += fmt.Sprintf("%s: %s; ", server.Clip(name, 60), sick[name])
	}
	j.add(RuleSourceHealthy, strings.TrimSuffix(unwell, "; "), "ask "+users+" from a pod; a password that cannot be read means another GF_SECURITY_SECRET_KEY than the old one's", "the data sources that ask the users' Service get answers")
	return j.findings
}

type judge struct {
	source, users string
	findings      []rule.Finding
}

// add notes a rule: refused with what is bad, else fine.
func (j *judge) add(name, bad, fix, fine string) {
	f := rule.Finding{Rule: name, Verdict: rule.Fine, Says: fine}
	if bad != "" {
		f.Verdict, f.Says, f.Fix = rule.Refused, bad, fix
	}
	j.findings = append(j.findings, f)
}

func differ(before, now int) string {
	if before == now {
		return ""
	}
	return fmt.Sprintf("users: the old one has %d, the new one %d", before, now)
}

func (j *judge) version(before, now string) {
	bad := ""
	if older(now, before) {
		bad = fmt.Sprintf("the new one is %s, the old one %s: it cannot read the database of a later version", now, before)
	}
	j.add(RuleVersion, bad, "take an image of "+before+" or later in spec.grafana.image", now+", the old one is "+before)
}

// older compares the numbers of two versions; one that cannot be read is older than none.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return x != nil && y != nil && slices.Compare(x, y) < 0
}

func numbers(version string) (all []int) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	version, _, _ = strings.Cut(version, "+")
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		all = append(all, n)
	}
	return all
}

// again is the usual reason of a difference.
const again = "somebody changed the old one since its data was brought: kubectl delete job NAME-grafana has it brought again"

// org compares one organisation.
func (j *judge) org(before, now Org) {
	where := fmt.Sprintf(" in organisation %d", before.ID)
	for _, c := range []struct {
		rule, what  string
		before, now map[string]string
	}{
		{RuleUsers, "member", before.Members, now.Members}, {RuleFolders, "folder", before.Folders, now.Folders},
		{RuleDashboards, "dashboard", before.Dashboards, now.Dashboards}, {RuleAlertRules, "alert rule", before.Rules, now.Rules},
	} {
		if c.rule == RuleAlertRules && (before.Rules == nil || now.Rules == nil) {
			j.findings = append(j.findings, rule.Finding{Rule: RuleAlertRules, Verdict: rule.Look, Says: "one of both has no API for alert rules" + where, Fix: "look at them by hand"})
			continue
		}
		bad := lacks(c.before, c.now)
		if bad != "" {
			bad = c.what + "s" + where + ": " + bad
		}
		j.add(c.rule, bad, again, of(len(c.now), c.what)+where+", the same on both")
	}
	j.sources(before, now, where)
}

// sources compares data sources: all but the address are equal, and that as well where it did not lead to the old Prometheus.
func (j *judge) sources(before, now Org, where string) {
	plain := func(all map[string]Source) map[string]string {
		out := map[string]string{}
		for uid, s := range all {
			out[uid] = s.Type + " " + s.Name
		}
		return out
	}
	bad := lacks(plain(before.Sources), plain(now.Sources))
	if bad != "" {
		bad = "data sources" + where + ": " + bad
	}
	j.add(RuleSources, bad, again, of(len(now.Sources), "data source")+where+", the same on both")
	var wrong []string
	led := 0
	for _, uid := range slices.Sorted(maps.Keys(before.Sources)) {
		old, there := before.Sources[uid], now.Sources[uid]
		want := old.URL
		if old.Type == "prometheus" && (meansSource(old.URL, j.source) || sameAddress(old.URL, j.users)) {
			want = j.users
			led++
		}
		if there.UID != "" && !sameAddress(there.URL, want) {
			wrong = append(wrong, fmt.Sprintf("%s (%s) has %s, not %s", server.Clip(old.Name, 60), server.Clip(uid, 40), shownAddress(there.URL), shownAddress(want)))
		}
	}
	text := ""
	if len(wrong) > 0 {
		text = "addresses of data sources" + where + ": " + some(wrong)
	}
	j.add(RuleSourceLeads, text, again, of(led, "data source")+where+" of the old server ask "+j.users)
}

// lacks names what is not on both, or not the same; empty where all is.
func lacks(before, now map[string]string) string {
	var gone, more, other []string
	show := func(uid, title string) string {
		return fmt.Sprintf("%s (%s)", server.Clip(title, 60), server.Clip(uid, 40))
	}
	for _, uid := range slices.Sorted(maps.Keys(before)) {
		switch title, there := now[uid]; {
		case !there:
			gone = append(gone, show(uid, before[uid]))
		case title != before[uid]:
			other = append(other, show(uid, before[uid])+" is called "+server.Clip(title, 60))
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(now)) {
		if _, there := before[uid]; !there {
			more = append(more, show(uid, now[uid]))
		}
	}
	var parts []string
	if len(gone) > 0 {
		parts = append(parts, fmt.Sprintf("the new one lacks %d of %d: %s", len(gone), len(before), some(gone)))
	}
	if len(more) > 0 {
		parts = append(parts, fmt.Sprintf("the new one alone has %d: %s", len(more), some(more)))
	}
	if len(other) > 0 {
		parts = append(parts, "other than on the old one: "+some(other))
	}
	return strings.Join(parts, "; ")
}
