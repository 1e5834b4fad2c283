package bundle_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/bundle/bundletest"
)

func TestDecodeManifest(t *testing.T) {
	valid := string(bundletest.Open(t, bundletest.Options{}).ManifestBytes())
	tests := map[string]struct {
		old, new string
		want     string
	}{
		"accepts what Encode wrote":                {},
		"refuses an unknown field":                 {old: `"os": "linux"`, new: `"os": "linux", "sise": 1`, want: "unknown field"},
		"refuses a format of another release":      {old: "slipway.dev/bundle/v1", new: "slipway.dev/bundle/v2", want: "use the slipway release"},
		"refuses a version without patch":          {old: `"v1.36.3"`, new: `"v1.36"`, want: "not a version"},
		"refuses a digest of another algorithm":    {old: `"digest": "sha256:`, new: `"digest": "md5:`, want: "does not begin with"},
		"refuses a digest with upper-case digits":  {old: `"recipe": "sha256:`, new: `"recipe": "sha256:ABC`, want: "lower-case hex"},
		"refuses an absolute path":                 {old: "usr/local/bin/etcd", new: "/usr/local/bin/etcd", want: "not a clean relative path"},
		"refuses a path that leaves the root":      {old: "usr/local/bin/etcd", new: "../bin/etcd", want: "not a clean relative path"},
		"refuses a path that hides its way":        {old: "usr/local/bin/etcd", new: "usr/../../bin/etcd", want: "not a clean relative path"},
		"refuses a file that everyone may write":   {old: `"0755"`, new: `"0777"`, want: "writable by everyone"},
		"refuses a mode with setuid":               {old: `"0755"`, new: `"4755"`, want: "not four octal digits"},
		"refuses two contents of one name":         {old: `"kubernetes-node"`, new: `"etcd"`, want: "used twice"},
		"refuses an unknown kind of content":       {old: `"kind": "Files"`, new: `"kind": "Scripts"`, want: "unknown kind"},
		"refuses an image that no content has":     {old: `"images": null`, new: `"images": [{"name":"pause","reference":"r","content":"etcd","path":"p","id":"i"}]`, want: "no file"},
		"refuses a package that no content has":    {old: `"images": null`, new: `"images": null, "packages": [{"name":"socat","version":"1","content":"etcd","path":"p"}]`, want: "no file"},
		"refuses data behind the manifest":         {old: "\n}\n", new: "\n}\n{}", want: "after the manifest"},
		"refuses a manifest that is cut off":       {old: "\n}\n", new: "", want: "decoding manifest"},
		"refuses a file listed twice in a content": {old: "usr/local/bin/kubeadm", new: "usr/local/bin/kubelet", want: "listed twice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := valid
			if test.old != "" {
				if text = strings.Replace(valid, test.old, test.new, 1); text == valid {
					t.Fatalf("the manifest has no %q", test.old)
				}
			}
			_, err := bundle.DecodeManifest([]byte(text))
			if test.want == "" && err != nil {
				t.Fatalf("got error %v", err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestManifestLookups(t *testing.T) {
	b := bundletest.Open(t, bundletest.Options{
		Flags:   map[string][]bundle.Flag{"kubelet": {{Name: "config", Type: "string"}}},
		Schemas: map[string]bundle.Schema{"KubeletConfiguration": {APIVersion: "kubelet.config.k8s.io/v1beta1", Document: []byte(`{"type":"object"}`)}},
	})
	if flags, ok := b.Flags("kubelet"); !ok || !cmp.Equal(flags, []bundle.Flag{{Name: "config", Type: "string"}}) {
		t.Errorf("flags of kubelet: got %v %v", flags, ok)
	}
	if _, ok := b.Flags("kubelett"); ok {
		t.Error("an unknown component has flags")
	}
	if schema, ok := b.Schema("KubeletConfiguration"); !ok || schema.APIVersion != "kubelet.config.k8s.io/v1beta1" {
		t.Errorf("schema: got %v %v", schema, ok)
	}
	if _, ok := b.Manifest().Content("nothing"); ok {
		t.Error("an unknown content was found")
	}
	if c, ok := b.Manifest().Content("etcd"); !ok || c.Files[0].Path != "usr/local/bin/etcd" {
		t.Errorf("content etcd: got %v %v", c, ok)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	f.Add(bundletest.Open(f, bundletest.Options{}).ManifestBytes())
	f.Add([]byte(`{"format":"slipway.dev/bundle/v1"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := bundle.DecodeManifest(data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatalf("a manifest that was accepted cannot be written: %v", err)
		}
		if _, err := bundle.DecodeManifest(again); err != nil {
			t.Fatalf("a manifest that was written is refused: %v", err)
		}
	})
}
