//go:build engine

package grafana

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// here runs the scripts with this machine's sh, as a host would.
type here struct{}

func (h here) Stream(ctx context.Context, script string, out io.Writer) (int, string, error) {
	cmd := exec.CommandContext(ctx, "sh")
	cmd.Stdin, cmd.Stdout = strings.NewReader(script), out
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), stderr.String(), nil
	}
	return 0, stderr.String(), err
}

// writer moves one unit between two rows in each transaction, over many pages, and counts those that were written. A copy of a moment has a
// sum of nothing, and every row of its last transaction.
func writer(t *testing.T, db *sql.DB) (stop func() int64) {
	t.Helper()
	if _, err := db.Exec("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, pad TEXT); CREATE TABLE tx (n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	for id := range 400 {
		if _, err := db.Exec("INSERT INTO account VALUES (?, 0, ?)", id, strings.Repeat("x", 1500)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var written atomic.Int64
	var done sync.WaitGroup
	done.Go(func() {
		for n := int64(1); ctx.Err() == nil; n++ {
			tx, err := db.Begin()
			if err != nil {
				t.Errorf("the database is held up: %v", err)
				return
			}
			for _, q := range []string{fmt.Sprintf("UPDATE account SET balance = balance + 1 WHERE id = %d", n%400),
				fmt.Sprintf("UPDATE account SET balance = balance - 1 WHERE id = %d", (n*7+200)%400), fmt.Sprintf("INSERT INTO tx VALUES (%d)", n)} {
				if _, err := tx.Exec(q); err != nil {
					t.Errorf("the database is held up: %v", err)
					return
				}
			}
			if err := tx.Commit(); err != nil {
				t.Errorf("the database is held up: %v", err)
				return
			}
			written.Store(n)
			select { // who never rests lets nobody read in the mode delete
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
	})
	var once sync.Once
	end := func() int64 { once.Do(func() { cancel(); done.Wait() }); return written.Load() }
	t.Cleanup(func() { end() })
	return end
}

// TestACopyOfADatabaseThatIsWritten takes copies in each way while transactions go on, and holds each to what a moment of it can be.
func TestACopyOfADatabaseThatIsWritten(t *testing.T) {
	for _, c := range []struct{ way, mode string }{{"sqlite", "delete"}, {"sqlite", "wal"}, {"python", "delete"}, {"python", "wal"}} {
		t.Run(c.way+" "+c.mode, func(t *testing.T) {
			old := t.TempDir()
			db := newDatabase(t, filepath.Join(old, "grafana.db"), c.mode)
			stop := writer(t, db)
			for range 3 {
				dir := t.TempDir()
				o := bringTo(dir, here{})
				o.Data, o.Provisioning, o.tmp, o.ways = old, filepath.Join(old, "none"), t.TempDir(), c.way
				r, err := Bring(t.Context(), o)
				if err != nil || r.Verdict.Stops() {
					t.Fatalf("%+v, %v", r, err)
				}
				isAMoment(t, filepath.Join(dir, "grafana.db"))
				if left, _ := os.ReadDir(o.tmp); len(left) > 0 {
					t.Errorf("%d files are left on the host", len(left))
				}
			}
			if n := stop(); n < 3 {
				t.Errorf("%d transactions were written meanwhile: this proves nothing", n)
			}
		})
	}
}

func isAMoment(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var sum, last, count int64
	if err := db.QueryRow("SELECT (SELECT sum(balance) FROM account), (SELECT coalesce(max(n), 0) FROM tx), (SELECT count(*) FROM tx)").Scan(&sum, &last, &count); err != nil {
		t.Fatal(err)
	}
	if sum != 0 || last != count {
		t.Errorf("the copy has a sum of %d, %d transactions and the number %d: it is of no moment", sum, count, last)
	}
}

// TestACopyByItsFiles is taken of a database at rest, and never of one that is written all the time.
func TestACopyByItsFiles(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run(mode, func(t *testing.T) {
			old := t.TempDir()
			db := newDatabase(t, filepath.Join(old, "grafana.db"), mode)
			stop := writer(t, db)
			bring := func() (string, *Report) {
				dir := t.TempDir()
				o := bringTo(dir, here{})
				o.Data, o.Provisioning, o.tmp, o.ways = old, filepath.Join(old, "none"), t.TempDir(), "file"
				r, err := Bring(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				return filepath.Join(dir, "grafana.db"), r
			}
			// A moment of rest may be found between two transactions; then the copy is one.
			if file, r := bring(); !r.Verdict.Stops() {
				isAMoment(t, file)
			} else if !strings.HasPrefix(r.Says, RuleDatabaseQuiet) {
				t.Errorf("while it is written: %+v", r)
			}
			written := stop()
			file, r := bring() // the connection is open, and so the log is there
			if r.Verdict.Stops() {
				t.Fatalf("at rest: %+v", r)
			}
			isAMoment(t, file)
			now, err := sql.Open("sqlite", "file:"+file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = now.Close() }()
			var count int64
			if err := now.QueryRow("SELECT count(*) FROM tx").Scan(&count); err != nil || count != written {
				t.Errorf("the copy has %d of %d transactions: %v", count, written, err)
			}
		})
	}
}

// TestAHostThatLacksSomething is told apart by what its script says.
func TestAHostThatLacksSomething(t *testing.T) {
	empty := t.TempDir()
	stale := filepath.Join(t.TempDir(), "slipway-grafana.999999999")
	if err := os.Mkdir(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, data, tmp, want string }{
		{"no such folder", filepath.Join(empty, "none"), t.TempDir(), "there is no such folder"},
		{"no database", empty, t.TempDir(), "has no grafana.db"},
	} {
		o := bringTo(t.TempDir(), here{})
		o.Data, o.Provisioning, o.tmp, o.ways = c.data, filepath.Join(empty, "none"), c.tmp, "sqlite file"
		if r, err := Bring(t.Context(), o); err != nil || !strings.Contains(r.Says, c.want) {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
	}
	old := t.TempDir()
	newDatabase(t, filepath.Join(old, "grafana.db"), "delete")
	o := bringTo(t.TempDir(), here{})
	o.Data, o.Provisioning, o.tmp, o.ways = old, filepath.Join(empty, "none"), filepath.Dir(stale), "sqlite"
	if r, err := Bring(t.Context(), o); err != nil || r.Verdict.Stops() {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed run left is still there: %v", err)
	}
}
