package move

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/seam"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// cutterFunc is a Cutter.
type cutterFunc func(dir string, o block.CutOptions) (*block.Staged, error)

// Cut calls it.
func (f cutterFunc) Cut(_ context.Context, dir string, o block.CutOptions) (*block.Staged, error) {
	return f(dir, o)
}

func TestCutKeepsWhatTheSourceMadeOfFrozenBlocks(t *testing.T) {
	merged, left := ulid.Make().String(), ulid.Make().String()
	data := t.TempDir()
	staging := filepath.Join(data, transfer.StagingFolder)
	for _, name := range []string{merged, left} {
		if err := os.MkdirAll(filepath.Join(staging, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var found []string
	m, err := newMover(Options{StateDir: t.TempDir(), TargetData: data, Cutter: cutterFunc(func(dir string, _ block.CutOptions) (*block.Staged, error) {
		found, _ = filepath.Glob(filepath.Join(dir, "0*"))
		return nil, block.ErrNothingLeft
	})})
	if err != nil {
		t.Fatal(err)
	}
	w := &World{Source: []block.Entry{{Name: merged, Meta: &block.Meta{}, Verdict: block.OK}}, Staged: []string{merged}}
	if err := m.cut(t.Context(), w, &seam.Part{Source: merged, Side: seam.Before}); err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || filepath.Base(found[0]) != merged {
		t.Errorf("when it was cut there were %v, want only %s", found, merged)
	}
}
