package doctor

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// Bounds of what else runs on a node.
const (
	foreignCPU  = 25 // percent of the machine
	foreignDisk = 10 // percent of the disk
)

func nodeChecks() []check {
	stats := []state.Part{state.PartNodes, state.PartNodeStats}
	return []check{
		{"heap_dumps_lie_apart", "heap dumps do not go to the disk of the data", stats, (*patient).heapDumps},
		{"nothing_else_takes_the_processors", "no other program takes the processors of a node", stats, (*patient).foreignLoad},
		{"nothing_else_fills_the_disks", "disks hold shards and little else", stats, (*patient).foreignBytes},
	}
}

// dumpsOnData says that a heap dump of a node goes to a file system that holds data.
func dumpsOnData(n *state.Node) (string, bool) {
	if !n.HeapDumps {
		return "", false
	}
	where := n.HeapDumpPath
	if where == "" {
		where = "."
	}
	if !path.IsAbs(where) {
		if n.HomePath == "" {
			return where, false
		}
		where = path.Join(n.HomePath, where)
	}
	for _, d := range n.DataPaths {
		if beneath(where, d.Path) || d.Mount != "" && d.Mount != "/" && beneath(where, mountPoint(d.Mount)) {
			return where, true
		}
	}
	return where, false
}

// mountPoint is /data of "/data (/dev/vdb)", as the servers write it.
func mountPoint(mount string) string {
	point, _, _ := strings.Cut(mount, " (")
	return point
}

func beneath(file, dir string) bool {
	file, dir = path.Clean(file), path.Clean(dir)
	return file == dir || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
}

func (p *patient) heapDumps() []Finding {
	var on, fills []string
	var example capacity.Sum
	for i := range p.c.Nodes {
		n := &p.c.Nodes[i]
		where, bad := dumpsOnData(n)
		if !bad {
			continue
		}
		on = append(on, fmt.Sprintf("%s (%s)", n.Name, where))
		left := n.DiskFreeBytes - n.HeapMaxBytes
		if n.DiskTotalBytes > 0 && float64(left) < float64(n.DiskTotalBytes)*(1-p.watermark("flood_stage", 0.95, n.DiskTotalBytes)) {
			fills = append(fills, fmt.Sprintf("%s (%s)", n.Name, where))
			in := []capacity.Number{capacity.Size(n.DiskFreeBytes), capacity.Size(n.HeapMaxBytes)}
			out := capacity.Size(left)
			out.Name = "left of " + capacity.Size(n.DiskTotalBytes).String()
			example = capacity.Sum{In: in, Out: out, Text: fmt.Sprintf("%s - %s = %s", in[0], in[1], out)}
		}
	}
	if len(on) == 0 {
		return nil
	}
	f := Finding{Severity: Change, Says: fmt.Sprintf("%s, when out of memory, a heap dump to the disk of the data: each is as large as the heap, and stays", many(len(on), "node writes", "nodes write")),
		Fix: "set -XX:HeapDumpPath to another disk, or to a file of one fixed name, which a second dump does not overwrite"}
	if len(fills) > 0 {
		f.Severity, f.Sums = Hurts, []capacity.Sum{example}
		f.Says += fmt.Sprintf("; on %d of them one dump takes the disk over the flood stage", len(fills))
		on = fills
	}
	slices.Sort(on)
	return []Finding{f.about(on)}
}

func (p *patient) foreignLoad() []Finding {
	var names []string
	for i := range p.c.Nodes {
		n := &p.c.Nodes[i]
		if n.CPUPercent < 0 || n.ProcessCPUPercent < 0 || n.CPUPercent > 100 {
			continue
		}
		if other := n.CPUPercent - n.ProcessCPUPercent; other >= foreignCPU {
			names = append(names, fmt.Sprintf("%s (%d %% of the machine, %d %% the server)", n.Name, n.CPUPercent, n.ProcessCPUPercent))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Finding{Finding{Severity: Change, Says: fmt.Sprintf("on %s other programs took the processors when this was looked at", many(len(names), "node", "nodes")),
		Fix: "see on the host which agent, backup or log shipper it is, and limit it"}.about(names)}
}

func (p *patient) foreignBytes() []Finding {
	var names []string
	var all int64
	for _, n := range p.data {
		if n.DiskTotalBytes <= 0 || len(n.DataPaths) == 0 || n.ShardBytes <= 0 {
			continue
		}
		other := n.DiskTotalBytes - n.DiskFreeBytes - n.ShardBytes
		if other*100 >= n.DiskTotalBytes*foreignDisk {
			names, all = append(names, fmt.Sprintf("%s (%s beside %s of shards)", n.Name, capacity.Size(other), capacity.Size(n.ShardBytes))), all+other
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []Finding{Finding{Severity: Change, Says: fmt.Sprintf("on %s something else takes %s of the data disks", many(len(names), "data node", "data nodes"), capacity.Size(all)),
		Fix: "look for heap dumps, logs, and indices that the cluster forgot (dangling ones)"}.about(names)}
}
