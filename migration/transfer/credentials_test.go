package transfer

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/certs"
)

func TestCredentialsThatAreGoodStay(t *testing.T) {
	issuer := certs.New(certs.Options{})
	first, err := EnsureCredentials(Credentials{}, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ca.crt", "tls.crt", "tls.key"}, slices.Sorted(maps.Keys(first.Target))); diff != "" {
		t.Error(diff)
	}
	again, err := EnsureCredentials(first, issuer)
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("made again: %v\n%s", err, diff)
	}
	half := first
	half.Target = nil
	other, err := EnsureCredentials(half, issuer)
	if err != nil || !cmp.Equal(other.Source, first.Source) || len(other.Target["tls.key"]) == 0 || cmp.Equal(other.Target, first.Target) {
		t.Errorf("the target's are gone: want them alone made, got %v", err)
	}
	folder := t.TempDir()
	for name, data := range first.Target {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := TargetTLS(folder); err != nil {
		t.Errorf("as files of a Secret: %v", err)
	}
}
