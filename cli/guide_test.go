package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestTheGuidesCommandsExist reads every command of the guides on moving a Prometheus, as a person would type it, up to the point where it
// would begin: it exists, knows its flags and arguments, and nothing that it needs is missing.
func TestTheGuidesCommandsExist(t *testing.T) {
	for _, page := range []string{"../docs/move-your-prometheus.md", "../docs/prometheus-replicas.md", "../docs/prometheus-migrate.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		commands := commandsIn(string(text))
		if len(commands) < 2 {
			t.Errorf("%s: %d commands were found", page, len(commands))
		}
		for _, words := range commands {
			if err := typed(words); err != nil {
				t.Errorf("%s: %s: %v", page, strings.Join(words, " "), err)
			}
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")
	comment = regexp.MustCompile(`\s+#.*$`)
	word    = regexp.MustCompile(`"[^"]*"|\S+`)
)

// commandsIn finds commands in blocks of code. A line that ends in a backslash goes on; what is behind a pipe is another program's.
func commandsIn(page string) (all [][]string) {
	for _, block := range fence.FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			for part := range strings.SplitSeq(comment.ReplaceAllString(strings.TrimSpace(line), ""), " | ") {
				if rest, ok := strings.CutPrefix(part, "slipway "); ok && strings.HasPrefix(rest, "prometheus ") {
					all = append(all, word.FindAllString(rest, -1))
				}
			}
		}
	}
	return all
}

// typed looks at a command without running it.
func typed(words []string) error {
	root := &cobra.Command{Use: "slipway"}
	root.AddCommand(NewPrometheusCommand())
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return cmd.ValidateRequiredFlags()
}
