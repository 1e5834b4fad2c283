package transfer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/slipway-dev/slipway/durable"
	"github.com/slipway-dev/slipway/migration/block"
)

const (
	journalFile = "journal"
	// maxLine bounds a line of the journal: the files of a block with 10,000 segments are some 800 KB.
	maxLine = 2 << 20
	// maxPieces bounds the pieces of a block: eight TiB in pieces of the default size.
	maxPieces = 1 << 20
)

// line is one line of the journal. Every line stands for something that is on the disk already.
type line struct {
	Kind  lineKind         `json:"k"`
	Block string           `json:"b"`
	File  string           `json:"f,omitempty"`
	Piece int64            `json:"p,omitempty"`  // number of the piece, from 0
	Bytes int64            `json:"n,omitempty"`  // size of the pieces of this block
	Sum   *block.Sum       `json:"s,omitempty"`  // of the piece, as it arrived
	Files []block.FileInfo `json:"fs,omitempty"` // of the block
}

type lineKind string

const (
	lineBegin  lineKind = "begin"  // a block with its files; what was known of it is forgotten
	linePiece  lineKind = "piece"  // a piece is on the disk
	lineForget lineKind = "forget" // a piece, a file or a block is not to be trusted
	lineWhole  lineKind = "whole"  // the block was verified on this disk
)

// stagedBlock is what the journal knows of a block.
type stagedBlock struct {
	piece int64
	files []block.FileInfo
	sums  map[string][]*block.Sum // nil where the piece is missing
	whole bool
}

func pieces(bytes, piece int64) int64 { return (bytes + piece - 1) / piece }

// apply takes one line; false is a line that cannot be.
func apply(state map[string]*stagedBlock, l line) bool {
	b := state[l.Block]
	if l.Kind == lineBegin {
		b = begun(l)
		if b == nil {
			return false
		}
		state[l.Block] = b
		return true
	}
	if b == nil {
		return false
	}
	switch l.Kind {
	case linePiece:
		sums := b.sums[l.File]
		if l.Sum == nil || l.Piece < 0 || l.Piece >= int64(len(sums)) {
			return false
		}
		sums[l.Piece] = l.Sum
	case lineForget:
		b.forget(l)
	case lineWhole:
		b.whole = b.missing() == 0
	default:
		return false
	}
	return true
}

// begun makes an empty state, nil when the line's numbers cannot be.
func begun(l line) *stagedBlock {
	if checkName(l.Block) != nil || l.Bytes <= 0 || l.Bytes > MaxRange {
		return nil
	}
	b := &stagedBlock{piece: l.Bytes, files: l.Files, sums: map[string][]*block.Sum{}}
	left := int64(maxPieces)
	for _, f := range l.Files {
		if _, twice := b.sums[f.Name]; twice || f.Bytes < 0 || f.Bytes > 1<<50 || !ofBlock(f.Name) {
			return nil
		}
		if left -= pieces(f.Bytes, l.Bytes); left < 0 {
			return nil
		}
		b.sums[f.Name] = make([]*block.Sum, pieces(f.Bytes, l.Bytes))
	}
	return b
}

// ofBlock says that a name is one of a file of a block: these and no others are written.
func ofBlock(name string) bool {
	switch name {
	case "index", "meta.json", "tombstones":
		return true
	}
	number, ok := strings.CutPrefix(name, "chunks/")
	return ok && len(number) >= 6 && len(number) < 20 && strings.Trim(number, "0123456789") == ""
}

func (b *stagedBlock) forget(l line) {
	b.whole = false
	for _, f := range b.files {
		if l.File != "" && l.File != f.Name {
			continue
		}
		for i := range b.sums[f.Name] {
			if l.Piece < 0 || int64(i) == l.Piece {
				b.sums[f.Name][i] = nil
			}
		}
	}
}

// missing counts the pieces that are not there.
func (b *stagedBlock) missing() (n int) {
	for _, sums := range b.sums {
		for _, s := range sums {
			if s == nil {
				n++
			}
		}
	}
	return n
}

func (b *stagedBlock) bytes() (n int64) {
	for _, f := range b.files {
		n += f.Bytes
	}
	return n
}

