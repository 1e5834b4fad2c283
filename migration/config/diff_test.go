package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiffShowsNoSecret(t *testing.T) {
	f := parse(t, odd+"# password: letmein\n")
	without, _, err := f.TakeOut("remote_write")
	if err != nil {
		t.Fatal(err)
	}
	want := `--- prometheus.yml
+++ new/prometheus.yml
@@ -30,10 +30,5 @@
     target_label: host
   # the last rule counts
 
-remote_write:
-  - url: <secret>
-    authorization:
-      credentials: <secret>
-    # queue_config: {max_shards: 3}
 # the end
 # password: <secret>
`
	got := Diff(f, without.Named("new/prometheus.yml"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := Diff(f, f); diff != "" {
		t.Errorf("a file differs from itself:\n%s", diff)
	}
}

func TestDiffTellsOfAMissingEnd(t *testing.T) {
	f := parse(t, "a: 1\nb: 2")
	with, err := f.Replace("c", "c: 3\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := Diff(f, with); !strings.Contains(got, `\ No newline at end of file`) {
		t.Error(got)
	}
}
