package agent

import (
	"os"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	tests := map[string]struct {
		o    Options
		want string
	}{
		"takes a directory with any name":           {Options{Data: "/data/it's mine"}, ""},
		"refuses a directory that is not absolute":  {Options{Data: "data"}, "want an absolute path"},
		"refuses a directory with a line feed":      {Options{Data: "/data\nrm"}, "want an absolute path"},
		"refuses a folder that a shell would split": {Options{Data: "/data", Folder: "/var/tmp/a b"}, "the folder for the agent"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := New(tt.o)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if a != nil {
				a.HangUp()
			}
		})
	}
	one, _ := New(Options{Data: "/data/"})
	two, _ := New(Options{Data: "/data"})
	if one.Name() != two.Name() || !strings.HasPrefix(one.Name(), "slipway-agent-") {
		t.Errorf("%s and %s", one.Name(), two.Name())
	}
}

func TestFits(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fitting := 0
	for _, machine := range []string{"x86_64", "aarch64"} {
		if fits(self, machine) == nil {
			fitting++
		}
	}
	if fitting != 1 {
		t.Errorf("it fits %d of two machines", fitting)
	}
	if err := fits(self, "riscv64"); err != nil { // whoever knows better finds out there
		t.Error(err)
	}
	if err := fits("agent_test.go", "x86_64"); err == nil {
		t.Error("a text is no program")
	}
}
