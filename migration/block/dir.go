package block

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// Dir is an open data directory. Everything is read inside it; symbolic links that leave it are not followed.
type Dir struct {
	path string
	root *os.Root
}

// Verdict is what is known about a block.
type Verdict string

// The verdicts, from listing and from scrubbing.
const (
	OK          Verdict = "ok"
	Damaged     Verdict = "damaged"
	Unsupported Verdict = "unsupported" // written by a version that this program does not know
	Superseded  Verdict = "superseded"  // a compacted block that is there names it as parent: Prometheus deletes it
	Deletable   Verdict = "deletable"   // empty after a compaction: Prometheus deletes it
	Gone        Verdict = "gone"        // Prometheus deleted it while it was read
)

// Entry is one block of a data directory.
type Entry struct {
	Name    string   `json:"name"` // of the folder
	Meta    *Meta    `json:"meta,omitempty"`
	Bytes   int64    `json:"bytes"`
	Verdict Verdict  `json:"verdict"`
	Damage  *Damage  `json:"damage,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Strange is something in a data directory that neither is a block nor belongs to Prometheus.
type Strange struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// Listing is what a data directory holds, blocks by time.
type Listing struct {
	Blocks  []Entry   `json:"blocks"`
	Strange []Strange `json:"strange,omitempty"`
}

// Open opens a data directory. A *ForeignError says that it is none.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	d := &Dir{path: path, root: root}
	if why, err := d.foreign(); err != nil || why != "" {
		_ = root.Close()
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", path, err)
		}
		return nil, &ForeignError{Path: path, Why: why}
	}
	return d, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Path is what the directory was opened as.
func (d *Dir) Path() string { return d.path }

func (d *Dir) foreign() (string, error) {
	entries, err := readDir(d.root, ".")
	if err != nil {
		return "", err
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
		if isBlock(e) || own(e.Name()) {
			return "", nil
		}
	}
	if names[metaFile] || names[chunksDir] {
		return "it is a single block; name the directory above it", nil
	}
	return "it holds neither blocks nor a write-ahead log", nil
}

// isBlock follows the library (tsdb/db.go isBlockDir): a folder, no link, whose name parses as a ULID.
func isBlock(e fs.DirEntry) bool {
	_, err := ulid.ParseStrict(e.Name())
	return err == nil && e.IsDir()
}

// own says that Prometheus keeps this beside its blocks.
func own(name string) bool {
	switch name {
	case "wal", "wbl", "chunks_head", "lock", "queries.active":
		return true
	}
	return strings.HasPrefix(name, "chunk_snapshot.")
}

// List reads what is there. Bad blocks are entries with a verdict, never an error.
func (d *Dir) List() (*Listing, error) {
	entries, err := readDir(d.root, ".")
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", d.path, err)
	}
	var l Listing
	for _, e := range entries {
		if isBlock(e) {
			entry, err := d.entry(e.Name())
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since
			}
			if err != nil {
				return nil, fmt.Errorf("reading block %s: %w", e.Name(), err)
			}
			l.Blocks = append(l.Blocks, *entry)
		} else if what := strange(e); what != "" {
			l.Strange = append(l.Strange, Strange{Name: e.Name(), What: what})
		}
	}
	sort.SliceStable(l.Blocks, func(i, j int) bool { return l.Blocks[i].before(&l.Blocks[j]) })
	relate(l.Blocks)
	return &l, nil
}

func strange(e fs.DirEntry) string {
	name := e.Name()
	_, notULID := ulid.ParseStrict(name)
	base, _, dotted := strings.Cut(name, ".tmp")
	_, notTmp := ulid.ParseStrict(base)
	switch {
	case own(name) || name == "lost+found" || name == "snapshots":
		return ""
	case notULID == nil && e.Type()&fs.ModeSymlink != 0:
		return "a symbolic link with the name of a block; Prometheus ignores it"
	case notULID == nil:
		return "has the name of a block but is no folder; Prometheus ignores it"
	case dotted && notTmp == nil:
		return "left by an interrupted compaction or deletion; Prometheus removes it when it starts"
	}
	return "not of Prometheus"
}

func (e *Entry) before(o *Entry) bool {
	if e.Meta == nil || o.Meta == nil {
		return e.Meta != nil && o.Meta == nil
	}
	if e.Meta.MinTime != o.Meta.MinTime {
		return e.Meta.MinTime < o.Meta.MinTime
	}
	return e.Meta.MaxTime < o.Meta.MaxTime
}

// relate marks parents that are still there, and notes overlaps.
func relate(blocks []Entry) {
	parents := map[ulid.ULID]string{}
	for _, e := range blocks {
		if e.Meta == nil {
			continue
		}
		for _, p := range e.Meta.Compaction.Parents {
			parents[p.ULID] = e.Name
		}
	}
	var last *Entry
	for i := range blocks {
		e := &blocks[i]
		if e.Meta == nil {
			continue
		}
		if child, ok := parents[e.Meta.ULID]; ok && e.Verdict == OK {
			e.Verdict = Superseded
			e.Notes = append(e.Notes, "compacted into "+child)
			continue
		}
		if last != nil && e.Meta.MinTime < last.Meta.MaxTime {
			e.Notes = append(e.Notes, "overlaps "+last.Name)
		}
		if last == nil || e.Meta.MaxTime > last.Meta.MaxTime {
			last = e
		}
	}
}

func (d *Dir) entry(name string) (*Entry, error) {
	b, err := d.openBlock(name)
	if err != nil {
		return nil, err
	}
	defer b.close()
	return d.judge(b)
}

// judge says what an open block is; fs.ErrNotExist where Prometheus deletes it while it is looked at.
func (d *Dir) judge(b *folder) (*Entry, error) {
	e := &Entry{Name: b.name, Verdict: OK}
	var err error
	var damage *Damage
	e.Meta, err = readMeta(b.root)
	if err == nil {
		err = b.complete(e.Meta)
	}
	switch {
	case errors.As(err, &damage):
		e.Damage, e.Verdict = damage, damage.verdict()
	case err != nil:
		return nil, err
	case e.Meta.Compaction.Deletable:
		e.Verdict = Deletable
	}
	if e.Damage != nil && d.gone(b) { // it renames a folder before it empties it
		return nil, fmt.Errorf("listing block %s: %w", b.name, fs.ErrNotExist)
	}
	if e.Meta != nil && e.Meta.Cut != nil {
		e.Notes = append(e.Notes, "cut from "+e.Meta.Cut.From.String())
	}
	e.Bytes = b.bytes()
	e.Notes = append(e.Notes, b.strange...)
	return e, nil
}

func (d *Damage) verdict() Verdict {
	if d.Kind == UnknownVersion {
		return Unsupported
	}
	return Damaged
}

// folder is one block's folder, held open: it stays readable under another name.
type folder struct {
	name     string
	root     *os.Root
	files    map[string]int64 // the files of a block and their sizes
	segments []string         // chunks/000001 … in order
	damage   []*Damage        // what is in the place of a file but is none
	strange  []string
}

// openBlock opens a block by the name of its folder and looks which files it has.
func (d *Dir) openBlock(name string) (*folder, error) {
	if _, err := ulid.ParseStrict(name); err != nil {
		return nil, &ForeignError{Path: name, Why: "the folder of a block is named by a ULID"}
	}
	return openFolder(d.root, name)
}

func openFolder(parent *os.Root, name string) (*folder, error) {
	info, err := parent.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, damaged(Foreign, name, -1, "no folder but %s", describe(info.Mode()))
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	b := &folder{name: name, root: root, files: map[string]int64{}}
	if err := b.look(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *folder) close() { _ = b.root.Close() }

func (b *folder) bytes() int64 {
	var sum int64
	for _, n := range b.files {
		sum += n
	}
	return sum
}

func (b *folder) look() error {
	top, err := readDir(b.root, ".")
	if err != nil {
		return err
	}
	for _, e := range top {
		switch name := e.Name(); name {
		case metaFile, indexFile, tombstonesFile:
			err = b.add(e, name)
		case chunksDir:
			err = b.lookChunks(e)
		default:
			b.strange = append(b.strange, fmt.Sprintf("%q is not part of a block", name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *folder) add(e fs.DirEntry, name string) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		b.damage = append(b.damage, damaged(Foreign, name, -1, "no file but %s", describe(info.Mode())))
		return nil
	}
	b.files[name] = info.Size()
	return nil
}

// lookChunks takes the segments. The library numbers them by their order, so a number that is missing or written
// otherwise shifts all that follow.
func (b *folder) lookChunks(dir fs.DirEntry) error {
	if !dir.IsDir() {
		b.damage = append(b.damage, damaged(Foreign, chunksDir, -1, "no folder but %s", describe(dir.Type())))
		return nil
	}
	entries, err := readDir(b.root, chunksDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := chunksDir + "/" + e.Name()
		n, err := strconv.ParseUint(e.Name(), 10, 64)
		if err != nil {
			b.strange = append(b.strange, fmt.Sprintf("%q is no segment", name))
			continue
		}
		if e.Name() != fmt.Sprintf("%06d", n) || n == 0 {
			b.damage = append(b.damage, damaged(DamagedChunk, fmt.Sprintf("%s/%q", chunksDir, e.Name()), -1, "the number of a segment has six digits and starts at 000001"))
			continue
		}
		b.segments = append(b.segments, name)
		if err := b.add(e, name); err != nil {
			return err
		}
	}
	slices.SortFunc(b.segments, func(x, y string) int { return segmentNumber(x) - segmentNumber(y) })
	return nil
}

func segmentNumber(name string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, chunksDir+"/"))
	return n
}

func segmentName(n int) string { return fmt.Sprintf("%s/%06d", chunksDir, n) }

// complete says which file is missing or no file. An index or a segment is not opened.
func (b *folder) complete(m *Meta) error {
	if m != nil && m.ULID.String() != strings.ToUpper(b.name) {
		return damaged(BadMeta, metaFile, -1, "belongs to block %s", m.ULID)
	}
	if len(b.damage) > 0 {
		return b.damage[0]
	}
	if _, ok := b.files[indexFile]; !ok {
		return damaged(MissingFile, indexFile, -1, "there is none")
	}
	for i, name := range b.segments {
		if segmentNumber(name) != i+1 {
			return missingSegment(i + 1)
		}
	}
	if len(b.segments) == 0 && (m == nil || m.Stats.NumChunks > 0) {
		return missingSegment(1)
	}
	return nil
}

func missingSegment(n int) *Damage {
	d := damaged(MissingFile, segmentName(n), -1, "there is none")
	d.Segment = n
	return d
}

// openRegular opens a file for reading; links, pipes and devices are damage and are not touched.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(MissingFile, name, -1, "there is none")
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, damaged(Foreign, name, -1, "no file but %s", describe(info.Mode()))
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
		_ = f.Close()
		return nil, damaged(Foreign, name, -1, "changed into something else while it was opened")
	}
	return f, nil
}

func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func describe(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode.IsRegular():
		return "a file"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a special file"
}
