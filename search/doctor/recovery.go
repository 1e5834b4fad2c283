package doctor

import (
	"fmt"
	"math"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

const (
	recoverySpeed = "indices.recovery.max_bytes_per_sec"
	// recoveryBytes is what it is by default, for each node; Elasticsearch gives nodes that are cold or frozen alone more.
	recoveryBytes = 40 << 20
	// fastRecovery is from where recoveries take most of a 10 Gbit/s network.
	fastRecovery = 500 << 20
	// slowReturn is how long the shards of a lost node may take to come back.
	slowReturn = 24 * time.Hour
)

func recoveryChecks() []check {
	return []check{
		{"recoveries_have_a_limit", "what recoveries may take of disks and network is limited", []state.Part{state.PartSettings, state.PartNodes}, (*patient).unlimitedRecovery},
		{"a_lost_node_comes_back_in_a_day", "the shards of one lost node are copied again within a day", []state.Part{state.PartSettings, state.PartNodes, state.PartNodeStats}, (*patient).slowRecovery},
	}
}

// recoveryRate is what recoveries may take of each node, bytes a second; 0 for no limit.
func (p *patient) recoveryRate() int64 {
	text, _ := p.c.Settings.Get(recoverySpeed)
	if text == "0" || text == "-1" {
		return 0
	}
	if n, ok := parseBytes(text); ok {
		return n
	}
	return recoveryBytes
}

func (p *patient) unlimitedRecovery() []Finding {
	text, from := p.c.Settings.Get(recoverySpeed)
	rate := p.recoveryRate()
	if from == state.FromNowhere || from == state.FromDefaults || rate > 0 && rate < fastRecovery {
		return nil
	}
	f := Finding{Severity: Change, Fix: "take it away, or set it to what disks and network have to spare beside writing and searching", Requests: p.unset(recoverySpeed),
		Source: "40mb for each node by default"}
	if rate == 0 {
		f.Says = fmt.Sprintf("%s = %s (%s): recoveries take all of the network and the disks that they get, and writing waits", recoverySpeed, text, from)
		return []Finding{f}
	}
	sum := capacity.Product(capacity.Size(0), capacity.Count(len(p.data), "data nodes"), capacity.Size(rate))
	sum.Text += " a second"
	f.Sums = []capacity.Sum{sum}
	f.Says = fmt.Sprintf("%s = %s (%s): recoveries may move %s a second through the network", recoverySpeed, text, from, sum.Out)
	return []Finding{f}
}

// slowRecovery is about the fullest node of each tier: while its shards are copied again, each has one copy less.
func (p *patient) slowRecovery() []Finding {
	rate := p.recoveryRate()
	if rate == 0 {
		return nil
	}
	var found []Finding
	for _, tier := range p.tiers.names {
		nodes := p.tiers.nodes[tier]
		var worst *state.Node
		for _, n := range nodes {
			if worst == nil || n.ShardBytes > worst.ShardBytes {
				worst = n
			}
		}
		if len(nodes) < 2 || worst.ShardBytes <= 0 {
			continue
		}
		in := []capacity.Number{capacity.Size(worst.ShardBytes), capacity.Count(len(nodes)-1, "nodes"), capacity.Size(rate)}
		took := time.Duration(in[0].Value / in[1].Value / in[2].Value * float64(time.Second))
		if took <= slowReturn {
			continue
		}
		out := capacity.Number{Name: "hours", Value: math.Ceil(took.Hours())}
		found = append(found, Finding{Severity: Change,
			Says: fmt.Sprintf("tier %s: the shards of %s would take %s to be copied again if it were lost, and a second loss meanwhile may lose data", tier, worst.Name, out),
			Sums: []capacity.Sum{{In: in, Out: out, Text: fmt.Sprintf("%s / %s / %s a second = %s", in[0], in[1], in[2], out)}},
			Fix:  "have smaller or more nodes, or a higher " + recoverySpeed + " where disks and network have it to spare"})
	}
	return found
}
