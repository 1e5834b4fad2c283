package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slipway-dev/slipway/ssh"
)

// prelude are the functions of all scripts: for sh, with the tools of coreutils, util-linux or busybox.
const prelude = `set -u
umask 077
export LC_ALL=C
say() { printf '%s=%s\n' "$1" "$2"; }
base=$(cd "$base" 2>/dev/null && pwd -P) || { say problem base; exit 0; }
f=$base/$name
ours() { [ ! -L "$f" ] && [ "$(stat -c '%u %a %F' "$f" 2>/dev/null)" = "$(id -u) 700 directory" ]; }
running() { ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n "s|.* /proc/\([0-9]*\)/exe -> $f/agent\( (deleted)\)\{0,1\}\$|\1|p"; }
end() {
	for p in $(running); do kill "$p" 2>/dev/null; done
	i=0
	while [ -n "$(running)" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
	for p in $(running); do kill -9 "$p" 2>/dev/null; done
}
digest() { sha256sum < "$1" | cut -d' ' -f1; }
`

// lookScript makes the folder where it is missing and says what is there.
const lookScript = `
[ -d "$data" ] || { say problem data; exit 0; }
say uid "$(id -u)"
say owner "$(stat -L -c %u "$data")"
say machine "$(uname -m)"
[ "$(id -u)" = 0 ] || [ "$(id -u)" = "$(stat -L -c %u "$data")" ] || { say problem user; exit 0; }
if [ -e "$f" ] || [ -L "$f" ]; then
	ours || { say problem foreign; exit 0; }
else
	mkdir "$f" || { say problem mkdir; exit 0; }
fi
say folder "$f"
[ -f "$f/agent" ] && say digest "$(digest "$f/agent")"
[ -S "$f/sock" ] && [ -n "$(running)" ] && say args "$(cat "$f/args" 2>/dev/null)"
exit 0
`

// placeScript takes what was sent, where it is what was sent.
const placeScript = `
ours || { say problem foreign; exit 0; }
[ "$(digest "$f/agent.part")" = "$want" ] || { say problem digest; exit 0; }
chmod 700 "$f/agent.part" && mv -f "$f/agent.part" "$f/agent" || say problem place
exit 0
`

// startScript ends the agent of before and starts one that outlives this connection.
const startScript = `
ours || { say problem foreign; exit 0; }
end
[ -f "$f/log" ] && { tail -c 600 "$f/log" | tr '\n' ' ' > "$f/last"; say before "$(cat "$f/last")"; }
rm -f "$f/sock" "$f/last"
: > "$f/log"
printf '%s' "$want" > "$f/args"
setsid "$f/agent" "$@" </dev/null >>"$f/log" 2>&1 &
p=$!
i=0
while [ ! -S "$f/sock" ] && kill -0 "$p" 2>/dev/null && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
[ -S "$f/sock" ] || say problem died
say log "$(tail -c 2000 "$f/log" | tr '\n' ' ')"
exit 0
`

// logScript says whether the agent lives, and what it said last.
const logScript = `
[ -n "$(running)" ] && say running yes
say log "$(tail -c 2000 "$f/log" 2>/dev/null | tr '\n' ' ')"
exit 0
`

// removeScript takes everything away that was put there, and says what stays in the data directory.
const removeScript = `
if [ -e "$f" ] || [ -L "$f" ]; then
	ours || { say problem foreign; exit 0; }
	end
	rm -f "$f/agent" "$f/agent.part" "$f/sock" "$f/log" "$f/last" "$f/args"
	rm -rf "$f"/.slipway*
	rmdir "$f" || say problem left
	say removed "$f"
fi
if [ -f "$data/slipway-pin/slipway-pin.json" ]; then
	n=0
	for b in "$data"/slipway-pin/0*; do [ -d "$b" ] && n=$((n+1)); done
	say pinned $n
fi
exit 0
`

// script runs a script on the host. Its words are set before it; args are its positional parameters.
func (a *Agent) script(ctx context.Context, c *ssh.Client, text, want string, args ...string) (map[string]string, error) {
	var b strings.Builder
	for _, v := range [][2]string{{"base", a.o.Folder}, {"name", a.name}, {"data", a.o.Data}, {"want", want}} {
		fmt.Fprintf(&b, "%s=%s\n", v[0], quote(v[1]))
	}
	b.WriteString("set --")
	for _, arg := range args {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n" + prelude + text)
	result, err := c.Run(ctx, ssh.Command{Line: "sh", Stdin: []byte(b.String())})
	if err != nil {
		return nil, err
	}
	if result.ExitCode != 0 {
		return nil, fmt.Errorf("running a script on %s: exit code %d: %s", a.o.Endpoint.Address(), result.ExitCode, printable(result.Stderr))
	}
	said, err := readWords(result.Stdout)
	if err != nil {
		return nil, fmt.Errorf("reading what %s says: %w", a.o.Endpoint.Address(), err)
	}
	if said["problem"] != "" {
		return said, a.problem(said, printable(result.Stderr))
	}
	return said, nil
}

// problem puts a word of a script into words for people.
func (a *Agent) problem(said map[string]string, errs string) error {
	where := a.o.Folder + "/" + a.name + " on " + a.o.Endpoint.Host
	switch said["problem"] {
	case "data":
		return fmt.Errorf("%s has no directory %s, or %s may not enter it", a.o.Endpoint.Host, a.o.Data, a.o.Endpoint.User)
	case "user":
		return fmt.Errorf("%s on %s belongs to user %s, and %s is user %s: log in as its owner or as root", a.o.Data, a.o.Endpoint.Host, said["owner"], a.o.Endpoint.User, said["uid"])
	case "base", "mkdir":
		return fmt.Errorf("making %s: %s; name another folder with --agent-folder", where, errs)
	case "foreign":
		return fmt.Errorf("%s is there and not a private folder (0700) of %s: look who made it and remove it, or name another place with --agent-folder", where, a.o.Endpoint.User)
	case "digest":
		return fmt.Errorf("sending the agent to %s: what arrived is not what was sent", where)
	case "died":
		return fmt.Errorf("the agent on %s ended at once: %s %s (where programs may not run, name another place with --agent-folder)", a.o.Endpoint.Host, said["log"], errs)
	case "left":
		return fmt.Errorf("removing %s: somebody put files there: %s", where, errs)
	}
	return fmt.Errorf("the agent on %s: %.40q: %s", a.o.Endpoint.Host, said["problem"], errs)
}

// readWords reads lines of word=text; the first of each word counts.
func readWords(out []byte) (map[string]string, error) {
	said := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, text, ok := strings.Cut(lines.Text(), "=")
		if !ok || word == "" || len(word) > 20 {
			continue // what a login shell prints
		}
		if _, there := said[word]; !there {
			said[word] = printable([]byte(text))
		}
	}
	return said, errors.Join(lines.Err())
}

// quote makes one word of a text for sh.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// printable is a text of another host on one line, at most 2000 bytes of it.
func printable(text []byte) string {
	text = text[:min(len(text), 2000)]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, string(text)))
}
