package volume

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// good is a volume that nothing speaks against.
func good() *Report {
	r := &Report{
		Dir: "/data", UID: 1000, GID: 1000, Groups: []int{2000}, Measured: true,
		FileSystem: FileSystem{Type: "ext4", Source: "/dev/sdb", FreeBytes: 1000 << 30, Inodes: 1 << 20, FreeInodes: 1 << 20},
		Sync:       Latency{300, 900, 4_000, 9_000}, RandomRead: Latency{2000, 100, 400, 900}, RandomReadsPerSecond: 9000,
		SequentialWriteBytesPerSecond: 400 << 20, SequentialReadBytesPerSecond: 500 << 20,
	}
	for _, n := range []string{MakeDirectory, WriteFile, SyncFile, SyncDirectory, RenameDirectory, ReplaceFile, DeleteOpenFile, DeleteDirectory, LockFile, MapFile, LinkFile, UseWhatIsThere} {
		r.Abilities = append(r.Abilities, Ability{Name: n})
	}
	return r
}

func cannot(name, why string) func(*Report) {
	return func(r *Report) {
		i := slices.IndexFunc(r.Abilities, func(a Ability) bool { return a.Name == name })
		r.Abilities[i].Error = why
	}
}

func TestJudge(t *testing.T) {
	need := Need{Bytes: 700 << 30, LargestBlockBytes: 30 << 30, HeadBytes: 20 << 30}
	cases := []struct {
		name     string
		change   func(*Report)
		override []string
		rule     string
		want     Verdict
		says     string
	}{
		{"a good volume is fine", func(*Report) {}, nil, "", Fine, ""},
		{"nfs is refused with its numbers", func(r *Report) { r.FileSystem.Type, r.FileSystem.Source, r.Sync.P99 = "nfs4", "nas:/x", 94_000 }, nil, RuleLocalFileSystem, Refused, "nas:/x); measured: sync p99 94.0 ms, 9000 random reads/s"},
		{"nfs passes by name and stays listed", func(r *Report) { r.FileSystem.Type = "nfs" }, []string{RuleLocalFileSystem}, RuleLocalFileSystem, Overridden, "another machine"},
		{"another name lets nothing pass", func(r *Report) { r.FileSystem.Type = "nfs" }, []string{RuleCapacity}, RuleLocalFileSystem, Refused, ""},
		{"fuse is refused", func(r *Report) { r.FileSystem.Type = "fuse.s3fs" }, nil, RuleLocalFileSystem, Refused, "is a program"},
		{"a shared disk warns", func(r *Report) { r.FileSystem.Type = "ceph" }, nil, RuleLocalFileSystem, Warns, "several machines"},
		{"memory is refused", func(r *Report) { r.FileSystem.Type = "tmpfs" }, nil, RuleDurableFileSystem, Refused, "empty after a reboot"},
		{"a container's layer is refused", func(r *Report) { r.FileSystem.Type = "overlay" }, nil, RuleDurableFileSystem, Refused, "goes with the container"},
		{"no right to make a directory", cannot(MakeDirectory, "mkdir: permission denied"), nil, RuleWritableByServer, Refused, "mkdir: permission denied as uid 1000, gid 1000, groups [2000]"},
		{"no right to what is there", cannot(UseWhatIsThere, "wal, which belongs to uid 0, gid 0 (mode 0755): permission denied"), nil, RuleWritableByServer, Refused, "wal, which belongs to uid 0"},
		{"what failed while it was measured is not fine", func(r *Report) { r.Measured, r.Failure = false, "syncs of small writes: input/output error" }, nil, RuleSyncLatency, Unknown, "input/output error"},
		{"no right to delete", cannot(DeleteDirectory, "unlinkat: operation not permitted"), nil, RuleDeletableByServer, Refused, "operation not permitted"},
		{"a file that stays while it is open", cannot(DeleteOpenFile, "remove: .nfs01 stays behind"), nil, RuleDeletableByServer, Refused, ".nfs01"},
		{"a rename that fails", cannot(RenameDirectory, "rename: not supported"), nil, RuleRenameIsAtomic, Refused, "not supported"},
		{"a sync that fails", cannot(SyncDirectory, "sync: invalid argument"), nil, RuleSyncReachesDisk, Refused, "invalid argument"},
		{"no mapping", cannot(MapFile, "mmap: no such device"), nil, RuleLocksAndMappings, Refused, "no such device"},
		{"no hard link is no matter", cannot(LinkFile, "link: not permitted"), nil, "", Fine, ""},
		{"what was not tried is not fine", func(r *Report) { r.Abilities, r.Measured = r.Abilities[:2], false }, nil, RuleRenameIsAtomic, Unknown, "could not be tried"},
		{"too small", func(r *Report) { r.FileSystem.FreeBytes = 800 << 30 }, nil, RuleCapacity, Refused, "819200 MiB are free, 921600 MiB are needed"},
		{"too small with the blocks that lie there", func(r *Report) { r.FileSystem.FreeBytes, r.PresentBytes = 700<<30, 100<<30 }, nil, RuleCapacity, Refused, "819200 MiB are free, 921600 MiB are needed"},
		{"large enough with the blocks that lie there", func(r *Report) { r.FileSystem.FreeBytes, r.PresentBytes = 800<<30, 100<<30 }, nil, "", Fine, ""},
		{"few inodes", func(r *Report) { r.FileSystem.FreeInodes = 9 }, nil, RuleInodes, Refused, "9 of"},
		{"a file system without inodes of its own", func(r *Report) { r.FileSystem.Inodes, r.FileSystem.FreeInodes = 0, 0 }, nil, "", Fine, ""},
		{"slow syncs warn", func(r *Report) { r.Sync.P99 = 194_000 }, nil, RuleSyncLatency, Warns, "p99 194.0 ms"},
		{"a second per sync is refused", func(r *Report) { r.Sync.P99 = 1_200_000 }, nil, RuleSyncLatency, Refused, "p99 1200.0 ms"},
		{"few reads warn", func(r *Report) { r.RandomReadsPerSecond = 90 }, nil, RuleRandomReads, Warns, "90 per second"},
		{"reads of the cache say nothing", func(r *Report) { r.RandomReadsPerSecond, r.ThroughCache = 90, true }, nil, "", Fine, ""},
		{"slow writes warn", func(r *Report) { r.SequentialWriteBytesPerSecond = 9 << 20 }, nil, RuleSequentialWrites, Warns, "9 MiB/s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.change(r)
			findings := Judge(r, need, c.override)
			if worst := Worst(findings); worst != c.want {
				t.Errorf("worst is %s, want %s: %+v", worst, c.want, findings)
			}
			i := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == c.rule })
			if c.rule != "" && (i < 0 || findings[i].Verdict != c.want || !strings.Contains(findings[i].Says, c.says) || findings[i].Fix == "" && c.want != Unknown) {
				t.Errorf("%s says %+v, want %s with %q and a fix", c.rule, findings[i], c.want, c.says)
			}
		})
	}
}

func TestEveryRuleIsJudgedInOrder(t *testing.T) {
	var got []string
	for _, f := range Judge(good(), Need{}, nil) {
		got = append(got, f.Rule)
	}
	if diff := cmp.Diff(Rules(), got); diff != "" {
		t.Error(diff)
	}
}
