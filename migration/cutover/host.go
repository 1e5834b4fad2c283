package cutover

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/ssh"
)

// Host is the machine of a server whose file is edited over SSH. The host key is pinned; another one is refused.
type Host struct {
	Address string `json:"address"`
	// Port is that of the SSH server; 0 means 22.
	Port int `json:"port,omitempty"`
	// User may write the file itself, or may run "sudo -n sh".
	User string `json:"user"`
	// KeyFile holds the private key without a passphrase.
	KeyFile string `json:"keyFile"`
	// KnownHostKey is the host's public key as in "ssh-ed25519 AAAA…".
	KnownHostKey string `json:"knownHostKey"`
}

// operationTime limits one look or one change on a host.
const operationTime = time.Minute

// What the scripts say with their exit code.
const (
	exitNoFile  = 44
	exitNoRight = 45 // the user may not; sudo may
)

var unitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._:\\-]*$`)

func (h *Host) complete(name string, s *Server) error {
	switch {
	case h.Address == "" || h.User == "" || h.KeyFile == "" || h.KnownHostKey == "":
		return fmt.Errorf("%s.host wants address, user, keyFile and knownHostKey", name)
	case strings.ContainsAny(h.Address, "/@ \n") || h.Port < 0 || h.Port > 65535:
		return fmt.Errorf("%s.host has no address and port that could be of a machine: %q, %d", name, h.Address, h.Port)
	case ssh.Fingerprint(h.KnownHostKey) == "(not a key)":
		return fmt.Errorf("%s.host.knownHostKey is no public key as in ssh-ed25519 AAAA…; ssh-keyscan shows it", name)
	case s.ConfigFile != "" && !path.IsAbs(s.ConfigFile) || s.PIDFile != "" && !path.IsAbs(s.PIDFile):
		return fmt.Errorf("%s.configFile and pidFile are on %s, and want absolute paths", name, h.Address)
	case strings.ContainsAny(s.ConfigFile+s.PIDFile, "\n\x00"):
		return fmt.Errorf("%s.configFile or pidFile has a line end", name)
	case s.PID != 0:
		return fmt.Errorf("%s.pid is a process of this host; give pidFile or unit", name)
	}
	return nil
}

// name is the host as it stands in the names of its files.
func (h *Host) name() string {
	return "ssh://" + net.JoinHostPort(h.Address, strconv.Itoa(max(h.Port, 0)))
}

// file is the server's configuration: a path of this host, or one that says of which.
func (s *Server) file() string {
	if s.Host == nil || s.ConfigFile == "" {
		return s.ConfigFile
	}
	return s.Host.name() + s.ConfigFile
}

// routed sends what is read and written to where it lies: files of hosts over SSH, others to this host.
type routed struct {
	disk
	// ctx is that of the command; the files of one command are read and written within it.
	ctx    context.Context //nolint:containedctx // a disk lives as long as the command whose context it has
	dialer *ssh.Dialer
	hosts  map[string]*Host
}

func (d *routed) host(name string) (*Host, string) {
	for prefix, h := range d.hosts {
		if p, ok := strings.CutPrefix(name, prefix); ok && strings.HasPrefix(p, "/") {
			return h, p
		}
	}
	return nil, name
}

func (d *routed) read(name string) ([]byte, error) {
	h, file := d.host(name)
	if h == nil {
		return d.disk.read(name)
	}
	return d.run(h, "f="+quote(file)+readScript, maxFile+1)
}

func (d *routed) replace(name string, data []byte) error {
	h, file := d.host(name)
	if h == nil {
		return d.disk.replace(name, data)
	}
	// The text travels within the script: a link that breaks leaves a script that is not whole, and that does nothing.
	text := base64.StdEncoding.EncodeToString(data)
	script := "f=" + quote(file) + "\nsum=" + digest(data) + replaceHead + text + replaceTail
	if _, err := d.run(h, script, 0); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// reload has the host's service manager, or a signal, tell the server.
func (d *routed) reload(s *Server) error {
	script := "unit=" + quote(s.Unit) + unitScript
	if s.Unit == "" {
		script = "f=" + quote(s.PIDFile) + signalScript
	}
	_, err := d.run(s.Host, script, 0)
	return err
}

// run runs a script as the user, and again with sudo where the user may not.
func (d *routed) run(h *Host, script string, most int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(d.ctx, operationTime)
	defer cancel()
	key, err := d.disk.read(h.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the SSH key: %w", err)
	}
	c, err := d.dialer.Dial(ctx, ssh.Endpoint{Host: h.Address, Port: h.Port, User: h.User, Key: key, HostKey: h.KnownHostKey})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, elevate := range []bool{false, true} {
		r, err := c.Run(ctx, ssh.Command{Line: "sh", Elevate: elevate, Stdin: []byte("main() {\nset -eu\numask 077\n" + script + "\n}\nmain\n"), MaxOutput: most})
		if err != nil {
			return nil, err
		}
		says := strings.TrimSpace(string(r.Stderr))
		switch {
		case r.ExitCode == 0:
			return r.Stdout, nil
		case r.ExitCode == exitNoFile:
			return nil, fmt.Errorf("%s on %s: %w", says, h.Address, fs.ErrNotExist)
		case r.ExitCode == exitNoRight && !elevate && h.User != "root":
			continue
		}
		if elevate {
			return nil, fmt.Errorf("working as root on %s, through sudo -n of %s: %s (%d)", h.Address, h.User, clipped(says), r.ExitCode)
		}
		return nil, fmt.Errorf("working on %s as %s: %s (%d)", h.Address, h.User, clipped(says), r.ExitCode)
	}
	return nil, errors.New("not reached") // the second attempt returns
}

func clipped(says string) string {
	if says == "" {
		return "it said nothing"
	}
	if len(says) > 400 {
		says = says[:400]
	}
	return strings.ToValidUTF8(says, "?")
}

// quote makes a word of a POSIX shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

const readScript = `
[ -e "$f" ] || { [ "$(id -u)" = 0 ] || [ -x "${f%/*}/" ] || exit 45; echo "there is no file $f" >&2; exit 44; }
[ -f "$f" ] || { echo "$f is no regular file" >&2; exit 1; }
[ -r "$f" ] || { echo "$f cannot be read" >&2; exit 45; }
cat -- "$f"`

// replaceHead and replaceTail stand around the text. The new file is made beside the old one with its owner and mode, compared, and renamed.
// What a killed command left behind is removed by the next one.
const replaceHead = `
[ -e "$f" ] || { [ "$(id -u)" = 0 ] || exit 45; echo "there is no file $f" >&2; exit 44; }
f=$(readlink -f -- "$f")
d=${f%/*}; b=${f##*/}; d=${d:-/}
[ -f "$f" ] || { echo "$f is no regular file" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { [ -w "$d" ] && [ -O "$f" ]; } || { echo "$d cannot be written, or $f has another owner" >&2; exit 45; }
rm -f -- "$d/.$b".slipway-*
t=$(mktemp "$d/.$b.slipway-XXXXXX")
trap 'rm -f -- "$t"' EXIT
base64 -d >"$t" <<'THE-END-OF-THE-TEXT'
`

const replaceTail = `
THE-END-OF-THE-TEXT
set -- $(sha256sum <"$t")
[ "$1" = "$sum" ] || { echo "the text did not arrive whole" >&2; exit 1; }
chmod "$(stat -c %a -- "$f")" "$t"
chown -h "$(stat -c %u:%g -- "$f")" "$t" || { echo "its owner cannot be kept" >&2; exit 45; }
sync -- "$t" 2>/dev/null || sync
mv -f -- "$t" "$f"
sync -- "$d" 2>/dev/null || sync`

const unitScript = `
[ "$(id -u)" = 0 ] || exit 45
systemctl reload -- "$unit"`

const signalScript = `
[ -r "$f" ] || { [ "$(id -u)" = 0 ] || exit 45; echo "there is no file $f" >&2; exit 44; }
read -r pid <"$f" || [ -n "$pid" ]
case $pid in ''|0|1|*[!0-9]*) echo "$f holds no number of a process" >&2; exit 1;; esac
[ -e "/proc/$pid/comm" ] || { echo "there is no process $pid, which $f names" >&2; exit 1; }
read -r comm <"/proc/$pid/comm"
case $comm in prometheus*) ;; *) echo "process $pid is $comm and not prometheus" >&2; exit 1;; esac
kill -HUP "$pid" 2>/dev/null || { [ "$(id -u)" = 0 ] || exit 45; echo "process $pid takes no signal" >&2; exit 1; }`
