package grafana

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/slipway-dev/slipway/migration/server"
)

// Host is the machine of the old Grafana.
type Host interface {
	// Stream runs a script of sh and writes its standard output to out, as it comes. It gives the exit code and the end of standard error.
	Stream(ctx context.Context, script string, out io.Writer) (code int, stderr string, err error)
}

// What scripts say with their exit code.
const (
	exitNoFolder = 44
	exitNoFile   = 45
	exitNoRight  = 46
	exitNoRoom   = 47
	exitBusy     = 48
)

// databaseScript gives a tar with a copy of the database: grafana.db, and grafana.db-wal where it was copied by its files.
const databaseScript = `set -u
umask 077
export LC_ALL=C
db=$data/grafana.db
[ -d "$data" ] || exit 44
[ -f "$db" ] || exit 45
[ -r "$db" ] || exit 46
for d in "$base"/slipway-grafana.*; do
	[ -d "$d" ] && [ ! -L "$d" ] && [ "$(stat -c %u "$d")" = "$(id -u)" ] && ! kill -0 "${d##*.}" 2>/dev/null && rm -rf "$d"
done
s=$base/slipway-grafana.$$
mkdir "$s" || exit 47
trap 'rm -rf "$s"' EXIT
trap 'exit 1' HUP INT TERM PIPE
clean() { rm -f "$s"/grafana.db*; }
t=
command -v timeout >/dev/null 2>&1 && t='timeout 120' # sqlite3 begins its backup anew whenever somebody writes
bysqlite() { command -v sqlite3 >/dev/null 2>&1 && $t sqlite3 -readonly -cmd '.timeout 10000' "$db" ".backup main '$s/grafana.db'" >&2 && [ -s "$s/grafana.db" ]; }
bypython() {
	command -v python3 >/dev/null 2>&1 && python3 -c '
import sqlite3, sys, urllib.parse
old = sqlite3.connect("file:" + urllib.parse.quote(sys.argv[1]) + "?mode=ro", uri=True, timeout=10)
new = sqlite3.connect(sys.argv[2])
old.backup(new)
new.close()' "$db" "$s/grafana.db" >&2 && [ -s "$s/grafana.db" ]
}
first() { head -c 4096 "$1" | cksum; }
byfile() {
	[ ! -s "$db-journal" ] && cp "$db" "$s/grafana.db" || return 1
	if [ -f "$db-wal" ]; then cp "$db-wal" "$s/grafana.db-wal" && cmp -s "$db-wal" "$s/grafana.db-wal" || return 1; fi
	cmp -s "$db" "$s/grafana.db" || return 1
	if [ -f "$s/grafana.db-wal" ]; then cmp -s "$db-wal" "$s/grafana.db-wal" || return 1; else [ ! -s "$db-wal" ] || return 1; fi
	[ ! -s "$db-journal" ] && [ "$(first "$db")" = "$(first "$s/grafana.db")" ]
}
how=
for way in $ways; do
	i=0
	tries=2 # sqlite and python wait for their turn themselves
	[ "$way" = file ] && tries=20
	while [ -z "$how" ] && [ $i -lt $tries ]; do
		clean
		if "by$way"; then how=$way; else i=$((i+1)); sleep 0.5; fi
	done
	[ -z "$how" ] || break
done
[ -n "$how" ] || exit 48
echo "slipway-way=$how" >&2
tar -C "$s" -cf - .
`

// folderScript gives a tar of a folder, with what links lead to in place of the links.
const folderScript = `export LC_ALL=C
[ -d "$dir" ] || exit 44
[ -r "$dir" ] && [ -x "$dir" ] || exit 46
tar -C "$dir" -chf - .
`

// words sets words before a script.
func words(script string, pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s=%s\n", pairs[i], quote(pairs[i+1]))
	}
	return b.String() + script
}

// quote makes one word of a text for sh.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// errNoFolder is a folder that the old host does not have.
var errNoFolder = errors.New("there is no such folder")

// errBusy is a database that no way could copy.
var errBusy = errors.New("it was written during each try: install sqlite3 or python3 on that host, or try again at a quieter time")

// exitError puts an exit code into words for people.
func exitError(code int, what, stderr string) error {
	end := server.Clip(strings.TrimSpace(stderr), 300)
	switch code {
	case 0:
		return nil
	case exitNoFolder:
		return fmt.Errorf("%s: %w", what, errNoFolder)
	case exitNoFile:
		return fmt.Errorf("%s has no grafana.db: this Grafana keeps its data in another kind of database, or somewhere else", what)
	case exitNoRight:
		return fmt.Errorf("%s may not be read by who logs in: log in as root or as the user of Grafana", what)
	case exitNoRoom:
		return fmt.Errorf("a private folder in /var/tmp cannot be made: %s", end)
	case exitBusy:
		return fmt.Errorf("%s: %w %s", what, errBusy, end)
	}
	return fmt.Errorf("%s: exit code %d: %s", what, code, end)
}
