package transfer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
)

func TestPullBringsBlocksOverMutualTLS(t *testing.T) {
	dir, names := sourceDir(t)
	keys := credentials(t)
	address := serve(t, openLocal(t, LocalOptions{Data: dir}), keys)
	target := filepath.Join(t.TempDir(), "data")
	c := client(t, address, keys)
	r := mustPull(t, pullOptions(c, target, names))
	sameBlocks(t, r, names)
	if want := totalBytes(t, names); r.BytesFetched != want || r.BytesVerified < want {
		t.Errorf("fetched %d, verified %d of %d bytes", r.BytesFetched, r.BytesVerified, want)
	}
	for _, b := range r.Blocks {
		if b.State != Staged {
			t.Errorf("%+v", b)
		}
	}
	t.Run("and reads nothing the second time, staged or installed", func(t *testing.T) {
		if err := os.Rename(filepath.Join(target, StagingFolder, names[0]), filepath.Join(target, names[0])); err != nil {
			t.Fatal(err)
		}
		watched := &between{Source: c}
		r := mustPull(t, pullOptions(watched, target, names))
		sameBlocks(t, r, names)
		if r.Blocks[0].State != Installed || r.Blocks[1].State != Staged || len(watched.reads) > 0 || r.BytesVerified > 0 {
			t.Errorf("%+v, %d reads", r, len(watched.reads))
		}
	})
	if err := c.Unpin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "slipway-pin")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pin is left: %v", err)
	}
}

func TestPullFromADirectoryLeavesItAsItIs(t *testing.T) {
	dir, names := sourceDir(t)
	before := contents(t, dir)
	target := t.TempDir()
	sameBlocks(t, mustPull(t, pullOptions(openLocal(t, LocalOptions{Data: dir, Still: true}), target, names)), names)
	if diff := cmp.Diff(len(before), len(contents(t, dir))); diff != "" {
		t.Errorf("the source was changed: %s", diff)
	}
	if entries, _ := os.ReadDir(target); len(entries) != 1 || entries[0].Name() != StagingFolder {
		t.Errorf("beside the staging folder: %v", entries)
	}
}

func TestPullKeepsBlocksThatTheServerDeletes(t *testing.T) {
	dir, names := sourceDir(t)
	var once atomic.Bool
	source := &between{Source: openLocal(t, LocalOptions{Data: dir}), before: func(Range) error {
		if once.CompareAndSwap(false, true) {
			return os.RemoveAll(filepath.Join(dir, names[2])) // retention takes the oldest
		}
		return nil
	}}
	sameBlocks(t, mustPull(t, pullOptions(source, t.TempDir(), names)), names)
	if !once.Load() {
		t.Error("nothing was deleted")
	}
}

func TestPullMendsWhatWentWrongOnce(t *testing.T) {
	tests := map[string]func(t *testing.T, dir, target string, r Range, at *between){
		"in flight": func(_ *testing.T, _, _ string, _ Range, at *between) {
			at.write = once(func(_ Range, p []byte) { p[len(p)/2] ^= 1 })
		},
		"on the target disk": func(t *testing.T, _, target string, _ Range, at *between) {
			var done atomic.Bool
			at.after = func(r Range) {
				if r.File == "chunks/000002" && r.Offset > 0 && done.CompareAndSwap(false, true) {
					flip(t, filepath.Join(target, StagingFolder, r.Block, r.File), r.Offset+r.Bytes/2)
				}
			}
		},
		"on the source disk, and was mended": func(t *testing.T, dir, _ string, r Range, at *between) {
			bad := filepath.Join(dir, r.Block, "chunks/000003")
			flip(t, bad, 5000)
			var reads atomic.Int32
			at.before = func(r Range) error {
				if r.File == "chunks/000003" && r.Offset == 0 && reads.Add(1) == 2 {
					flip(t, bad, 5000)
				}
				return nil
			}
		},
	}
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			dir, names := sourceDir(t)
			target := t.TempDir()
			source := &between{Source: openLocal(t, LocalOptions{Data: dir})}
			harm(t, dir, target, Range{Block: names[0]}, source)
			sameBlocks(t, mustPull(t, pullOptions(source, target, names[:1])), names[:1])
			if extra := source.bytes() - totalBytes(t, names[:1]); extra <= 0 || extra > 200_000 {
				t.Errorf("%d bytes were fetched again, want a piece or a segment", extra)
			}
		})
	}
}

