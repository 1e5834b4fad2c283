package block

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
)

func TestOpenRefusesWhatIsNoDataDirectory(t *testing.T) {
	name, files := small()
	block := t.TempDir()
	writeBlock(t, filepath.Join(block, name), files)
	file := filepath.Join(block, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, want string }{
		"an empty directory":       {t.TempDir(), "neither blocks nor a write-ahead log"},
		"a block":                  {filepath.Join(block, name), "a single block"},
		"a file":                   {file, "not a directory"},
		"something that is not":    {filepath.Join(block, "nothing"), "no such file"},
		"the segments of a block ": {filepath.Join(block, name, chunksDir), "neither blocks"},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			_, err := Open(test.path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	var foreign *ForeignError
	if _, err := Open(t.TempDir()); !errors.As(err, &foreign) {
		t.Errorf("%T is no *ForeignError", err)
	}
}

func TestListTakesBlocksByTimeAndLeavesTheRest(t *testing.T) {
	dir := t.TempDir()
	late := makeBlock(t, dir, shape{series: 2, samples: 20, start: fixtureStart + 3*7_200_000})
	early := makeBlock(t, dir, shape{series: 2, samples: 20})
	broken := ulid.MustNew(1, zeroes{}).String()
	for _, d := range []string{"wal", "chunks_head", "lost+found", "staging", broken, ulid.MustNew(2, zeroes{}).String() + ".tmp-for-creation", "evil\nname\x1b[31m"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := ulid.MustNew(3, zeroes{}).String()
	if err := os.Symlink(filepath.Join(dir, late), filepath.Join(dir, link)); err != nil {
		t.Fatal(err)
	}
	plain := ulid.MustNew(4, zeroes{}).String()
	if err := os.WriteFile(filepath.Join(dir, plain), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := openDir(t, dir).List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range l.Blocks {
		got = append(got, b.Name+" "+string(b.Verdict))
	}
	if diff := cmp.Diff([]string{early + " ok", late + " ok", broken + " damaged"}, got); diff != "" {
		t.Error(diff)
	}
	strange := map[string]string{}
	for _, s := range l.Strange {
		strange[s.Name] = s.What
	}
	for name, want := range map[string]string{
		link: "symbolic link", plain: "no folder", "staging": "not of Prometheus", "evil\nname\x1b[31m": "not of Prometheus",
		ulid.MustNew(2, zeroes{}).String() + ".tmp-for-creation": "interrupted",
	} {
		if !strings.Contains(strange[name], want) {
			t.Errorf("%q: %q, want %q", name, strange[name], want)
		}
		delete(strange, name)
	}
	if len(strange) > 0 {
		t.Errorf("also strange: %v", strange)
	}
}

type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestListRelatesBlocks(t *testing.T) {
	name, files := small()
	base, err := parseMeta([]byte(files[metaFile]))
	if err != nil {
		t.Fatal(err)
	}
	block := func(id uint64, from, to int64, edit func(*Meta)) Entry {
		m := *base
		m.ULID, m.MinTime, m.MaxTime = ulid.MustNew(id, zeroes{}), from, to
		if edit != nil {
			edit(&m)
		}
		return Entry{Name: m.ULID.String(), Meta: &m, Verdict: OK}
	}
	one, two, over := block(1, 0, 10, nil), block(2, 10, 20, nil), block(4, 15, 30, nil)
	child := block(3, 0, 20, func(m *Meta) { m.Compaction.Parents = []Desc{{ULID: one.Meta.ULID}, {ULID: two.Meta.ULID}} })
	all := []Entry{one, child, two, over}
	relate(all)
	want := []Verdict{Superseded, OK, Superseded, OK}
	for i, e := range all {
		if e.Verdict != want[i] {
			t.Errorf("block %d: %s, want %s", i, e.Verdict, want[i])
		}
	}
	if diff := cmp.Diff([]string{"overlaps " + child.Name}, all[3].Notes); diff != "" {
		t.Error(diff)
	}
	_ = name
}

func TestScrubTouchesNoLinksAndNoPipes(t *testing.T) {
	name, files := small()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte(files[indexFile]), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		file string
		put  func(path string) error
	}{
		"the index is a link out":     {indexFile, func(p string) error { return os.Symlink(outside, p) }},
		"the index is a link inside":  {indexFile, func(p string) error { return os.Symlink("meta.json", p) }},
		"the index is a pipe":         {indexFile, func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		"the index is a folder":       {indexFile, func(p string) error { return os.Mkdir(p, 0o755) }},
		"a segment is a link":         {"chunks/000001", func(p string) error { return os.Symlink(outside, p) }},
		"a segment is a pipe":         {"chunks/000001", func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		"meta.json is a pipe":         {metaFile, func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		"the tombstones are a device": {tombstonesFile, func(p string) error { return os.Symlink("/dev/zero", p) }},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			writeBlock(t, filepath.Join(dir, name), files)
			path := filepath.Join(dir, name, test.file)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := test.put(path); err != nil {
				t.Fatal(err)
			}
			r := mustScrub(t, dir, name)
			if r.Verdict != Damaged || r.Damage[0].Kind != Foreign || r.Damage[0].File != test.file {
				t.Errorf("%s: %v", r.Verdict, r.Err())
			}
			if _, err := openDir(t, dir).Digest(t.Context(), name, nil); err == nil {
				t.Error("it has a digest")
			}
		})
	}
}

func TestHostileNamesStayInsideTheDirectory(t *testing.T) {
	name, files := small()
	dir := t.TempDir()
	writeBlock(t, filepath.Join(dir, name), files)
	d := openDir(t, dir)
	for _, hostile := range []string{"..", "../" + name, name + "/../" + name, "/etc", "", ".", name + "\x00"} {
		if _, err := d.Scrub(t.Context(), hostile, ScrubOptions{}); err == nil {
			t.Errorf("scrubs %q", hostile)
		}
		if _, err := d.Pin(t.Context(), []string{hostile}, PinOptions{Folder: filepath.Join(t.TempDir(), "pin")}); err == nil {
			t.Errorf("pins %q", hostile)
		}
		if _, err := d.Cut(t.Context(), CutOptions{Block: hostile, Keep: Before, Staging: t.TempDir()}); err == nil {
			t.Errorf("cuts %q", hostile)
		}
	}
	if _, err := d.Scrub(t.Context(), ulid.MustNew(9, zeroes{}).String(), ScrubOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a block that is not there: %v", err)
	}
}

func TestDigestIsTheSameForTheSameBytes(t *testing.T) {
	name, files := small()
	digest := func(files map[string]string) *Digest {
		dir := t.TempDir()
		writeBlock(t, filepath.Join(dir, name), files)
		g, err := openDir(t, dir).Digest(t.Context(), name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	one, two := digest(files), digest(files)
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
	if len(one.Files) != len(files) {
		t.Errorf("%d files, want %d", len(one.Files), len(files))
	}
	if digest(withChange(files, "notes.txt", func(string) string { return "x" })).SHA256 != one.SHA256 {
		t.Error("a file that is not of the block changes the digest")
	}
	if digest(withChange(files, "chunks/000002", func(s string) string { return s + "x" })).SHA256 == one.SHA256 {
		t.Error("a longer segment does not change the digest")
	}
}

// TestAListedBlockThatIsBeingDeletedIsNotDamaged: Prometheus renames the folder and empties it while it is open here.
func TestAListedBlockThatIsBeingDeletedIsNotDamaged(t *testing.T) {
	for _, deleted := range []bool{true, false} {
		dir, name, _, p := pinned(t)
		if err := p.Unpin(); err != nil {
			t.Fatal(err)
		}
		d := openDir(t, dir)
		b, err := d.openBlock(name)
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		now := filepath.Join(dir, name)
		if deleted {
			now += ".tmp-for-deletion"
			if err := os.Rename(filepath.Join(dir, name), now); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(now, metaFile)); err != nil {
			t.Fatal(err)
		}
		switch e, err := d.judge(b); {
		case deleted && !errors.Is(err, fs.ErrNotExist):
			t.Errorf("deleted: %+v, %v", e, err)
		case !deleted && (err != nil || e.Verdict != Damaged):
			t.Errorf("without its meta.json: %+v, %v", e, err)
		}
	}
}
