package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/rule"
)

// here runs the script on this host, with or without curl in reach.
type here struct{ path string }

func (h here) Run(ctx context.Context, script string) (string, int, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh")
	cmd.Stdin = strings.NewReader(script)
	if h.path != "" {
		cmd.Env = []string{"PATH=" + h.path}
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode(), nil
	}
	return string(out), 0, err
}

type nobody struct{}

func (nobody) Run(context.Context, string) (string, int, error) {
	return "", 0, errors.New("connecting: i/o timeout")
}

func TestEndpoint(t *testing.T) {
	h := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(h.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String() + "/it's"
	_ = l.Close()
	cases := []struct {
		name, endpoint string
		from           Host
		want           rule.Verdict
		says, fix      string
	}{
		{"an address that was not said is a note", "", nil, rule.Note, "was not said", ""},
		{"without a host there is the command to type", h.URL, nil, rule.Note, "was not tried", "curl -sS -o /dev/null -m 5"},
		{"no address is told", "metrics:9090", nil, rule.Unknown, "cannot be read", "http://HOST:PORT"},
		{"an answer is fine, whatever it is", h.URL, here{}, rule.Fine, "grafana reaches", ""},
		{"nobody there yet is a warning", closed, here{}, rule.Warns, "meets nobody", "not there yet"},
		{"a host without curl and bash says so", h.URL, here{path: "/nowhere"}, rule.Unknown, "neither curl nor bash", "install curl"},
		{"a host that cannot be asked is unknown", h.URL, nobody{}, rule.Unknown, "i/o timeout", "SSH"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := &Options{Endpoint: c.endpoint, From: c.from, FromName: "grafana", Progress: func(string) {}}
			f := o.endpoint(t.Context())
			if f.Verdict != c.want || f.Rule != RuleEndpointReached || !strings.Contains(f.Says, c.says) || !strings.Contains(f.Fix, c.fix) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestJudgeProbe(t *testing.T) {
	for out, want := range map[string]rule.Verdict{"curl 0 200": rule.Fine, "bash 0 0": rule.Fine, "curl 7 000": rule.Warns, "curl 6 000": rule.Refused, "curl 28 000": rule.Refused,
		"bash 124 0": rule.Refused, "curl 52 000": rule.Warns, "": rule.Unknown, "welcome to grafana": rule.Unknown} {
		if f := judgeProbe("grafana", "http://m:9090", out, 0); f.Verdict != want {
			t.Errorf("%q: %+v, want %s", out, f, want)
		}
	}
	if f := judgeProbe("grafana", "http://m:9090", "curl 0 200", 3); f.Verdict != rule.Unknown {
		t.Errorf("a script that failed: %+v", f)
	}
}

func TestQuote(t *testing.T) {
	const nasty = `a'b "$(id)" ;`
	out, _, err := here{}.Run(t.Context(), fmt.Sprintf("printf %%s %s", quote(nasty)))
	if err != nil || out != nasty {
		t.Errorf("%q: %v", out, err)
	}
}
