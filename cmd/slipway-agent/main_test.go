package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipway-dev/slipway/migration/transfer"
)

const block = "01DXXFZDYD1MQW6079WK0K6EDQ"

func TestTargetBringsABlock(t *testing.T) {
	to := filepath.Join(t.TempDir(), "data")
	var out, errs bytes.Buffer
	err := run(t.Context(), []string{"target", "-from", "../../migration/block/testdata/index-v1", "-still", "-to", to, "-blocks", block, "-install"}, &out, &errs)
	if err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	var moved transfer.Moved
	if err := json.Unmarshal(out.Bytes(), &moved); err != nil || len(moved.Installed) != 1 || moved.Installed[0].Block != block {
		t.Errorf("%v: %s", err, &out)
	}
	if _, err := os.Stat(filepath.Join(to, block, "meta.json")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(errs.String(), `msg="Block installed" block=`+block) {
		t.Errorf("log: %s", &errs)
	}
}

func TestWrongUsage(t *testing.T) {
	for want, args := range map[string][]string{
		`there is no command ""`:     nil,
		`there is no command "sink"`: {"sink"},
		"-data is missing":           {"source"},
		"-listen is missing":         {"source", "-data", "x"},
		"-state is missing":          {"shim", "-source", "http://a", "-target", "http://b"},
		"-to is missing":             {"target", "-from", "x"},
		`"x" is no flag`:             {"target", "-from", "x", "-to", "y", "x"},
		"not defined: -fast":         {"source", "-fast"},
	} {
		var usage *usageError
		if err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
