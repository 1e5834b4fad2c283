package volume

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-dev/slipway/migration/rule"
)

type (
	// Verdict is that of all checks.
	Verdict = rule.Verdict
	// Finding is that of all checks.
	Finding = rule.Finding
)

// Verdicts, the worst last.
const (
	Fine       = rule.Fine
	Warns      = rule.Warns
	Overridden = rule.Overridden
	// Unknown is what could not be tried, because something before it failed.
	Unknown = rule.Unknown
	Refused = rule.Refused
)

// Names of the rules. One that refuses can be overridden by its name.
const (
	RuleLocalFileSystem   = "local_file_system"
	RuleDurableFileSystem = "durable_file_system"
	RuleWritableByServer  = "writable_by_server"
	RuleDeletableByServer = "deletable_by_server"
	RuleRenameIsAtomic    = "rename_is_atomic"
	RuleSyncReachesDisk   = "sync_reaches_disk"
	RuleLocksAndMappings  = "locks_and_mappings"
	RuleCapacity          = "capacity"
	RuleInodes            = "inodes"
	RuleSyncLatency       = "sync_latency"
	RuleRandomReads       = "random_reads"
	RuleSequentialWrites  = "sequential_writes"
)

// Rules lists all rules in the order in which they are judged.
func Rules() []string {
	return []string{RuleLocalFileSystem, RuleDurableFileSystem, RuleWritableByServer, RuleDeletableByServer, RuleRenameIsAtomic,
		RuleSyncReachesDisk, RuleLocksAndMappings, RuleCapacity, RuleInodes, RuleSyncLatency, RuleRandomReads, RuleSequentialWrites}
}

// Need is what a server will ask of a volume; zero fields are not judged.
type Need struct {
	// Bytes of all blocks that will lie there.
	Bytes int64 `json:"bytes"`
	// LargestBlockBytes is the largest block: a compaction writes it anew before it deletes the old ones.
	LargestBlockBytes int64 `json:"largestBlockBytes"`
	// HeadBytes is the write-ahead log and the chunks of the head at their largest.
	HeadBytes int64 `json:"headBytes"`
}

// Total is what must fit, with a fifth to spare: size retention above 80 % of a volume has no room for a compaction
// (https://prometheus.io/docs/prometheus/latest/storage/#right-sizing-retention-size).
func (n Need) Total() int64 { return (n.Bytes + n.LargestBlockBytes + n.HeadBytes) / 10 * 12 }

// Bounds of the numbers: below them a server works but people wait.
const (
	slowSync       = 100_000   // µs, p99
	brokenSync     = 1_000_000 // µs, p99
	fewRandomReads = 300       // per second: a single spinning disk has about 100
	slowWrites     = 40 << 20  // bytes per second
	fewInodes      = 10_000
)

// Judge holds a volume against what a server needs. Rules named in override do not refuse, but stay listed.
func Judge(r *Report, need Need, override []string) []Finding {
	findings := []Finding{
		local(r), durable(r),
		able(r, RuleWritableByServer, "give the directory to that user, or set fsGroup (Kubernetes), or mount it without read-only", MakeDirectory, WriteFile, UseWhatIsThere),
		able(r, RuleDeletableByServer, "a server that can write but not delete fails at its first compaction and at retention", DeleteOpenFile, DeleteDirectory),
		able(r, RuleRenameIsAtomic, "use a volume with a local file system: blocks and meta.json get their names by rename", RenameDirectory, ReplaceFile),
		able(r, RuleSyncReachesDisk, "use a volume whose file system syncs files and directories", SyncFile, SyncDirectory),
		able(r, RuleLocksAndMappings, "use a volume with a local file system: blocks are mapped into memory", LockFile, MapFile),
		capacity(r, need), inodes(r),
	}
	switch {
	case r.Measured:
		findings = append(findings, syncLatency(r), randomReads(r), sequentialWrites(r))
	case r.Failure != "":
		for _, name := range []string{RuleSyncLatency, RuleRandomReads, RuleSequentialWrites} {
			findings = append(findings, Finding{Rule: name, Verdict: Unknown, Says: "could not be measured: " + r.Failure})
		}
	}
	return rule.Override(findings, override)
}

// Worst is the worst verdict of all.
func Worst(findings []Finding) Verdict { return rule.Worst(findings) }

// remote are file systems on another machine; Prometheus supports none of them.
func remote(fsType string) bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "glusterfs", "lustre", "virtiofs"}, fsType)
}

func numbers(r *Report) string {
	if !r.Measured {
		return "nothing could be measured"
	}
	return fmt.Sprintf("measured: sync p99 %s, %d random reads/s, %d MiB/s written", millis(r.Sync.P99), r.RandomReadsPerSecond, r.SequentialWriteBytesPerSecond>>20)
}

func local(r *Report) Finding {
	fs := r.FileSystem
	f := Finding{Rule: RuleLocalFileSystem, Verdict: Fine, Says: fmt.Sprintf("%s on %s", fs.Type, fs.Source)}
	fix := "use block storage with ext4 or xfs; Prometheus asks for a local file system"
	switch {
	case remote(fs.Type):
		f.Verdict, f.Fix = Refused, fix
		f.Says = fmt.Sprintf("%s lies on another machine (%s); %s", fs.Type, fs.Source, numbers(r))
	case strings.HasPrefix(fs.Type, "fuse"):
		f.Verdict, f.Fix = Refused, fix
		f.Says = fmt.Sprintf("%s (%s) is a program, and nobody knows what its sync and its rename mean; %s", fs.Type, fs.Source, numbers(r))
	case fs.Type == "ceph" || fs.Type == "gpfs" || fs.Type == "ocfs2" || fs.Type == "gfs2":
		f.Verdict, f.Fix = Warns, fix
		f.Says = fmt.Sprintf("%s is shared by several machines; %s", fs.Type, numbers(r))
	}
	return f
}

