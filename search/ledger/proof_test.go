package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func proof(change func(*Proof)) Proof {
	at := time.Date(2026, 11, 8, 12, 3, 0, 0, time.UTC)
	p := Proof{Repository: "cos", Snapshot: "slipway-2026.11.07-2", Index: "shrunk-10-game", IndexUUID: "u2", Shards: 10, Docs: 1_893_220_417, TakenAt: at, ProvedAt: at, CheckedAt: at}
	if change != nil {
		change(&p)
	}
	return p
}

func TestStanding(t *testing.T) {
	now := Identity{Name: "shrunk-10-game", UUID: "u2", Primaries: 10, Docs: 1_893_220_417}
	for _, c := range []struct {
		name   string
		proofs []Proof
		at     Identity
		why    string
	}{
		{"covers the index that it was made of", []Proof{proof(nil)}, now, ""},
		{"covers a closed index, which tells no documents", []Proof{proof(nil)}, Identity{Name: now.Name, UUID: "u2", Primaries: 10, Docs: -1}, ""},
		{"takes an older one that still covers", []Proof{proof(nil), proof(func(p *Proof) { p.Void = "PARTIAL" })}, now, ""},
		{"none speaks for an index that nobody proved", nil, now, ErrNoProof.Error()},
		{"one of the same name made anew is another", []Proof{proof(func(p *Proof) { p.IndexUUID = "u1" })}, now, "UUID u1"},
		{"a late document breaks it", []Proof{proof(func(p *Proof) { p.Docs-- })}, now, "1893220416 documents"},
		{"a shard too few breaks it", []Proof{proof(func(p *Proof) { p.Shards = 9 })}, now, "9 shards"},
		{"a voided one counts no longer", []Proof{proof(func(p *Proof) { p.Void = "the snapshot is gone" })}, now, "the snapshot is gone"},
		{"an index without UUID is never covered", []Proof{proof(func(p *Proof) { p.IndexUUID = "" })}, Identity{Name: "x", Primaries: 10}, "UUID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := (&Entry{Proofs: c.proofs}).Standing(c.at)
			if c.why == "" && (err != nil || p.Snapshot == "" || p.Void != "") {
				t.Fatalf("%+v, %v", p, err)
			}
			if c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Fatalf("%v, want %q", err, c.why)
			}
		})
	}
	if _, err := (*Entry)(nil).Standing(now); !errors.Is(err, ErrNoProof) {
		t.Errorf("no entry: %v", err)
	}
}
