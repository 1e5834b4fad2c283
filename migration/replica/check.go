package replica

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/migration/rule"
)

// Rules that a pair is judged by.
const (
	RuleOneLength = "replica_blocks_have_one_length"
	RuleOneLabel  = "replica_labels_differ_in_one"
	RuleNotLate   = "replica_takes_no_late_samples"
	RuleOneScrape = "replica_scrapes_the_same"
)

// Facts are what a server says of itself, as far as it matters for a pair.
type Facts struct {
	// Name is its address.
	Name string
	// External are its external labels, Jobs the names of its scrape jobs.
	External map[string]string
	Jobs     []string
	// Block is the length of the blocks that it cuts from its head, Late its out_of_order_time_window.
	Block, Late time.Duration
}

// Check judges whether two servers are a pair.
func Check(a, b Facts) []rule.Finding {
	return []rule.Finding{oneLength(a, b), oneLabel(a, b), notLate(a, b), oneScrape(a, b)}
}

func finding(name string, bad string, fix string, fine string) rule.Finding {
	if bad == "" {
		return rule.Finding{Rule: name, Verdict: rule.Fine, Says: fine}
	}
	return rule.Finding{Rule: name, Verdict: rule.Refused, Says: bad, Fix: fix}
}

func oneLength(a, b Facts) rule.Finding {
	bad := ""
	if a.Block != b.Block {
		bad = fmt.Sprintf("%s writes blocks of %s, %s of %s: their ranges do not end at the same times", a.Name, a.Block, b.Name, b.Block)
	}
	return finding(RuleOneLength, bad, "move one of them alone (leave --replica away)", fmt.Sprintf("both write blocks of %s", a.Block))
}

// oneLabel: the label that names the replica may differ, because blocks do not hold it. Two that differ in more are two servers.
func oneLabel(a, b Facts) rule.Finding {
	var differ []string
	all := maps.Clone(a.External)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b.External)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if a.External[name] != b.External[name] {
			differ = append(differ, fmt.Sprintf("%s is %q on %s and %q on %s", name, a.External[name], a.Name, b.External[name], b.Name))
		}
	}
	bad := ""
	if len(differ) > 1 {
		bad = "external labels: " + strings.Join(differ, "; ")
	}
	return finding(RuleOneLabel, bad, "replicas of one server differ in the label that names the replica alone; move two servers one by one, to two new ones",
		"external labels are equal but for the one that names the replica")
}

func notLate(a, b Facts) rule.Finding {
	bad := ""
	for _, x := range []Facts{a, b} {
		if x.Late > 0 {
			bad = fmt.Sprintf("%s takes samples that are up to %s late (out_of_order_time_window): what it wrote of a range may still grow after a replica was chosen for it", x.Name, x.Late)
		}
	}
	return finding(RuleNotLate, bad, "move one of them alone (leave --replica away)", "both take samples in their order alone")
}

// oneScrape looks at names alone: targets come and go, and a job that one of them lacks is missing wherever that one is chosen.
func oneScrape(a, b Facts) rule.Finding {
	var differ []string
	for _, x := range [][2]Facts{{a, b}, {b, a}} {
		for _, job := range x[0].Jobs {
			if !slices.Contains(x[1].Jobs, job) {
				differ = append(differ, fmt.Sprintf("%s has no job %s", x[1].Name, job))
			}
		}
	}
	bad := ""
	if len(differ) > 0 {
		bad = strings.Join(differ, "; ") + ": where it is chosen, those samples are missing"
	}
	return finding(RuleOneScrape, bad, "let both scrape the same, or move one of them alone (leave --replica away)", fmt.Sprintf("both have the same jobs: %s", strings.Join(a.Jobs, ", ")))
}
