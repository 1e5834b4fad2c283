package grafana

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDataSourcesOfADatabaseAreTurned(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		file := filepath.Join(t.TempDir(), "grafana.db")
		if err := newDatabase(t, file, mode).Close(); err != nil {
			t.Fatal(err)
		}
		got, err := turnDatabase(t.Context(), file, oldPrometheus, usersService)
		if err != nil {
			t.Fatal(err)
		}
		want := turned{sources: []string{"Prometheus (prom, organisation 1)", "By name (named, organisation 1)"}, others: []string{"Elsewhere (else, organisation 2) at http://other:9090"}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(turned{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
		if diff := cmp.Diff(map[string]string{"prom": usersService, "named": usersService, "else": "http://other:9090", "logs": "http://loki:3100"}, addresses(t, file)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mode, diff)
		}
		if left, _ := filepath.Glob(file + "-*"); len(left) > 0 {
			t.Errorf("%s: beside it lie %v", mode, left)
		}
	}
}

func TestADatabaseThatIsNotWholeIsNotUsed(t *testing.T) {
	good := filepath.Join(t.TempDir(), "grafana.db")
	if err := newDatabase(t, good, "delete").Close(); err != nil {
		t.Fatal(err)
	}
	data := []byte(read(t, good))
	torn := append([]byte{}, data...)
	copy(torn[len(torn)-4096:], make([]byte, 4096))
	for name, broken := range map[string][]byte{
		"is cut short": data[:len(data)/2], "has a page of zeroes": torn, "is something else": []byte(strings.Repeat("no database ", 1000)), "is empty": nil,
	} {
		file := filepath.Join(t.TempDir(), "grafana.db")
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := turnDatabase(t.Context(), file, oldPrometheus, usersService)
		if bad := new(notWhole); !errors.As(err, &bad) {
			t.Errorf("one that %s: %v", name, err)
		}
	}
}

func TestWhatIsSaidOfDataSources(t *testing.T) {
	for _, c := range []struct {
		name string
		t    turned
		want string
	}{
		{"one is turned", turned{sources: []string{"Prometheus"}}, "Fine " + RuleSourceFound},
		{"none is found", turned{others: []string{"Other at http://other:9090"}}, "Refused " + RuleSourceFound},
		{"another means the host itself", turned{sources: []string{"P"}, loopback: []string{"Loki at http://localhost:3100"}}, "Fine " + RuleSourceFound + ", Refused " + RuleLoopback},
		{"one is made of a variable", turned{sources: []string{"P"}, variables: []string{"V"}}, "Fine " + RuleSourceFound + ", Look " + RuleSourceFound},
	} {
		var said []string
		for _, f := range c.t.judge(oldPrometheus, usersService) {
			said = append(said, string(f.Verdict)+" "+f.Rule)
		}
		if got := strings.Join(said, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
