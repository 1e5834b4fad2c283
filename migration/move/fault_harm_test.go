//go:build engine || lab

package move

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/slipway-dev/slipway/migration/transfer"
	"github.com/slipway-dev/slipway/test/engine"
)

// once is a harm that comes at the first bytes.
func once(f func()) harm {
	return func([]byte) bool { f(); return true }
}

// flippedData flips in the middle of what is data alone: a full buffer without the words of HTTP around it.
func flippedData(p []byte) bool {
	if len(p) < 4096 || bytes.Contains(p, []byte("\r\n")) {
		return false
	}
	return flipped(p)
}

// hurt is a file on the source's disk that is not what it was.
type hurt struct{ path, kept string }

// oldest is a block of the past, counted from 1 for the oldest, which travels last.
func (f *faulty) oldest(n int) string { return f.old.blocks[len(f.old.blocks)-n] }

// hurtPinned spoils a file of a block in this move's own pin: the old server goes on with what it has. The link is held meanwhile.
func (f *faulty) hurtPinned(n int, file string, spoil func([]byte) []byte) {
	path := filepath.Join(f.pin, f.oldest(n), file)
	kept := filepath.Join(f.t.TempDir(), "kept") // the same disk: it is renamed there and back
	data, err := os.ReadFile(path)
	err = errors.Join(err, os.Rename(path, kept), os.WriteFile(path, spoil(bytes.Clone(data)), 0o600))
	if err != nil {
		f.t.Errorf("spoiling %s: %v", path, err)
	}
	f.hurt = append(f.hurt, hurt{path, kept})
}

func (f *faulty) mendPinned() {
	f.t.Helper()
	for _, h := range f.hurt {
		if err := os.Rename(h.kept, h.path); err != nil {
			f.t.Fatal(err)
		}
	}
}

func flipOne(data []byte) []byte {
	data[len(data)/2] ^= 0x10
	return data
}

func truncateOne(data []byte) []byte { return data[:len(data)/2] }

// hurtArrived flips a byte that has arrived in a file that has not arrived whole, so that nobody has verified it.
func (f *faulty) hurtArrived() bool {
	found, _ := filepath.Glob(filepath.Join(f.target.Dir, transfer.StagingFolder, "0*", "chunks", "000001"))
	for _, path := range found {
		data, err := os.ReadFile(path)
		n := len(data)
		if err != nil || n < 400_000 || bytes.Equal(data[1000:1100], make([]byte, 100)) || !bytes.Equal(data[n-100:], make([]byte, 100)) {
			continue
		}
		if err := rewrite(path, 1050); err != nil {
			f.t.Errorf("flipping a byte: %v", err)
		}
		return true
	}
	return false
}

// rewrite flips a byte of a file in its place.
func rewrite(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	one := make([]byte, 1)
	_, err = file.ReadAt(one, at)
	one[0] ^= 0x10
	_, wrote := file.WriteAt(one, at)
	return errors.Join(err, wrote, file.Close())
}

// hurtIn flips a byte in the middle of a file of one of the oldest blocks below a folder.
func (f *faulty) hurtIn(folder string, n int, file string) {
	f.t.Helper()
	path := filepath.Join(folder, f.oldest(n), file)
	info, err := os.Stat(path)
	if err == nil {
		err = rewrite(path, info.Size()/2)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *faulty) staging() string { return filepath.Join(f.target.Dir, transfer.StagingFolder) }

// expire has the old server killed and started again with a retention that deletes its oldest block, and waits for that. The link is held.
func (f *faulty) expire() {
	path := filepath.Join(f.old.dir, f.oldest(1))
	end := f.old.end.Add(-(pastBlocks - 1) * 2 * time.Hour) // of the oldest block
	f.old.Kill()
	f.old.Server = engine.Start(f.t, engine.Prometheus{Version: engine.Prometheus242, Dir: f.old.dir, Address: f.old.Address, Config: f.site.config,
		Flags: serverWords(fmt.Sprintf("%ds", int(time.Since(end).Seconds())-60))})
	engine.Eventually(f.t, "retention deletes the oldest block", func() error {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there", path)
		}
		return nil
	})
}

// moveAway moves the oldest block out of the new server's data directory, as the stop says.
func (f *faulty) moveAway() {
	f.t.Helper()
	name := f.oldest(1)
	if err := os.Rename(filepath.Join(f.target.Dir, name), filepath.Join(f.t.TempDir(), name)); err != nil {
		f.t.Fatal(err)
	}
}
