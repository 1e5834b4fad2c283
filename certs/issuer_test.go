package certs

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var day0 = time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC)

// clock is an Issuer's clock that a test moves.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func newIssuer(t *testing.T) (*Issuer, *clock) {
	t.Helper()
	c := &clock{day0}
	return New(Options{Now: c.now}), c
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestNewLeaf(t *testing.T) {
	issuer, c := newIssuer(t)
	ca := must[Pair](t)(issuer.NewCA("kubernetes"))
	leaf := must[Pair](t)(issuer.NewLeaf(ca, Leaf{
		CommonName: "node-1", Organizations: []string{"system:nodes"}, Names: []string{"10.0.0.1", "node-1"}, Usage: Peer,
	}))
	info := must[Info](t)(Read(leaf.Certificate))
	info.Serial = ""
	want := Info{
		CommonName: "node-1", Organizations: []string{"system:nodes"}, Names: []string{"10.0.0.1", "node-1"},
		NotBefore: day0.Add(-time.Hour), NotAfter: day0.Add(DefaultLeafValidity), Issuer: "kubernetes",
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	block, _ := pem.Decode(leaf.Certificate)
	parsed := must[*x509.Certificate](t)(x509.ParseCertificate(block.Bytes))
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := parsed.Verify(x509.VerifyOptions{
			Roots: roots, CurrentTime: c.now(), KeyUsages: []x509.ExtKeyUsage{usage}, DNSName: "10.0.0.1",
		}); err != nil {
			t.Errorf("verifying for usage %d: %v", usage, err)
		}
	}
}

func TestEnsureLeaf(t *testing.T) {
	base := Leaf{CommonName: "node-1", Names: []string{"10.0.0.1", "node-1"}, Usage: Server}
	tests := map[string]struct {
		after  time.Duration
		change func(*Leaf)
		other  bool
		made   bool
	}{
		"keeps a leaf that is good":                   {},
		"keeps it when names come in another order":   {change: func(l *Leaf) { l.Names = []string{"node-1", "10.0.0.1"} }},
		"keeps it until 90 days before its end":       {after: DefaultLeafValidity - DefaultRenewBefore - time.Minute},
		"renews within 90 days of its end":            {after: DefaultLeafValidity - DefaultRenewBefore + time.Minute, made: true},
		"makes another when a name is added":          {change: func(l *Leaf) { l.Names = append(l.Names, "x") }, made: true},
		"makes another when the usage changes":        {change: func(l *Leaf) { l.Usage = Peer }, made: true},
		"makes another for an organization":           {change: func(l *Leaf) { l.Organizations = []string{"o"} }, made: true},
		"makes another when the authority is foreign": {other: true, made: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			issuer, c := newIssuer(t)
			ca := must[Pair](t)(issuer.NewCA("kubernetes"))
			first := must[Pair](t)(issuer.NewLeaf(ca, base))
			c.Time = day0.Add(tc.after)
			leaf := base
			leaf.Names = append([]string{}, base.Names...)
			if tc.change != nil {
				tc.change(&leaf)
			}
			if tc.other {
				ca = must[Pair](t)(issuer.NewCA("kubernetes"))
			}
			second, made, err := issuer.EnsureLeaf(first, ca, leaf)
			if err != nil {
				t.Fatal(err)
			}
			if same := cmp.Equal(first, second); made != tc.made || same == tc.made {
				t.Errorf("made %v, same bytes %v; want made %v", made, same, tc.made)
			}
		})
	}
}

func TestEnsureCA(t *testing.T) {
	issuer, c := newIssuer(t)
	a, b := must[Pair](t)(issuer.NewCA("a")), must[Pair](t)(issuer.NewCA("b"))
	leaf := must[Pair](t)(issuer.NewLeaf(a, Leaf{CommonName: "x", Usage: Client}))
	tests := map[string]struct {
		existing Pair
		after    time.Duration
		made     bool
		fails    bool
	}{
		"makes one where there is none":              {made: true},
		"keeps one that is there":                    {existing: a},
		"refuses one whose key is missing":           {existing: Pair{Certificate: a.Certificate}, fails: true},
		"refuses one whose certificate is missing":   {existing: Pair{Key: a.Key}, fails: true},
		"refuses halves that do not belong together": {existing: Pair{Certificate: a.Certificate, Key: b.Key}, fails: true},
		"refuses a leaf":                             {existing: leaf, fails: true},
		"refuses one that has ended":                 {existing: a, after: DefaultAuthorityValidity, fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c.Time = day0.Add(tc.after)
			got, made, err := issuer.EnsureCA(tc.existing, "a")
			if (err != nil) != tc.fails || made != tc.made {
				t.Fatalf("made %v, error %v; want made %v, fails %v", made, err, tc.made, tc.fails)
			}
			if !tc.made && !tc.fails && !cmp.Equal(tc.existing, got) {
				t.Error("the authority was changed")
			}
		})
	}
}

func TestEnsureServiceAccountKey(t *testing.T) {
	issuer, _ := newIssuer(t)
	first, made, err := issuer.EnsureServiceAccountKey(Pair{})
	if err != nil || !made {
		t.Fatalf("made %v, error %v", made, err)
	}
	if got, made, err := issuer.EnsureServiceAccountKey(first); err != nil || made || !cmp.Equal(first, got) {
		t.Errorf("a complete pair was not kept: made %v, error %v", made, err)
	}
	if got, made, err := issuer.EnsureServiceAccountKey(Pair{Key: first.Key}); err != nil || !made || !cmp.Equal(first, got) {
		t.Errorf("the public key was not made from the private one: made %v, error %v", made, err)
	}
	if _, _, err := issuer.EnsureServiceAccountKey(Pair{Certificate: first.Certificate}); err == nil {
		t.Error("a missing private key was accepted")
	}
}
