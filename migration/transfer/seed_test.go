package transfer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPullTakesFromASeedWhatIsTheSame(t *testing.T) {
	dir, names := sourceDir(t)
	seed, _ := sourceDir(t)
	flip(t, filepath.Join(seed, names[0], "chunks/000001"), testPiece+5)
	if err := os.Truncate(filepath.Join(seed, names[0], "index"), 100); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(seed, names[2])); err != nil {
		t.Fatal(err)
	}
	source := &between{Source: openLocal(t, LocalOptions{Data: dir})}
	o := pullOptions(source, t.TempDir(), names)
	o.Seed = seed
	r := mustPull(t, o)
	sameBlocks(t, r, names)
	var fetched []Range
	for _, read := range source.reads {
		if read.Block != names[2] {
			fetched = append(fetched, read)
		}
	}
	slices.SortFunc(fetched, func(a, b Range) int { return strings.Compare(a.File, b.File) })
	index, err := os.Stat(filepath.Join(dir, names[0], "index"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Range{{names[0], "chunks/000001", testPiece, testPiece}, {names[0], "index", 0, index.Size()}}
	if diff := cmp.Diff(want, fetched); diff != "" {
		t.Errorf("what travelled of the seeded blocks (-want +got):\n%s", diff)
	}
	if r.BytesFetched+r.BytesSeeded != totalBytes(t, names) {
		t.Errorf("%+v", r)
	}
}

func TestPullVerifiesAVolumeThatExists(t *testing.T) {
	dir, names := sourceDir(t)
	volume, _ := sourceDir(t)
	flip(t, filepath.Join(volume, names[1], "chunks/000002"), 11)
	before := contents(t, volume)
	source := &between{Source: openLocal(t, LocalOptions{Data: dir})}
	o := pullOptions(source, volume, names)
	o.Seed = volume
	r := mustPull(t, o)
	var states []BlockState
	for _, b := range r.Blocks {
		states = append(states, b.State)
	}
	if diff := cmp.Diff([]BlockState{Installed, Differs, Installed}, states); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	r.Blocks[0].Folder, r.Blocks[2].Folder = filepath.Join(volume, names[0]), filepath.Join(volume, names[2])
	sameBlocks(t, r, names)
	if len(source.reads) != 1 || source.bytes() > testPiece {
		t.Errorf("what travelled: %v", source.reads)
	}
	after := contents(t, volume)
	for file, text := range before {
		if after[file] != text {
			t.Errorf("%s of the volume was changed", file)
		}
	}
	again := &between{Source: source.Source}
	o.Source = again
	if r := mustPull(t, o); r.Blocks[1].State != Differs || len(again.reads) > 0 {
		t.Errorf("the second time: %+v, %v", r.Blocks, again.reads)
	}
	_, err := Move(t.Context(), MoveOptions{From: dir, Still: true, To: volume, Install: true, Pull: PullOptions{Seed: volume, PieceBytes: testPiece}})
	if err == nil || !strings.Contains(err.Error(), names[1]+" of the target is not what the source has") {
		t.Errorf("installing over it: %v", err)
	}
}
