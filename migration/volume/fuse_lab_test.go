//go:build lab

package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// faults are what a file system does wrong.
type faults struct {
	rename, lyingRename, sync bool
	syncTakes                 time.Duration
	// silly keeps a file that is deleted while it is open as .nfs…, as the Linux client of NFS does.
	silly bool

	mu     sync.Mutex
	open   map[uint64]int
	hidden map[uint64]string
}

// node passes everything on to a directory but for what the faults change.
type node struct {
	fs.LoopbackNode
	f *faults
}

// WrapChild makes what is below a node as faulty as itself.
func (n *node) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, f: n.f}
}

func (n *node) real(name string) string {
	return filepath.Join(n.RootData.Path, n.Path(n.Root()), name)
}

func (n *node) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	switch {
	case n.f.rename:
		return syscall.EIO
	case n.f.lyingRename:
		return fs.OK
	}
	return n.LoopbackNode.Rename(ctx, name, parent, newName, flags)
}

func (n *node) Fsync(_ context.Context, _ fs.FileHandle, _ uint32) syscall.Errno {
	if n.f.sync {
		return syscall.EIO
	}
	time.Sleep(n.f.syncTakes)
	return fs.OK
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, fl, errno := n.LoopbackNode.Open(ctx, flags)
	if errno == fs.OK {
		n.f.opened(n.StableAttr().Ino, 1)
	}
	return f, fl, errno
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, f, fl, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno == fs.OK {
		n.f.opened(inode.StableAttr().Ino, 1)
	}
	return inode, f, fl, errno
}

func (n *node) Release(ctx context.Context, f fs.FileHandle) syscall.Errno {
	n.f.opened(n.StableAttr().Ino, -1)
	if r, ok := f.(fs.FileReleaser); ok {
		return r.Release(ctx)
	}
	return fs.OK
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	if child := n.GetChild(name); n.f.silly && child != nil && !strings.HasPrefix(name, ".nfs") {
		ino := child.StableAttr().Ino
		n.f.mu.Lock()
		defer n.f.mu.Unlock()
		if n.f.open[ino] > 0 {
			hidden := n.real(fmt.Sprintf(".nfs%016x", ino))
			n.f.hidden[ino] = hidden
			return fs.ToErrno(os.Rename(n.real(name), hidden))
		}
	}
	return n.LoopbackNode.Unlink(ctx, name)
}

// opened counts, and takes a hidden file away when nobody has it open.
func (f *faults) opened(ino uint64, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[ino] += n; f.open[ino] == 0 && f.hidden[ino] != "" {
		_ = os.Remove(f.hidden[ino])
		delete(f.hidden, ino)
	}
}

// mountBad mounts a file system with faults, as one that calls itself fuse.nfs of filer:/export.
func mountBad(t *testing.T, f *faults) string {
	t.Helper()
	f.open, f.hidden = map[uint64]int{}, map[uint64]string{}
	root := &fs.LoopbackRoot{Path: t.TempDir()}
	var st syscall.Stat_t
	if err := syscall.Stat(root.Path, &st); err != nil {
		t.Fatal(err)
	}
	root.Dev = uint64(st.Dev)
	root.RootNode = &node{LoopbackNode: fs.LoopbackNode{RootData: root}, f: f}
	dir := t.TempDir()
	server, err := fs.Mount(dir, root.RootNode, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "filer:/export", Name: "nfs"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// TestAFileSystemThatMisbehavesIsRefused measures real mounts. Real NFS was not seen: this kernel has neither its server nor its client.
func TestAFileSystemThatMisbehavesIsRefused(t *testing.T) {
	cases := []struct {
		name string
		f    *faults
		rule string
		want Verdict
		says string
	}{
		{"a rename that fails", &faults{rename: true}, RuleRenameIsAtomic, Refused, "RenameDirectory: rename: input/output error; ReplaceFile: rename: input/output error"},
		{"a rename that only says that it was done", &faults{lyingRename: true}, RuleRenameIsAtomic, Refused, "no such file"},
		{"a sync that fails", &faults{sync: true}, RuleSyncReachesDisk, Refused, "SyncFile: sync: input/output error"},
		{"a sync that fails leaves the speed unknown", &faults{sync: true}, RuleSyncLatency, Unknown, "syncs of small writes: input/output error"},
		{"a sync that takes long", &faults{syncTakes: 110 * time.Millisecond}, RuleSyncLatency, Warns, "10 syncs of 32 KiB: p50 "},
		{"a deleted file that stays", &faults{silly: true}, RuleDeletableByServer, Refused, "stays behind while the file is open"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := mountBad(t, c.f)
			o := small(dir)
			o.Syncs = 10
			r, err := Measure(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			findings := Judge(r, Need{}, nil)
			for rule, want := range map[string]Finding{c.rule: {Verdict: c.want, Says: c.says}, RuleLocalFileSystem: {Verdict: Refused, Says: "fuse.nfs (filer:/export) is a program"}} {
				i := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == rule })
				if i < 0 || findings[i].Verdict != want.Verdict || !strings.Contains(findings[i].Says, want.Says) {
					t.Errorf("%s: %+v, want %+v", rule, findings, want)
				}
			}
			expectNothing(t, dir)
		})
	}
}

// TestRetentionOnNFS is one of the surprises of moving by hand: a block that a query still reads cannot be deleted.
func TestRetentionOnNFS(t *testing.T) {
	dir := mountBad(t, &faults{silly: true})
	block := filepath.Join(dir, "01KANG4XAYTSVW8JZ7E1MRZYK6")
	chunks := filepath.Join(block, "chunks")
	if err := os.MkdirAll(chunks, 0o755); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(chunks, "000001")
	if err := os.WriteFile(segment, noise(readSize), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(segment)
	if err != nil {
		t.Fatal(err)
	}
	// By hand: what the server does at the end of the retention, with a query that is still running. RemoveAll meets the .nfs… file once
	// more, and the client of NFS would answer EBUSY for it; the file system here lets it go with its name alone.
	if err := os.Remove(segment); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(chunks); err == nil || !strings.Contains(err.Error(), "directory not empty") {
		t.Errorf("the block could be deleted: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	// The product's answer, before a server is there; and with the type that the kernel tells of real NFS.
	r, err := Measure(t.Context(), small(dir))
	if err != nil {
		t.Fatal(err)
	}
	r.FileSystem.Type = "nfs4"
	for rule, says := range map[string]string{RuleDeletableByServer: "stays behind while the file is open", RuleLocalFileSystem: "nfs4 lies on another machine (filer:/export); measured: sync p99"} {
		findings := Judge(r, Need{}, nil)
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Rule == rule })
		if f := findings[i]; f.Verdict != Refused || !strings.Contains(f.Says, says) || f.Fix == "" {
			t.Errorf("%+v, want %q", f, says)
		}
	}
}
