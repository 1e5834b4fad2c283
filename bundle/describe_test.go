package bundle

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHelp(t *testing.T) {
	tests := map[string]struct {
		help string
		want []Flag
	}{
		"pflag's form": {help: `Usage:
  kube-apiserver [flags]

      --advertise-address ip    The IP, see --bind-address.
                                --not-a-flag in a continued text
  -v, --v Level                 number for the log level
`, want: []Flag{{Name: "advertise-address"}, {Name: "not-a-flag"}, {Name: "v"}}},
		"etcd's form": {help: `Usage:
  etcd --version
    Show the version of etcd.
Member:
  --name 'default'
    Human-readable name.
  --data-dir '${name}.etcd'
`, want: []Flag{{Name: "data-dir"}, {Name: "name"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseHelp([]byte(test.help))
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := parseHelp([]byte("segmentation fault")); err == nil {
		t.Error("a help text without flags was accepted")
	}
}

func TestMergeFlags(t *testing.T) {
	help := []Flag{{Name: "v"}, {Name: "config"}}
	described := []Flag{
		{Name: "config", Type: "string"},
		{Name: "healthz-port", Type: "int32", Deprecated: "use --healthz-bind-address"},
		{Name: "storage_driver_db", Type: "string"},
	}
	want := []Flag{{Name: "config", Type: "string"}, {Name: "healthz-port", Type: "int32", Deprecated: "use --healthz-bind-address"}, {Name: "v"}}
	if diff := cmp.Diff(want, mergeFlags(help, described)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
