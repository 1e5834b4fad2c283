package doctor

import (
	"fmt"
	"math"
	"time"

	"github.com/slipway-dev/slipway/search/slot"
	"github.com/slipway-dev/slipway/search/state"
)

// Options are what people know and no cluster tells.
type Options struct {
	// TimeZone is the zone that names of indices are in; UTC where it is empty.
	TimeZone string
	// KeepDays is how long logs are kept; 0 when nobody said: then nothing is taken to be deleted but by policies that are attached.
	KeepDays int
	// PlannedBytesPerDay is the volume that the cluster was bought for, in bytes of primaries; 0 compares with four weeks ago.
	PlannedBytesPerDay int64
	// DocsPerSecondPerNode is a measured rate of one hot node; 0 takes capacity.DocsPerSecondPerCore.
	DocsPerSecondPerNode float64
	// TierAttribute is the node attribute that tells tiers apart; empty finds it out.
	TierAttribute string
}

// check is one rule.
type check struct {
	name string
	// says is the rule in words: what is fine when nothing was found.
	says  string
	needs []state.Part
	judge func(*patient) []Finding
}

// Rules lists the names of all rules with what each says, in the order in which they are judged.
func Rules() [][2]string {
	var all [][2]string
	for _, c := range checks() {
		all = append(all, [2]string{c.name, c.says})
	}
	return all
}

func checks() []check {
	var all []check
	for _, group := range [][]check{liveChecks(), masterChecks(), shardChecks(), diskChecks(), slotChecks(), settingChecks(), indexChecks(), policyChecks(), nodeChecks(), goLiveChecks()} {
		all = append(all, group...)
	}
	return all
}

// Check says what in the options cannot be, for names of about some time: whether a zone has a steady clock depends on it.
func (o Options) Check(near time.Time) error {
	if o.KeepDays < 0 || o.PlannedBytesPerDay < 0 || o.DocsPerSecondPerNode < 0 || math.IsNaN(o.DocsPerSecondPerNode) || math.IsInf(o.DocsPerSecondPerNode, 0) {
		return fmt.Errorf("days to keep %d, planned bytes %d and docs/s per node %v must not be negative", o.KeepDays, o.PlannedBytesPerDay, o.DocsPerSecondPerNode)
	}
	_, err := slot.Find(nil, o.TimeZone, near)
	return err
}

// Examine judges a state. Times are counted from when the state was taken. Its errors are those of the options.
func Examine(c *state.Cluster, o Options) (*Report, error) {
	if err := o.Check(c.TakenAt); err != nil {
		return nil, err
	}
	p, err := newPatient(c, o)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Cluster: c.Name, Product: string(c.Product), Version: c.Version, TakenAt: c.TakenAt.UTC().Truncate(time.Second),
		Nodes: len(c.Nodes), Shards: p.shards, Indices: len(c.Indices), Health: c.Health.Status, Series: p.seen(), Counts: map[string]int{},
	}
	for _, k := range checks() {
		r.Findings = append(r.Findings, k.run(p)...)
	}
	rank(r.Findings)
	for _, f := range r.Findings {
		r.Counts[string(f.Severity)]++
	}
	return r, nil
}

func (k check) run(p *patient) []Finding {
	for _, part := range k.needs {
		if why, unseen := p.c.WhyUnseen(part); unseen {
			return []Finding{{Rule: k.name, Severity: Unknown, Says: fmt.Sprintf("%s could not be seen: %s", part, why)}}
		}
	}
	found := k.judge(p)
	if len(found) == 0 {
		return []Finding{{Rule: k.name, Severity: Fine, Says: k.says}}
	}
	for i := range found {
		found[i].Rule = k.name
	}
	return found
}
