package move

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/transfer"
)

// counted is a source that remembers of which blocks something was read.
type counted struct {
	transfer.Source
	mu   sync.Mutex
	read map[string]bool
}

func (c *counted) Read(ctx context.Context, r transfer.Range, to io.Writer) (block.Sum, error) {
	c.mu.Lock()
	c.read[r.Block] = true
	c.mu.Unlock()
	return c.Source.Read(ctx, r, to)
}

// TestRunTakesBlocksThatWereCarriedThere finds on its volume what slipway prometheus pull brought there while the disk was attached to the old
// host: all blocks but the last, and one that the source has compacted away since. Only what is missing travels.
func TestRunTakesBlocksThatWereCarriedThere(t *testing.T) {
	p := newPair(t, 6)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	list, err := p.local.Blocks(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o := p.options(t)
	var carried []string
	for _, e := range list.Blocks[:len(list.Blocks)-1] {
		carried = append(carried, e.Name)
	}
	if err := p.local.Pin(ctx, carried); err != nil {
		t.Fatal(err)
	}
	fill := o.Pull
	fill.Source, fill.Target, fill.Blocks = p.local, p.target.dir, carried
	if _, err := transfer.Pull(ctx, fill); err != nil {
		t.Fatal(err)
	}
	if err := p.local.Unpin(ctx); err != nil {
		t.Fatal(err)
	}
	const gone = "01HGZ1Y2V8M3R9W0QK5T7N4C6B"
	if err := os.CopyFS(filepath.Join(p.target.dir, transfer.StagingFolder, gone), os.DirFS(filepath.Join(p.source.dir, carried[0]))); err != nil {
		t.Fatal(err)
	}
	p.live(t)
	source := &counted{Source: p.local, read: map[string]bool{}}
	o.Source = source
	state, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	p.check(t, state)
	fresh(t, p)
	for _, name := range carried {
		if source.read[name] {
			t.Errorf("block %s was on the volume, and was read from the source", name)
		}
	}
	if len(carried) == 0 || len(source.read) == 0 {
		t.Errorf("%d blocks were carried, %d were read", len(carried), len(source.read))
	}
}
