package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// labHome is a data directory with one lab of two machines that have no power.
func labHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, "labs", "dev")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lab.json", "id_ed25519"} {
		data, err := os.ReadFile(filepath.Join("testdata", "lab", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

func runLab(t *testing.T, home string, args ...string) (string, error) {
	t.Helper()
	cmd := NewLabCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"--home", home}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestLabShowsWhatTheStateSays(t *testing.T) {
	home := labHome(t)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"list counts machines with power", []string{"list"}, []string{"dev", "Degraded", "0/3", "198.18.250.0/24"}},
		{"list -o json has the machines", []string{"list", "-o", "json"}, []string{`"name": "dev"`, `"hostname": "dev-m2"`, `"network": "198.18.250.0/24"`}},
		{"machines -o wide has keys and faults", []string{"machines", "dev", "-o", "wide"}, []string{"dev-m1", "power-off", "ssh-ed25519 AAAAone", "8192 MiB"}},
		{"machines -o yaml has the objects, the bastion as a bastion", []string{"machines", "dev", "-o", "yaml", "-n", "harbor", "--labels", "pool=general"},
			[]string{"namespace: harbor", "name: dev-m1", `pool: "general"`, "bastion:\n    address: 198.18.250.2", "ssh-privatekey: YSBrZXkK"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runLab(t, home, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in:\n%s", want, out)
				}
			}
			if strings.Contains(out, "name: dev-bastion") {
				t.Error("the bastion is no Machine")
			}
		})
	}
}

func TestLabRefuses(t *testing.T) {
	home := labHome(t)
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"a size that is none", `--disk "huge"`, []string{"create", "new", "--disk", "huge"}},
		{"a name that is none", `lab name "New"`, []string{"create", "New"}},
		{"labels without value", `--labels "pool"`, []string{"machines", "dev", "--labels", "pool"}},
		{"a format that is none", "xml", []string{"list", "-o", "xml"}},
		{"a lab that is not there", "not found", []string{"machines", "other"}},
		{"a machine that is not there", "not found", []string{"fault", "dev/m9", "heal"}},
		{"a machine without its lab", "want NAME/MACHINE", []string{"fault", "m1", "heal"}},
		{"a fault that is none", `unknown fault "explode"`, []string{"fault", "dev/m1", "explode"}},
		{"a clock without offset", "--offset", []string{"fault", "dev/m1", "clock"}},
		{"a delay without time", "--ms", []string{"fault", "dev/m1", "delay"}},
		{"to unplug what has no power", "has no power", []string{"fault", "dev/m1", "unplug"}},
		{"a console where there is no power", "has no power", []string{"exec", "dev/m1", "--console", "--", "true"}},
		{"to delete nothing", "name a lab", []string{"delete"}},
		{"to delete what is not there", "not found", []string{"delete", "other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runLab(t, home, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// TestLabExecExitsAsTheCommand runs the whole command line with an ssh that ends as the test wants.
func TestLabExecExitsAsTheCommand(t *testing.T) {
	home, bin := labHome(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\nfor last; do :; done\neval \"exec sh -c $last\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, c := range map[string]struct {
		command   string
		code      int
		out, errs string
	}{
		"0 is done":                 {"echo hello", 0, "hello\n", ""},
		"a code goes through":       {"exit 7", 7, "", "slipway: the command on dev-m1 ended with code 7\n"},
		"that of ssh goes through":  {"exit 255", 255, "", "slipway: the command on dev-m1 ended with code 255\n"},
		"a killed one did not work": {"kill -9 $$", ExitFailed, "", "slipway: the command on dev-m1 ended with code -1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runCLI(t, "lab", "--home", home, "exec", "dev/m1", "--", c.command)
			if code != c.code || out != c.out || errs != c.errs {
				t.Errorf("code %d, %q, %q; want %d, %q, %q", code, out, errs, c.code, c.out, c.errs)
			}
		})
	}
}

func TestMachineAddTakesWhatLabMachinesPrints(t *testing.T) {
	out, err := runLab(t, labHome(t), "machines", "dev", "-o", "yaml", "-n", "harbor", "--labels", "pool=general")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := machinesFromYAML([]byte(out), "default")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetNamespace()+" "+describe(o))
	}
	if got, want := strings.Join(names, ", "), "harbor secret dev-ssh, harbor machine dev-m1, harbor machine dev-m2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
