package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// outputFlag adds -o, which takes the allowed formats and no others; empty is the table for people.
func outputFlag(cmd *cobra.Command, target *string, allowed ...string) {
	value := &choice{target: target, allowed: allowed}
	cmd.Flags().VarP(value, "output", "o", "output format: "+strings.Join(allowed, ", "))
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}

// printObject prints a value as json or yaml.
func printObject(w io.Writer, format string, value any) error {
	marshal := yaml.Marshal
	if format == "json" {
		marshal = func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	}
	data, err := marshal(value)
	if err != nil {
		return fmt.Errorf("printing as %s: %w", format, err)
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(string(data), "\n"))
	return err
}

// choice is the value of a flag that takes one of a few words.
type choice struct {
	target  *string
	allowed []string
}

func (c *choice) String() string {
	if c.target == nil {
		return ""
	}
	return *c.target
}

// Set refuses what is not allowed.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.allowed, word) {
		return fmt.Errorf("use one of %s", strings.Join(c.allowed, ", "))
	}
	*c.target = word
	return nil
}

// Type is the placeholder in the help.
func (c *choice) Type() string { return strings.Join(c.allowed, "|") }