// readJournal takes lines up to the first that is not whole, and says where that one begins. What a kill or a full disk
// left behind the last good line was never promised to anybody.
func readJournal(r io.Reader) (state map[string]*stagedBlock, good int64, err error) {
	state = map[string]*stagedBlock{}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		text, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, fmt.Errorf("reading the journal: %w", err)
		}
		l, ok := parseLine(text)
		if !ok || !apply(state, l) {
			return state, good, nil
		}
		good += int64(len(text))
	}
}

// readLine reads a line with its end; one that is too long comes back cut, which no parser takes.
func readLine(in *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := in.ReadSlice('\n')
		text = append(text, part...)
		if !errors.Is(err, bufio.ErrBufferFull) || len(text) > maxLine {
			return text, err
		}
	}
}

// parseLine reads "crc32c json\n".
func parseLine(text []byte) (l line, ok bool) {
	if len(text) < 10 || text[8] != ' ' || text[len(text)-1] != '\n' {
		return line{}, false
	}
	sum, err := strconv.ParseUint(string(text[:8]), 16, 32)
	body := text[9 : len(text)-1]
	if err != nil || uint32(sum) != crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) {
		return line{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	return l, dec.Decode(&l) == nil
}

func formatLine(l line) ([]byte, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), body), nil
}

// journal remembers across kills which pieces are on the disk. It is safe for concurrent use.
type journal struct {
	folder string
	file   *os.File

	mu    sync.Mutex
	state map[string]*stagedBlock
}

// openJournal reads a staging folder's journal, drops blocks whose folder is gone (they were installed or removed), and
// writes it anew without what is dead.
func openJournal(folder string) (*journal, error) {
	j := &journal{folder: folder, state: map[string]*stagedBlock{}}
	path := filepath.Join(folder, journalFile)
	f, err := os.Open(path)
	if err == nil {
		j.state, _, err = readJournal(f)
		_ = f.Close() // it was only read
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for name := range j.state {
		if info, err := os.Lstat(filepath.Join(folder, name)); err != nil || !info.IsDir() {
			delete(j.state, name)
		}
	}
	if err := j.rewrite(path); err != nil {
		return nil, fmt.Errorf("writing the journal: %w", err)
	}
	return j, nil
}

// rewrite replaces the file by one that says the same in fewer lines.
func (j *journal) rewrite(path string) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 256<<10)
	for name, b := range j.state {
		if err := b.write(out, name); err != nil {
			_ = f.Close()
			return err
		}
	}
	err = errors.Join(out.Flush(), f.Sync())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	j.file = f
	return nil
}

func (b *stagedBlock) write(out io.Writer, name string) error {
	lines := []line{{Kind: lineBegin, Block: name, Bytes: b.piece, Files: b.files}}
	for _, f := range b.files {
		for i, sum := range b.sums[f.Name] {
			if sum != nil {
				lines = append(lines, line{Kind: linePiece, Block: name, File: f.Name, Piece: int64(i), Sum: sum})
			}
		}
	}
	if b.whole {
		lines = append(lines, line{Kind: lineWhole, Block: name})
	}
	for _, l := range lines {
		text, err := formatLine(l)
		if err == nil {
			_, err = out.Write(text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add appends lines, makes them durable, and takes them into the state.
func (j *journal) add(lines ...line) error {
	var all []byte
	for _, l := range lines {
		text, err := formatLine(l)
		if err != nil {
			return fmt.Errorf("writing the journal: %w", err)
		}
		all = append(all, text...)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(all); err != nil {
		return SpaceError(j.folder, int64(len(all)), fmt.Errorf("writing the journal: %w", err))
	}
	if err := dataSync(j.file); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	for _, l := range lines {
		if !apply(j.state, l) {
			return fmt.Errorf("writing the journal: the line %q of block %s does not fit", l.Kind, l.Block)
		}
	}
	return nil
}

// of gives what is known of a block, nil for nothing. Callers of one block alone change it through add.
func (j *journal) of(name string) *stagedBlock {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state[name]
}

// sum gives the sum of a piece, nil where it is missing.
func (j *journal) sum(name, file string, piece int64) *block.Sum {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state[name].sums[file][piece]
}

func (j *journal) close() error { return j.file.Close() }
