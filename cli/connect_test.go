package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestManagementClusterIsNotThere checks what every command says where there is none to talk to.
func TestManagementClusterIsNotThere(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			_, _ = w.Write([]byte(`{"kind":"APIVersions","versions":["v1"]}`))
		case "/apis":
			_, _ = w.Write([]byte(`{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`))
		case "/api/v1":
			_, _ = w.Write([]byte(`{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"events","kind":"Event","namespaced":true,"verbs":["list"]}]}`))
		case "/api/v1/namespaces/default/events":
			_, _ = w.Write([]byte(`{"kind":"EventList","apiVersion":"v1","items":[]}`))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(foreign.Close)
	for name, c := range map[string]struct{ server, want string }{
		"none is known":                   {"", "start one with `slipway up`, or name one with --kubeconfig"},
		"it does not answer":              {closed.URL, "The management cluster does not answer: does `slipway up` run"},
		"it is a cluster without slipway": {foreign.URL, "The management cluster does not know the kinds of slipway: `slipway up` installs them"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("SLIPWAY_HOME", home)
			if c.server != "" {
				writeKubeconfig(t, filepath.Join(home, "plane"), c.server)
			}
			for _, line := range []string{
				"tree", "history", "machine list", "machine inspect w1", "machine quarantine w1", "machine add n1 --address 10.1.8.1", "operation list", "operation logs o",
				"operation run shop check", "cluster scale shop --replicas 1", "cluster create shop", "cluster plan shop", "cluster kubeconfig shop", "cluster delete shop --yes",
			} {
				code, _, errs := runCLI(t, strings.Fields(line)...)
				if code != ExitFailed || !strings.Contains(errs, c.want) {
					t.Errorf("slipway %s: code %d, %q", line, code, errs)
				}
			}
		})
	}
}

func TestKubeconfigThatCannotBeRead(t *testing.T) {
	t.Setenv("SLIPWAY_HOME", t.TempDir())
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{broken, filepath.Join(t.TempDir(), "missing")} {
		code, _, errs := runCLI(t, "tree", "--kubeconfig", file)
		if code != ExitFailed || !strings.Contains(errs, "reading the kubeconfig of the management cluster") || !strings.Contains(errs, file) {
			t.Errorf("code %d, %q", code, errs)
		}
	}
}

func TestNamesAreCompleted(t *testing.T) {
	newFakePlane(t, smallFleet()...)
	for line, want := range map[string]string{
		"cluster scale":         "shop\n",
		"machine inspect":       "noisy\n",
		"operation logs":        "shop-scale-2\n",
		"operation run":         "shop\n",
		"operation run shop":    "container-runtime\n",
		"cluster create --etcd": "External\n",
	} {
		if _, out, errs := runCLI(t, append(append([]string{"__complete"}, strings.Fields(line)...), "")...); !strings.Contains(out, want) {
			t.Errorf("%s completes to %q, %q", line, out, errs)
		}
	}
}
