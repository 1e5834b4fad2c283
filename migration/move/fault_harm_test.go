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

// hurtPinned spoils a file of the oldest block, which travels last, in this move's own pin: the old server goes on with what it has. The
// link is held meanwhile.
func (f *faulty) hurtPinned(file string, spoil func([]byte) []byte) {
	path := filepath.Join(f.pin, f.old.blocks[len(f.old.blocks)-1], file)
	kept := filepath.Join(f.t.TempDir(), "kept") // the same disk: it is renamed there and back
	data, err := os.ReadFile(path)
	err = errors.Join(err, os.Rename(path, kept), os.WriteFile(path, spoil(bytes.Clone(data)), 0o600))
	if err != nil {
		f.t.Errorf("spoiling %s: %v", path, err)
	}
	f.hurt = hurt{path, kept}
}

func (f *faulty) mendPinned() {
	f.t.Helper()
	if err := os.Rename(f.hurt.kept, f.hurt.path); err != nil {
		f.t.Fatal(err)
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

// hurtIn flips a byte in the middle of a file of the oldest block below a folder.
func (f *faulty) hurtIn(folder, file string) {
	f.t.Helper()
	path := filepath.Join(folder, f.old.blocks[len(f.old.blocks)-1], file)
	info, err := os.Stat(path)
	if err == nil {
		err = rewrite(path, info.Size()/2)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *faulty) staging() string { return filepath.Join(f.target.Dir, transfer.StagingFolder) }

// journaled counts the lines of a kind in the journal of what was staged.
func (f *faulty) journaled(kind string) int {
	data, _ := os.ReadFile(filepath.Join(f.staging(), "journal")) // none yet
	return bytes.Count(data, []byte(`"k":"`+kind+`"`))
}

// expiring is a retention that deletes the oldest block as soon as the old server has cut its head once: some 15 s after its start.
func expiring() string {
	end := time.Now().Truncate(2 * time.Hour).Add(-2 * time.Hour)
	oldest := end.Add(-time.Duration(pastBlocks-1) * 2 * time.Hour) // its end
	return fmt.Sprintf("%ds", int(time.Since(oldest).Seconds())-1)
}

// expired holds the link until the old server's retention has deleted its oldest block.
func (f *faulty) expired() bool {
	oldest := filepath.Join(f.old.dir, f.old.blocks[len(f.old.blocks)-1])
	engine.Eventually(f.t, "retention deletes the oldest block", func() error {
		if _, err := os.Lstat(oldest); err == nil {
			return fmt.Errorf("%s is there", oldest)
		}
		return nil
	})
	return true
}

// fetchedAgain says that something that had arrived was not trusted any more.
func (f *faulty) fetchedAgain() {
	f.t.Helper()
	if f.forgotten == 0 {
		f.t.Error("nothing was fetched again")
	}
}

// moveAway moves the oldest block out of the new server's data directory, as the stop says.
func (f *faulty) moveAway() {
	f.t.Helper()
	name := f.old.blocks[len(f.old.blocks)-1]
	if err := os.Rename(filepath.Join(f.target.Dir, name), filepath.Join(f.t.TempDir(), name)); err != nil {
		f.t.Fatal(err)
	}
}
