package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// MaxEntries is how many entries a file may have: ten times what the largest cluster is thought to hold.
const MaxEntries = 1_000_000

// WriteLines writes entries, one a line: the copy that can be read while the cluster is down.
func WriteLines(w io.Writer, entries []Entry) error {
	out := bufio.NewWriter(w)
	for i := range entries {
		line, err := Encode(&entries[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing a ledger: %w", err)
	}
	return nil
}

// ReadLines reads entries, one a line. An entry that occurs twice is an error: which of the two holds cannot be told.
func ReadLines(r io.Reader) ([]Entry, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), MaxEntryBytes+2)
	var entries []Entry
	seen := map[string]int{}
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := Decode(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if before, twice := seen[e.Key()]; twice {
			return nil, fmt.Errorf("line %d: the entry of %s stands on line %d already", n, e.Index, before)
		}
		if len(entries) == MaxEntries {
			return nil, fmt.Errorf("line %d: a ledger has %d entries at most", n, MaxEntries)
		}
		seen[e.Key()] = n
		entries = append(entries, *e)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, fmt.Errorf("a line has more than %d bytes: is this a ledger?", MaxEntryBytes)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading a ledger: %w", err)
	}
	return entries, nil
}
