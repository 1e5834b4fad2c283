package certs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDerive(t *testing.T) {
	issuer, _ := newIssuer(t)
	ca, other := must[Pair](t)(issuer.NewCA("kubernetes")), must[Pair](t)(issuer.NewCA("kubernetes"))
	leaf := Leaf{CommonName: "node-1", Names: []string{"node-1", "10.0.0.1"}, Usage: Server}
	first := must[Pair](t)(Derive(ca, leaf, "op-1", day0))
	if !issuer.good(first, ca, leaf) {
		t.Fatal("the derived certificate does not hold against its authority and description")
	}
	tests := map[string]struct {
		ca      Pair
		name    string
		purpose string
		after   time.Duration
		same    bool
	}{
		"gives the same bytes for the same input": {ca: ca, name: "node-1", purpose: "op-1", same: true},
		"gives another for another purpose":       {ca: ca, name: "node-1", purpose: "op-2"},
		"gives another for another name":          {ca: ca, name: "node-2", purpose: "op-1"},
		"gives another for another authority":     {ca: other, name: "node-1", purpose: "op-1"},
		"gives another at another time":           {ca: ca, name: "node-1", purpose: "op-1", after: time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := leaf
			l.CommonName = tc.name
			got := must[Pair](t)(Derive(tc.ca, l, tc.purpose, day0.Add(tc.after)))
			if cmp.Equal(first, got) != tc.same {
				t.Errorf("same: %v, want %v", !tc.same, tc.same)
			}
		})
	}
}

func TestDeriveSecret(t *testing.T) {
	issuer, _ := newIssuer(t)
	ca := must[Pair](t)(issuer.NewCA("kubernetes"))
	a, again := must[[]byte](t)(DeriveSecret(ca, "a", 22)), must[[]byte](t)(DeriveSecret(ca, "a", 22))
	b := must[[]byte](t)(DeriveSecret(ca, "b", 22))
	if !cmp.Equal(a, again) || cmp.Equal(a, b) || len(a) != 22 {
		t.Errorf("a %d bytes, same %v, b differs %v", len(a), cmp.Equal(a, again), !cmp.Equal(a, b))
	}
}
