package cli

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/slipway-dev/slipway/test/golden"
)

func runCLI(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Run(t.Context(), Options{Args: args, In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestExitCodes(t *testing.T) {
	t.Setenv("SLIPWAY_HOME", t.TempDir())
	tests := map[string]struct {
		args []string
		code int
		errs string
	}{
		"the version is done":                         {[]string{"version"}, ExitDone, ""},
		"a command that does not exist is wrong":      {[]string{"upp"}, ExitUsage, `slipway: unknown command "upp"`},
		"a flag that does not exist is wrong":         {[]string{"up", "--fast"}, ExitUsage, "slipway: unknown flag: --fast"},
		"an argument too many is wrong":               {[]string{"up", "now"}, ExitUsage, "slipway: unknown command"},
		"an executor that does not exist is wrong":    {[]string{"up", "--executor", "magic"}, ExitUsage, "use one of process, simulated"},
		"a mirror without a port is wrong":            {[]string{"up", "--mirror-listen", "10.1.0.5"}, ExitUsage, "must be address:port"},
		"a mirror without TLS is wrong":               {[]string{"up", "--mirror-url", "http://a:1"}, ExitUsage, "https://host:port"},
		"metrics beyond loopback are wrong":           {[]string{"up", "--metrics-listen", "0.0.0.0:8080"}, ExitUsage, "loopback"},
		"a log level that does not exist is wrong":    {[]string{"up", "--log-level", "loud"}, ExitUsage, "error, info, debug"},
		"a controller that does not exist is wrong":   {[]string{"up", "--controllers", "coffee"}, ExitUsage, "coffee"},
		"a backup without a file is wrong":            {[]string{"plane", "backup"}, ExitUsage, `required flag(s) "file" not set`},
		"a status without a plane does not work":      {[]string{"plane", "status"}, ExitFailed, "`slipway up` makes one"},
		"a restore of a missing file does not work":   {[]string{"plane", "restore", "-f", "/nowhere"}, ExitFailed, "/nowhere"},
		"down is done when nothing runs":              {[]string{"down"}, ExitDone, "does not run"},
		"an operator without a cluster does not work": {[]string{"operator", "--kubeconfig", "/nowhere"}, ExitFailed, "/nowhere"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, errs := runCLI(t, test.args...)
			if code != test.code || !strings.Contains(errs, test.errs) {
				t.Errorf("slipway %s: code %d, %q; want %d, %q", strings.Join(test.args, " "), code, errs, test.code, test.errs)
			}
			if n := strings.Count(errs, "slipway: "); code != ExitDone && n != 1 {
				t.Errorf("the error is printed %d times:\n%s", n, errs)
			}
		})
	}
}

func TestInterruptedIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs bytes.Buffer
	code := Run(ctx, Options{Args: []string{"up", "--dir", t.TempDir(), "--executor", "simulated"}, Out: &errs, Err: &errs})
	if code != ExitInterrupted {
		t.Errorf("code %d, want %d: %s", code, ExitInterrupted, &errs)
	}
}

// TestHelp pins what people script against: commands, flags, defaults.
func TestHelp(t *testing.T) {
	for _, command := range []string{
		"", "up", "down", "operator", "plane", "plane backup", "plane restore", "plane status", "version",
		"cluster", "cluster create", "cluster scale", "cluster delete", "cluster kubeconfig", "cluster plan",
		"machine", "machine add", "machine list", "machine inspect", "machine quarantine", "machine release",
		"operation", "operation list", "operation run", "operation logs", "operation retry", "operation cancel", "tree", "history", "freeze",
		"prometheus", "prometheus blocks", "prometheus scrub", "prometheus skew", "prometheus pull", "prometheus shim", "prometheus agent", "prometheus agent init", "prometheus agent manifest", "prometheus agent source", "prometheus agent remove",
		"prometheus volume", "prometheus plan", "prometheus preflight", "prometheus target", "prometheus target config", "prometheus target manifests", "prometheus migrate", "prometheus status",
		"prometheus rehearse", "prometheus cut", "prometheus cutover", "prometheus rollback", "prometheus finalize",
		"search", "search doctor",
		"search explain", "search lifecycle", "search lifecycle plan",
	} {
		t.Run("slipway "+command, func(t *testing.T) {
			_, out, _ := runCLI(t, append(strings.Fields(command), "--help")...)
			golden.Check(t, filepath.Join("testdata", "help_"+strings.ReplaceAll("slipway "+command, " ", "_")+".golden"), out)
		})
	}
}

func TestEveryCommandSaysWhatItDoes(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" && !cmd.Hidden {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(NewRoot())
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, _ := runCLI(t, "completion", shell); code != ExitDone || !strings.Contains(out, "slipway") {
			t.Errorf("completion %s: code %d", shell, code)
		}
	}
	if _, out, _ := runCLI(t, "__complete", "up", "--executor", ""); !strings.Contains(out, "simulated") {
		t.Errorf("--executor completes to %q", out)
	}
}