func once(f func(Range, []byte)) func(Range, []byte) {
	var done atomic.Bool
	return func(r Range, p []byte) {
		if done.CompareAndSwap(false, true) {
			f(r, p)
		}
	}
}

func TestPullStopsAtDamageAndNamesTheSide(t *testing.T) {
	tests := map[string]struct {
		harm func(t *testing.T, dir, target, name string, at *between)
		want DamageError
	}{
		"a flipped byte on the source disk": {
			func(t *testing.T, dir, _, name string, _ *between) {
				flip(t, filepath.Join(dir, name, "chunks/000002"), 9000)
			},
			DamageError{Side: SourceDisk, File: "chunks/000002", Offset: -1, Times: 3},
		},
		"a truncated index on the source disk": {
			func(t *testing.T, dir, _, name string, _ *between) {
				if err := os.Truncate(filepath.Join(dir, name, "index"), 7000); err != nil {
					t.Fatal(err)
				}
			},
			DamageError{Side: SourceDisk, File: "index", Offset: -1, Times: 3},
		},
		"an index that is truncated after it was listed": {
			func(t *testing.T, dir, _, name string, at *between) {
				at.before = func(r Range) error {
					if r.File != "index" {
						return nil
					}
					return os.Truncate(filepath.Join(dir, name, "index"), 7000)
				}
			},
			DamageError{Side: SourceDisk, File: "index", Offset: -1, Times: 3},
		},
		"a link that changes a byte": {
			func(_ *testing.T, _, _, _ string, at *between) {
				at.write = func(r Range, p []byte) {
					if r.File == "index" && r.Offset == 0 {
						p[100] ^= 1
					}
				}
			},
			DamageError{Side: InFlight, File: "index", Times: 3},
		},
		"a target disk that gives back another byte": {
			func(t *testing.T, _, target, _ string, at *between) {
				at.after = func(r Range) {
					if r.File == "chunks/000001" && r.Offset == testPiece {
						flip(t, filepath.Join(target, StagingFolder, r.Block, r.File), r.Offset+7)
					}
				}
			},
			DamageError{Side: TargetDisk, File: "chunks/000001", Offset: testPiece, Times: 3},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, names := sourceDir(t)
			target := t.TempDir()
			source := &between{Source: openLocal(t, LocalOptions{Data: dir})}
			test.harm(t, dir, target, names[1], source)
			_, err := Pull(t.Context(), pullOptions(source, target, names[1:2]))
			var got *DamageError
			if !errors.As(err, &got) {
				t.Fatalf("%v", err)
			}
			if (got.Damage != nil) != (test.want.Side == SourceDisk) {
				t.Errorf("damage of the scrub: %v", got.Damage)
			}
			got.Damage, test.want.Block = nil, names[1]
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
			if !strings.Contains(err.Error(), string(test.want.Side)) {
				t.Errorf("the text does not name the side: %v", err)
			}
			if _, err := os.Stat(filepath.Join(target, StagingFolder, names[1], "chunks/000001")); err != nil {
				t.Errorf("what arrived is gone: %v", err)
			}
		})
	}
}

func TestPullBringsTheRestWhenABlockIsDamagedOnTheSource(t *testing.T) {
	dir, names := sourceDir(t)
	flip(t, filepath.Join(dir, names[0], "chunks/000002"), 9000)
	o := pullOptions(openLocal(t, LocalOptions{Data: dir}), t.TempDir(), names)
	r, err := Pull(t.Context(), o)
	var damage *DamageError
	if !errors.As(err, &damage) || damage.Side != SourceDisk || damage.Block != names[0] {
		t.Fatalf("%v", err)
	}
	if len(r.Blocks) != 3 || r.Blocks[0].State != Bad || r.Blocks[1].State != Staged || r.Blocks[2].State != Staged {
		t.Fatalf("%+v", r.Blocks)
	}
	t.Run("and the block alone when it is whole again", func(t *testing.T) {
		flip(t, filepath.Join(dir, names[0], "chunks/000002"), 9000)
		r := mustPull(t, o)
		sameBlocks(t, r, names)
		if r.BytesKept < totalBytes(t, names[1:]) {
			t.Errorf("kept %d bytes of the others", r.BytesKept)
		}
	})
}

