package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/search/ledger"
)

func TestFileLedger(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLedger(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := l.Get("a"); e != nil || err != nil {
		t.Errorf("an empty ledger has %+v, %v", e, err)
	}
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	want := &ledger.Entry{Schema: ledger.Schema, Lifecycle: "test", Index: "a", UpdatedAt: at}
	other := &ledger.Entry{Schema: ledger.Schema, Lifecycle: "another", Index: "a", UpdatedAt: at}
	if err := l.Put(want, other); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(dir, "test"); err == nil || !strings.Contains(err.Error(), "another slipway") {
		t.Errorf("a second one opens it: %v", err)
	}
	if err := l.Put(want, &ledger.Entry{}); err == nil {
		t.Error("an entry without a name is written")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenLedger(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := again.Get("a")
	if err != nil || cmp.Diff(want, got) != "" || !cmp.Equal(again.Entries(), []string{"a"}) {
		t.Errorf("%v, %v, %s", again.Entries(), err, cmp.Diff(want, got))
	}
	got.Index = "changed"
	if kept, err := again.Get("a"); err != nil || kept.Index != "a" {
		t.Errorf("what was given out changes the ledger: %+v, %v", kept, err)
	}
}

func TestFileLedgerRefusesAFileThatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ledger.jsonl"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLedger(dir, "test"); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("%v", err)
	}
	if l, err := OpenLedger(dir, "test"); err == nil || strings.Contains(err.Error(), "another slipway") {
		t.Errorf("the lock is still held: %v, %v", l, err)
	}
}
