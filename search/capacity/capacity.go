// Package capacity is the arithmetic of search clusters for logs: documents, disks, shards and the heap of masters. It is pure, and every result
// brings the numbers that it was made of, so that people can follow it and disagree.
package capacity

import (
	"fmt"
	"math"
	"strings"
)

// Rules of thumb, with where they are from.
const (
	// DocsPerSecondPerCore: a hot node of 8 cores and 32 GB takes some 20,000 documents a second (Tencent's write-ups of petabyte log clusters).
	// Benchmarks with tiny documents reach six times that: a measured rate is better.
	DocsPerSecondPerCore = 2_500
	// ShardsPerHeapGiB: 20 shards for each GB of heap, before Elasticsearch 8.3 (size-your-shards in its documentation of 7.x).
	ShardsPerHeapGiB = 20
	// IndicesPerMasterHeapGiB: 1 GB of master heap for each 3,000 indices, since Elasticsearch 8.3 (size-your-shards, elastic/elasticsearch#86223).
	IndicesPerMasterHeapGiB = 3_000
	// EntryBytes is what one shard on one node costs the master while it fetches all of them after a full restart: 163 nodes with 80,000 shards took
	// 21 GB (elastic/elasticsearch#76218).
	EntryBytes = 1_700
	// SmallEntryBytes is the same since Elasticsearch 7.16 (elastic/elasticsearch#77991).
	SmallEntryBytes = 128
	// SmallestShardBytes is the least that a shard of logs should have (size-your-shards).
	SmallestShardBytes = 10_000_000_000
	// LargestShardBytes is the most (size-your-shards).
	LargestShardBytes = 50_000_000_000
	// LargestShardDocs is Lucene's limit, less what the servers keep back.
	LargestShardDocs = 2_147_483_519
)

// Sum is a result and what it was made of.
type Sum struct {
	// Text is the whole sum, such as 193 nodes × 118 422 shards × 1.7 KB = 38.9 GB.
	Text string   `json:"text"`
	In   []Number `json:"in"`
	Out  Number   `json:"out"`
}

// Number is a value with what it counts.
type Number struct {
	// Name says what it is: nodes, shards; empty for bytes that need none.
	Name  string  `json:"name,omitempty"`
	Value float64 `json:"value"`
	Unit  Unit    `json:"unit,omitempty"`
}

// Unit is what a number is measured in; none is a count.
type Unit string

// Bytes are printed in thousands, as disks are sold: KB, MB, GB, TB.
const Bytes Unit = "bytes"

// Count is a number of things.
func Count(n int, of string) Number { return Number{Name: of, Value: float64(n)} }

// Size is a number of bytes.
func Size(n int64) Number { return Number{Value: float64(n), Unit: Bytes} }

// String is the number for people, with its name behind it.
func (n Number) String() string {
	text := Grouped(n.Value)
	if n.Unit == Bytes {
		text = BytesText(n.Value)
	}
	return strings.TrimSuffix(text+" "+n.Name, " ")
}

// Grouped writes a count as 118 422, and small fractions with one digit.
func Grouped(v float64) string {
	if v = math.Round(v*10) / 10; math.Abs(v) < 100 && v != math.Trunc(v) {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", math.Abs(v))
	var b strings.Builder
	if v < 0 && digits != "0" {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// BytesText writes bytes in thousands: 38.9 GB, 360 TB.
func BytesText(v float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}} {
		if math.Abs(v) >= unit.size {
			text := fmt.Sprintf("%.1f", v/unit.size)
			if math.Abs(v) >= 100*unit.size {
				text = Grouped(math.Round(v / unit.size))
			}
			return strings.TrimSuffix(text, ".0") + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

// Product multiplies.
func Product(out Number, in ...Number) Sum {
	out.Value = 1
	var words []string
	for _, n := range in {
		out.Value *= n.Value
		words = append(words, n.String())
	}
	return Sum{In: in, Out: out, Text: strings.Join(words, " × ") + " = " + out.String()}
}

// DocsPerSecond is what hot nodes take: each document is written once for each copy.
func DocsPerSecond(nodes int, perNode float64, copies int) Sum {
	out := Number{Name: "docs/s", Value: float64(nodes) * perNode / float64(max(copies, 1))}
	in := []Number{Count(nodes, "nodes"), {Name: "docs/s", Value: perNode}, Count(copies, "copies")}
	return Sum{In: in, Out: out, Text: fmt.Sprintf("%s × %s / %s = %s", in[0], in[1], in[2], out)}
}

// Disk is what nodes hold together.
func Disk(nodes int, each int64) Sum { return Product(Size(0), Count(nodes, "nodes"), Size(each)) }

// Nodes is how many nodes of a size hold some bytes.
func Nodes(bytes, each int64) Sum {
	out := Count(0, "nodes")
	if each > 0 {
		out.Value = math.Ceil(float64(bytes) / float64(each))
	}
	return Sum{In: []Number{Size(bytes), Size(each)}, Out: out, Text: fmt.Sprintf("%s / %s = %s", Size(bytes), Size(each), out)}
}

// RestartHeap is what a master needs while it finds out which shards lie where, after all nodes were started again.
func RestartHeap(nodes, shards int, entry int64) Sum {
	return Product(Size(0), Count(nodes, "nodes"), Count(shards, "shards"), Size(entry))
}

// Stage is a part of the life of every index of a series, with how many shards it has then.
type Stage struct {
	Days      float64
	Primaries int
	Copies    int
}

// Shards is how many shards a series has when every stage is full.
func Shards(slotHours float64, stages []Stage) Sum {
	out := Count(0, "shards")
	var words []string
	var in []Number
	for _, s := range stages {
		slots := 24 / slotHours
		out.Value += s.Days * slots * float64(s.Primaries*s.Copies)
		in = append(in, Number{Name: "days", Value: s.Days}, Number{Name: "slots a day", Value: slots}, Count(s.Primaries, "primaries"), Count(s.Copies, "copies"))
		words = append(words, fmt.Sprintf("%s days × %s slots × %d primaries × %d", Grouped(s.Days), Grouped(slots), s.Primaries, s.Copies))
	}
	out.Value = math.Round(out.Value)
	return Sum{In: in, Out: out, Text: strings.Join(words, " + ") + " = " + out.String()}
}