func durable(r *Report) Finding {
	f := Finding{Rule: RuleDurableFileSystem, Verdict: Fine, Says: r.FileSystem.Type + " outlives the server"}
	switch r.FileSystem.Type {
	case "tmpfs", "ramfs":
		f = Finding{Rule: f.Rule, Verdict: Refused, Says: r.FileSystem.Type + " is memory: it is empty after a reboot", Fix: "use a volume that lies on a disk"}
	case "overlay", "aufs":
		f = Finding{Rule: f.Rule, Verdict: Refused, Says: r.FileSystem.Type + " is the layer of a container: it goes with the container", Fix: "mount a volume at this directory"}
	}
	return f
}

func able(r *Report, name, fix string, names ...string) Finding {
	who := fmt.Sprintf("as uid %d, gid %d, groups %v", r.UID, r.GID, r.Groups)
	var cannot []string
	for _, a := range r.Abilities {
		if a.Error != "" && slices.Contains(names, a.Name) {
			cannot = append(cannot, fmt.Sprintf("%s: %s", a.Name, a.Error))
		}
	}
	switch {
	case len(cannot) > 0:
		return Finding{Rule: name, Verdict: Refused, Says: strings.Join(cannot, "; ") + " " + who, Fix: fix}
	case !slices.ContainsFunc(names, func(n string) bool { return !r.Able(n) }):
		return Finding{Rule: name, Verdict: Fine, Says: strings.Join(names, ", ") + " " + who}
	}
	return Finding{Rule: name, Verdict: Unknown, Says: "could not be tried " + who}
}

func capacity(r *Report, need Need) Finding {
	f := Finding{Rule: RuleCapacity, Verdict: Fine}
	free, total := r.FileSystem.FreeBytes+r.PresentBytes, need.Total()
	f.Says = fmt.Sprintf("%d MiB are free; the need was not said", free>>20)
	if total == 0 {
		return f
	}
	f.Says = fmt.Sprintf("%d MiB are free, %d MiB are needed: blocks %d, the largest of them written anew %d, head %d, and a fifth to spare",
		free>>20, total>>20, need.Bytes>>20, need.LargestBlockBytes>>20, need.HeadBytes>>20)
	if r.PresentBytes > 0 {
		f.Says += fmt.Sprintf("; counted as free: %d MiB of the source's blocks that lie there already", r.PresentBytes>>20)
	}
	if free < total {
		f.Verdict, f.Fix = Refused, fmt.Sprintf("make the volume larger by %d MiB, or shorten the retention", (total-free)>>20+1)
	}
	return f
}

func inodes(r *Report) Finding {
	f := Finding{Rule: RuleInodes, Verdict: Fine, Says: "made as they are needed"}
	if r.FileSystem.Inodes > 0 {
		f.Says = fmt.Sprintf("%d of %d are free", r.FileSystem.FreeInodes, r.FileSystem.Inodes)
		if r.FileSystem.FreeInodes < fewInodes {
			f.Verdict, f.Fix = Refused, "remove files, or make the file system anew with more inodes"
		}
	}
	return f
}

func syncLatency(r *Report) Finding {
	f := Finding{Rule: RuleSyncLatency, Verdict: Fine, Says: fmt.Sprintf("%d syncs of 32 KiB: p50 %s, p99 %s, max %s",
		r.Sync.Count, millis(r.Sync.P50), millis(r.Sync.P99), millis(r.Sync.Max))}
	switch {
	case r.Sync.P99 > brokenSync:
		f.Verdict, f.Fix = Refused, "a second per sync stops the write-ahead log: use another class of volume"
	case r.Sync.P99 > slowSync:
		f.Verdict, f.Fix = Warns, "above 100 ms scrapes and rules are late while a block is written: use another class of volume"
	}
	return f
}

func randomReads(r *Report) Finding {
	f := Finding{Rule: RuleRandomReads, Verdict: Fine, Says: fmt.Sprintf("%d reads of 4 KiB: %d per second, p99 %s; 16 at once: %d per second",
		r.RandomRead.Count, r.RandomReadsPerSecond, millis(r.RandomRead.P99), r.ParallelReadsPerSecond)}
	switch {
	case r.ThroughCache:
		f.Says += ", through the page cache: this file system knows no direct reads"
	case r.RandomReadsPerSecond < fewRandomReads:
		f.Verdict, f.Fix = Warns, fmt.Sprintf("below %d per second large queries over old blocks take minutes: use another class of volume", fewRandomReads)
	}
	return f
}

func sequentialWrites(r *Report) Finding {
	f := Finding{Rule: RuleSequentialWrites, Verdict: Fine, Says: fmt.Sprintf("%d MiB/s written (around the page cache %d), %d MiB/s read; %d random writes of 4 KiB per second",
		r.SequentialWriteBytesPerSecond>>20, r.DirectWriteBytesPerSecond>>20, r.SequentialReadBytesPerSecond>>20, r.RandomWritesPerSecond)}
	if r.SequentialWriteBytesPerSecond < slowWrites {
		f.Verdict, f.Fix = Warns, fmt.Sprintf("below %d MiB/s a compaction of a large block takes hours: use another class of volume", slowWrites>>20)
	}
	return f
}

func millis(us int64) string { return fmt.Sprintf("%.1f ms", float64(us)/1000) }
