package ledger

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func entry(index string) Entry {
	at := time.Date(2026, 11, 8, 9, 12, 0, 0, time.UTC)
	return Entry{Schema: Schema, Lifecycle: "logs/hourly", Index: index, UpdatedAt: at, Proofs: []Proof{proof(nil)},
		Done: []Done{{Phase: "shrink", Kind: "shrink", Hash: "ab12", At: at, Index: "shrunk-10-" + index, UUID: "u2", Says: "60 → 10"}},
		Try:  &Try{Phase: "merge", Action: "forceMerge", At: at, Failures: 2, Why: "503"}, Overrides: []Override{{Rule: "verified_snapshot_before_replica_drop", By: "ann", At: at, Risk: "one copy"}}}
}

func TestLines(t *testing.T) {
	want := []Entry{entry("game-1"), entry("game-2")}
	var b bytes.Buffer
	if err := WriteLines(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLines(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	e := got[0]
	if _, ok := e.Finished("shrink", "ab12"); !ok || !e.Overridden("verified_snapshot_before_replica_drop") {
		t.Error("the entry forgot what it says")
	}
	if _, ok := e.Finished("shrink", "other"); ok || e.Overridden("other") {
		t.Error("the entry says what nobody wrote")
	}
}

func TestReadLinesRefuses(t *testing.T) {
	one, err := Encode(ptr(entry("game-1")))
	if err != nil {
		t.Fatal(err)
	}
	line := string(one)
	for name, c := range map[string]struct{ text, why string }{
		"an entry that stands there twice":   {line + "\n" + line, "line 2"},
		"a schema to come":                   {strings.Replace(line, `"schema":1`, `"schema":2`, 1), "schema 2"},
		"a field that it does not know":      {strings.Replace(line, `"schema":1`, `"schema":1,"mustNot":true`, 1), "mustNot"},
		"two entries on one line":            {line + line, "behind it"},
		"a proof without UUID":               {strings.Replace(line, `"indexUUID":"u2"`, `"indexUUID":""`, 1), "UUID"},
		"a proof that was checked too early": {strings.Replace(line, `"checkedAt":"2026-11-08T12`, `"checkedAt":"2026-11-07T12`, 1), "checked"},
		"a finished phase without hash":      {strings.Replace(line, `"hash":"ab12"`, `"hash":""`, 1), "hash"},
		"a line that never ends":             {strings.Repeat("x", MaxEntryBytes+10), "is this a ledger"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ReadLines(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func FuzzDecode(f *testing.F) {
	line, err := Encode(ptr(entry("game-1")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"schema":1,"lifecycle":"a","index":"b"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > MaxEntryBytes/8 { // escapes make it longer
			return
		}
		e, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatalf("it was read and cannot be written: %v", err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
	})
}
