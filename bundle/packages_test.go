package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDepends(t *testing.T) {
	out := "nftables\n  Depends: libnftables1\n |Depends: libc6\n  Depends: <virtual>\nlibnftables1\n<virtual>\nlibc6:i386\nlibnftables1\n"
	if diff := cmp.Diff([]string{"libnftables1", "nftables"}, parseDepends(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseURIs(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	line := "'http://mirror.example/pool/c/conntrack_1.4.7-1%2bb2_amd64.deb' conntrack_1%3a1.4.7-1+b2_amd64.deb 35240 SHA256:" + sum + "\n"
	got, err := parseURIs(line)
	want := []aptPackage{{Name: "conntrack", Version: "1:1.4.7-1+b2", File: "conntrack_1%3a1.4.7-1+b2_amd64.deb", SHA256: sum}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if name := packageFileName(want[0].File); name != "conntrack_1-1.4.7-1+b2_amd64.deb" {
		t.Errorf("file name %q", name)
	}
	tests := map[string]string{
		"no checksum":        strings.Replace(line, " SHA256:"+sum, "", 1),
		"a weak checksum":    strings.Replace(line, "SHA256:"+sum, "MD5Sum:"+sum[:32], 1),
		"a path in the name": strings.Replace(line, " conntrack_1%3a", " ../conntrack_1%3a", 1),
	}
	for name, text := range tests {
		t.Run("refuses "+name, func(t *testing.T) {
			if _, err := parseURIs(text); err == nil {
				t.Errorf("accepted: %s", text)
			}
		})
	}
}

func TestCheckDistribution(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"accepts the recipe's":         {text: "ID=debian\nVERSION_ID=\"12\"\n"},
		"refuses another release":      {text: "ID=debian\nVERSION_ID=\"13\"\n", want: "build the bundle on debian 12"},
		"refuses another distribution": {text: "ID=ubuntu\nVERSION_ID=\"24.04\"\n", want: "this machine is ubuntu 24.04"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "os-release")
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := checkDistribution(file, "debian 12")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
