package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImageBuildNamesWhatIsMissing(t *testing.T) {
	script := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no file to write", nil, ExitUsage, `required flag(s) "output" not set`},
		{"no agent beside the program", []string{"-o", "x.tar"}, ExitFailed, "slipway-agent: the image holds it beside slipway; put it there"},
		{"an agent that is no program", []string{"-o", "x.tar", "--agent", script}, ExitFailed, "looking at "},
		{"authorities and none", []string{"-o", "x.tar", "--ca-certificates", "a", "--no-ca-certificates"}, ExitUsage, "none of the others can be"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Run(t.Context(), Options{Args: append([]string{"image", "build"}, c.args...), Out: &out, Err: &errs})
			if code != c.code || !strings.Contains(errs.String(), c.want) {
				t.Errorf("%d, %s; want %d, %s", code, errs.String(), c.code, c.want)
			}
		})
	}
}
