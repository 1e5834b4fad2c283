package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-dev/slipway/migration/rule"
	"github.com/slipway-dev/slipway/migration/server"
)

// probe asks an address from a shell that may have no curl: with bash the connection alone is tried. It prints one word and a number, and
// %s is the address, the host, the port, each as one quoted word.
const probe = `url=%s; host=%s; port=%s
if command -v curl >/dev/null 2>&1; then
  code=$(curl -q -s -k -o /dev/null -m 5 -w '%%{http_code}' "$url"); echo "curl $? $code"
elif command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then
  timeout 5 bash -c '</dev/tcp/"$0"/"$1"' "$host" "$port" 2>&1 | head -c 300 | grep -q refused && { echo "bash 7 0"; exit 0; }
  timeout 5 bash -c '</dev/tcp/"$0"/"$1"' "$host" "$port" 2>/dev/null; echo "bash $? 0"
else
  echo "none 0 0"
fi
`

// endpoint asks the new address from the host of those who will ask it.
func (o *Options) endpoint(ctx context.Context) rule.Finding {
	f := named(RuleEndpointReached, rule.Finding{Verdict: rule.Note})
	if o.Endpoint == "" {
		f.Says = "the address of the new server was not said (--endpoint)"
		return f
	}
	host, port, err := hostPort(o.Endpoint)
	if err != nil {
		return named(RuleEndpointReached, found(rule.Unknown, "give it as http://HOST:PORT", "the address of the new server cannot be read"))
	}
	if o.From == nil {
		f.Says = "whether Grafana's host reaches " + o.Endpoint + " was not tried"
		f.Fix = "run there: curl -sS -o /dev/null -m 5 -w '%{http_code}\\n' " + quote(o.Endpoint) + "   (any number but 000, or \"Connection refused\", says that the way is open)"
		return f
	}
	o.Progress("the way from " + o.FromName + " to the new address")
	out, code, err := o.From.Run(ctx, fmt.Sprintf(probe, quote(o.Endpoint), quote(host), quote(port)))
	if err != nil {
		return named(RuleEndpointReached, found(rule.Unknown, "see that SSH to it works", "%s could not be asked: %v", o.FromName, err))
	}
	return named(RuleEndpointReached, judgeProbe(o.FromName, o.Endpoint, out, code))
}

// judgeProbe reads what the probe printed. Exit codes are those of curl(1): 6 no such host, 7 refused or no route, 28 too late.
func judgeProbe(from, endpoint, out string, exit int) rule.Finding {
	fields := strings.Fields(server.Clip(out, 200))
	if exit != 0 || len(fields) != 3 {
		return found(rule.Unknown, "run there: curl -sS -m 5 "+quote(endpoint), "%s did not say what it saw (exit code %d): %q", from, exit, server.Clip(out, 200))
	}
	code, err := strconv.Atoi(fields[1])
	switch {
	case fields[0] == "none":
		return found(rule.Unknown, "install curl there", "%s has neither curl nor bash with timeout", from)
	case err != nil:
		return found(rule.Unknown, "", "%s said %q", from, server.Clip(out, 200))
	case code == 0 && fields[0] == "curl":
		return found(rule.Fine, "", "%s reaches %s: it answers %s", from, endpoint, fields[2])
	case code == 0:
		return found(rule.Fine, "", "%s reaches %s", from, endpoint)
	case code == 7:
		return found(rule.Warns, "if the new server is not there yet, this is as it should be; else see that its port is the right one", "%s meets nobody at %s: the connection is refused, or there is no route", from, endpoint)
	case slices.Contains([]int{35, 52, 56}, code): // TLS, nothing, a reset
		return found(rule.Warns, "see that the scheme and the port are right", "%s reaches %s, and what answers speaks no HTTP (curl ended with %d)", from, endpoint, code)
	case code == 6:
		return found(rule.Refused, "give Grafana an address that its host knows", "%s does not know the name in %s", from, endpoint)
	}
	return found(rule.Refused, "open the way from "+from+", TCP", "%s does not reach %s within 5 s (%s ended with %d)", from, endpoint, fields[0], code)
}

// quote makes a text one word of a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// hostPort is where an address leads.
func hostPort(address string) (host, port string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", errors.New("it is no address like http://metrics:9090")
	}
	port = cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return u.Hostname(), port, nil
}
