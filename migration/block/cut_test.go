package block

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
)

// TestCutLosesAndChangesNothing cuts at many times and compares both sides with the whole, sample by sample, by the library.
func TestCutLosesAndChangesNothing(t *testing.T) {
	shapes := map[string]shape{
		"floats and histograms": {series: 9, samples: 200, histograms: true},
		"tombstones":            {series: 9, samples: 200, histograms: true, delete: true},
		"several segments":      {series: 30, samples: 300, histograms: true, segmentBytes: 4096, delete: true},
	}
	for what, s := range shapes {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			name := makeBlock(t, dir, s)
			whole := samplesOf(t, filepath.Join(dir, name))
			n := int64(s.samples)
			for _, at := range []int64{fixtureStart + 1, fixtureStart + fixtureStep, fixtureStart + n/2*fixtureStep, fixtureStart + n/2*fixtureStep + 7, fixtureStart + (n-1)*fixtureStep} {
				checkCut(t, dir, name, at, whole)
			}
		})
	}
}

func checkCut(t *testing.T, dir, name string, at int64, whole map[string][]string) {
	t.Helper()
	d := openDir(t, dir)
	staging := t.TempDir()
	sides := map[Side]map[string][]string{}
	for _, side := range []Side{Before, After} {
		p, err := d.Cut(t.Context(), CutOptions{Block: name, At: at, Keep: side, Staging: staging, SegmentBytes: 8192})
		if err != nil {
			t.Fatalf("%s %d: %v", side, at, err)
		}
		if _, err := ulid.ParseStrict(filepath.Base(p.Folder)); err == nil {
			t.Error("the staging folder has the name of a block")
		}
		sides[side] = samplesOf(t, p.Folder)
		if side == Before && p.Meta.MaxTime != at || side == After && p.Meta.MinTime != at {
			t.Errorf("%s %d: %+v", side, at, p.Meta)
		}
		if p.Meta.Cut == nil || p.Meta.Cut.From.String() != name || len(p.Meta.Compaction.Parents) > 0 {
			t.Errorf("provenance: %+v", p.Meta)
		}
	}
	joined := map[string][]string{}
	for _, side := range []Side{Before, After} {
		for series, samples := range sides[side] {
			joined[series] = append(joined[series], samples...)
		}
	}
	if diff := cmp.Diff(plain(whole), plain(joined)); diff != "" {
		t.Errorf("cut at %d (-whole +pieces):\n%s", at, diff)
	}
}

// plain drops series without samples: a block may name them, a piece does not.
func plain(all map[string][]string) map[string][]string {
	all = maps.Clone(all)
	maps.DeleteFunc(all, func(_ string, s []string) bool { return len(s) == 0 })
	return all
}

func TestCutRefuses(t *testing.T) {
	name, files := small()
	tests := map[string]struct {
		files map[string]string
		opts  CutOptions
		check func(error) bool
	}{
		"a time before the block":   {files, CutOptions{At: fixtureStart - 1, Keep: Before}, func(err error) bool { return errors.Is(err, ErrNothingLeft) }},
		"a time behind the block":   {files, CutOptions{At: fixtureStart + 1<<40, Keep: After}, func(err error) bool { return errors.Is(err, ErrNothingLeft) }},
		"a side that is none":       {files, CutOptions{At: fixtureStart + 1, Keep: "left"}, func(err error) bool { return strings.Contains(err.Error(), "before or after") }},
		"a block with a bad sample": {withChange(files, "chunks/000001", flipLast), CutOptions{At: fixtureStart + 1, Keep: After}, isDamage},
		"a block with a bad index":  {withChange(files, indexFile, flipLast), CutOptions{At: fixtureStart + 1, Keep: After}, isDamage},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			dir, staging := t.TempDir(), t.TempDir()
			writeBlock(t, filepath.Join(dir, name), test.files)
			test.opts.Block, test.opts.Staging = name, staging
			_, err := openDir(t, dir).Cut(t.Context(), test.opts)
			if err == nil || !test.check(err) {
				t.Errorf("%v", err)
			}
			if left, _ := os.ReadDir(staging); len(left) > 0 {
				t.Errorf("%s is left", left[0].Name())
			}
		})
	}
}

func flipLast(s string) string { return s[:len(s)-1] + string([]byte{s[len(s)-1] ^ 1}) }

func isDamage(err error) bool { return errors.As(err, new(*Damage)) }

func TestCutEndsWithTheContext(t *testing.T) {
	name, files := small()
	dir, staging := t.TempDir(), t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openDir(t, dir).Cut(ctx, CutOptions{Block: name, At: fixtureStart + 1, Keep: After, Staging: staging}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(staging); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

func TestCutOfIndexVersion1(t *testing.T) {
	staging := t.TempDir()
	d := openDir(t, "testdata/index-v1")
	p, err := d.Cut(t.Context(), CutOptions{Block: "01DXXFZDYD1MQW6079WK0K6EDQ", At: 7_200_000, Keep: Before, Staging: staging})
	if err != nil {
		t.Fatal(err)
	}
	if n := countSamples(samplesOf(t, p.Folder)); n != 102 {
		t.Errorf("%d samples, want 102", n)
	}
}

func TestInstallIsOneRename(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	d := openDir(t, dir)
	p, err := d.Cut(t.Context(), CutOptions{Block: name, At: fixtureStart + 10*fixtureStep, Keep: Before, Staging: filepath.Join(dir, "staging")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.List()
	if err != nil || len(l.Blocks) != 1 {
		t.Fatalf("a staged block is listed: %+v %v", l, err)
	}
	meta, err := Install(p.Folder, dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := mustScrub(t, dir, meta.ULID.String()); r.Verdict != OK {
		t.Errorf("%s %v", r.Verdict, r.Err())
	}
	l, err = d.List()
	if err != nil || !slices.ContainsFunc(l.Blocks, func(e Entry) bool {
		return e.Name == meta.ULID.String() && slices.Contains(e.Notes, "cut from "+name)
	}) {
		t.Errorf("%+v %v", l, err)
	}
	again := filepath.Join(dir, "staging", "again")
	writeBlock(t, again, contentsOf(t, filepath.Join(dir, meta.ULID.String())))
	if _, err := Install(again, dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a block is replaced: %v", err)
	}
	if _, err := Install(filepath.Join(dir, "staging", "nothing"), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestNothingThatIsWrittenIsWritableByOthers(t *testing.T) {
	name, files := small()
	dir, staging := t.TempDir(), t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	p, err := openDir(t, dir).Cut(t.Context(), CutOptions{Block: name, At: fixtureStart + 10*fixtureStep, Keep: After, Staging: staging})
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(p.Folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s has %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
