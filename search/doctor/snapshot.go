package doctor

import (
	"fmt"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// staleSnapshot is how old the newest good snapshot may be.
const staleSnapshot = 48 * time.Hour

// kept are the indices that successful snapshots name; unnamed says that some snapshots did not tell theirs.
func (p *patient) kept() (names map[string]bool, unnamed bool) {
	names = map[string]bool{}
	for _, s := range p.c.Snapshots {
		unnamed = unnamed || len(s.IndexNames) == 0 && s.Indices > 0
		if s.State == "SUCCESS" {
			for _, name := range s.IndexNames {
				names[name] = true
			}
		}
	}
	return names, unnamed
}

func (p *patient) snapshots() []Finding {
	if len(p.c.Repositories) == 0 {
		return []Finding{{Severity: Change, Says: "there is no repository, so no snapshot: what is lost or deleted by mistake is gone", Fix: "register a repository and take snapshots"}}
	}
	kept, _ := p.kept()
	newest, good := p.newestSnapshot()
	var found []Finding
	if bad := p.brokenSnapshots(newest, kept); len(bad) > 0 {
		found = append(found, Finding{Severity: Change, Says: many(len(bad), "snapshot", "snapshots") + " not whole, with what no later good one holds: PARTIAL is a failure, whatever a policy makes of it",
			Fix: "find out why, and take them again before anything is deleted or loses a replica"}.about(sortedNames(bad)))
	}
	if !good {
		return append(found, Finding{Severity: Change, Says: "no successful snapshot was seen", Fix: "take one, and let a schedule take the next"})
	}
	says, at := "the newest successful snapshot is", newest
	if newest == 0 {
		// A listing without times: a snapshot is no older than the newest index that lies in it.
		says = "no index that is here lies in a successful snapshot"
		for i := range p.c.Indices {
			if x := &p.c.Indices[i]; kept[x.Name] && x.CreatedMillis > at {
				says, at = "the newest index that lies in a successful snapshot, "+x.Name+", is", x.CreatedMillis
			}
		}
	}
	if at == 0 {
		return append(found, Finding{Severity: Change, Says: says, Fix: "take one, and let a schedule take the next"})
	}
	if age := p.now.Sub(time.UnixMilli(at)); age > staleSnapshot {
		f := Finding{Severity: Change, Says: fmt.Sprintf("%s %.0f days old", says, age.Hours()/24), Fix: "take a snapshot, and let a schedule take the next"}
		if n, bytes := p.madeSince(at); n > 0 {
			f.Says += fmt.Sprintf("; %s (%s of primaries) came since", many(n, "index", "indices"), capacity.Size(bytes))
		}
		found = append(found, f)
	}
	return found
}

// newestSnapshot is the end of the newest successful snapshot, 0 where times were not told, and whether there is one.
func (p *patient) newestSnapshot() (millis int64, any bool) {
	for _, s := range p.c.Snapshots {
		if s.State == "SUCCESS" {
			millis, any = max(millis, s.EndedMillis), true
		}
	}
	return millis, any
}

// brokenSnapshots are those that failed since the newest good one; where times were not told, those with an index that lies in no good one.
func (p *patient) brokenSnapshots(newest int64, kept map[string]bool) []string {
	var bad []string
	for _, s := range p.c.Snapshots {
		if s.State != "PARTIAL" && s.State != "FAILED" {
			continue
		}
		missing := s.EndedMillis >= newest
		if s.EndedMillis == 0 && len(s.IndexNames) > 0 {
			missing = false
			for _, name := range s.IndexNames {
				missing = missing || !kept[name] && p.byName[name] != nil
			}
		}
		switch {
		case missing && s.ShardsTotal > 0:
			bad = append(bad, fmt.Sprintf("%s/%s (%s, %d of %d shards failed)", s.Repository, s.Name, s.State, s.ShardsFailed, s.ShardsTotal))
		case missing:
			bad = append(bad, fmt.Sprintf("%s/%s (%s)", s.Repository, s.Name, s.State))
		}
	}
	return bad
}

// madeSince counts indices of people that were created after some time, with their bytes.
func (p *patient) madeSince(millis int64) (n int, bytes int64) {
	for i := range p.c.Indices {
		if x := &p.c.Indices[i]; x.CreatedMillis > millis && !x.System() && x.Mounted == "" {
			n, bytes = n+1, bytes+max(x.PrimaryBytes, 0)
		}
	}
	return n, bytes
}

func snapshotChecks() []check {
	return []check{{"snapshots_succeed", "the newest snapshots succeeded", []state.Part{state.PartRepositories, state.PartSnapshots}, (*patient).snapshots}}
}