func TestPullStopsWhenTheSourceIsLostAndGoesOnLater(t *testing.T) {
	dir, names := sourceDir(t)
	target := t.TempDir()
	local := openLocal(t, LocalOptions{Data: dir})
	var left atomic.Int64
	left.Store(25)
	lost := errors.New("connection refused")
	source := &between{Source: local, before: func(Range) error {
		if left.Add(-1) < 0 {
			return lost
		}
		return nil
	}}
	o := pullOptions(source, target, names)
	o.Patience = 1
	_, err := Pull(t.Context(), o)
	var gone *LostError
	if !errors.As(err, &gone) || !errors.Is(err, lost) || !strings.Contains(err.Error(), "run again") {
		t.Fatalf("%v", err)
	}
	again := &between{Source: local}
	r := mustPull(t, pullOptions(again, target, names))
	sameBlocks(t, r, names)
	if want := totalBytes(t, names) - again.bytes(); r.BytesKept != want || want < 20*testPiece/2 {
		t.Errorf("kept %d bytes, want %d", r.BytesKept, want)
	}
}

func TestPullRefusesASecondOne(t *testing.T) {
	target := t.TempDir()
	lock, err := lockStaging(filepath.Join(target, StagingFolder))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := Pull(t.Context(), PullOptions{Target: target}); err == nil || !strings.Contains(err.Error(), "another slipway") {
		t.Errorf("%v", err)
	}
}

// TestMoveBringsWhatOnlyThePinHolds: a puller is killed, the source's retention deletes a block that it had pinned, and the next one
// brings it all the same. What the server has compacted comes once.
func TestMoveBringsWhatOnlyThePinHolds(t *testing.T) {
	for _, way := range []string{"directory", "network"} {
		t.Run(way, func(t *testing.T) {
			dir, names := sourceDir(t)
			first := openLocal(t, LocalOptions{Data: dir})
			if err := first.Pin(t.Context(), names); err != nil {
				t.Fatal(err)
			}
			check(first.Close())
			if err := os.RemoveAll(filepath.Join(dir, names[2])); err != nil {
				t.Fatal(err)
			}
			o := MoveOptions{From: dir, To: filepath.Join(t.TempDir(), "data"), Install: true, Pull: PullOptions{PieceBytes: testPiece}}
			if way == "network" {
				keys := credentials(t)
				o.From, o.Credentials = serve(t, openLocal(t, LocalOptions{Data: dir}), keys), filepath.Join(keys, "target")
			}
			m, err := Move(t.Context(), o)
			if err != nil || len(m.Installed) != 3 {
				t.Fatalf("%+v, %v", m, err)
			}
			for i := range m.Pull.Blocks {
				m.Pull.Blocks[i].Folder = filepath.Join(o.To, names[i])
			}
			sameBlocks(t, m.Pull, names)
			if _, err := os.Lstat(filepath.Join(dir, pinFolder)); !os.IsNotExist(err) {
				t.Errorf("the pin is left: %v", err)
			}
		})
	}
}

func TestListLeavesPinnedBlocksThatWereCompacted(t *testing.T) {
	entry := func(name byte, sources ...byte) block.Entry {
		id := func(n byte) (u ulid.ULID) { u[15] = n; return u }
		m := &block.Meta{ULID: id(name), Version: 1}
		for _, n := range sources {
			m.Compaction.Sources = append(m.Compaction.Sources, id(n))
		}
		return block.Entry{Name: m.ULID.String(), Meta: m, Verdict: block.OK}
	}
	both, gone, bad := entry(9, 1, 2), entry(3, 3), entry(4, 4)
	bad.Verdict = block.Damaged
	s := &listed{blocks: []block.Entry{both, entry(5, 5)}, pinned: []block.Entry{entry(1, 1), entry(2, 2), gone, bad, entry(5, 5)}}
	got, err := List(t.Context(), s)
	if diff := cmp.Diff([]block.Entry{both, entry(5, 5), gone}, got.Blocks); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

// listed is a source that only lists.
type listed struct {
	Source
	blocks, pinned []block.Entry
}

func (l *listed) Blocks(context.Context) (*block.Listing, error) {
	return &block.Listing{Blocks: l.blocks}, nil
}

func (l *listed) Pinned(context.Context) (*block.Listing, error) {
	return &block.Listing{Blocks: l.pinned}, nil
}
