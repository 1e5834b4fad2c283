package image

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestToolsHoldBothPrograms(t *testing.T) {
	dir := t.TempDir()
	o := ToolsOptions{
		Reference: "slipway:0.1.0", Version: "0.1.0", Slipway: program(t, filepath.Join(dir, "slipway"), elf.EM_AARCH64, false),
		Agent: program(t, filepath.Join(dir, "slipway-agent"), elf.EM_AARCH64, false), Authorities: write(t, filepath.Join(dir, "ca"), "PEM"),
	}
	made, err := NewTools(o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/ 755 0", "etc/ssl/ 755 0", "etc/ssl/certs/ 755 0", "etc/ssl/certs/ca-certificates.crt 644 3", "slipway 755 120", "slipway-agent 755 120"}
	if diff := cmp.Diff(want, content(t, made.image)); diff != "" {
		t.Error(diff)
	}
	config, err := made.image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(made.Reference, config.Architecture, config.Config.User, config.Config.Entrypoint, config.Config.Labels["org.opencontainers.image.version"],
		config.Config.Labels["org.opencontainers.image.licenses"])
	if want := "slipway:0.1.0 arm64 65532:65532 [/slipway] 0.1.0 Apache-2.0\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	o.Agent = program(t, filepath.Join(dir, "other"), elf.EM_X86_64, false)
	if _, err := NewTools(o); err == nil || !strings.Contains(err.Error(), "give programs of one architecture") {
		t.Errorf("two architectures: %v", err)
	}
	o.Agent = filepath.Join(dir, "missing")
	if _, err := NewTools(o); err == nil || !strings.Contains(err.Error(), "looking at "+o.Agent) {
		t.Errorf("no agent: %v", err)
	}
}
