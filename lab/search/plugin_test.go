package search

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLayPluginLeavesOutWhatTheServerHas(t *testing.T) {
	jars, server := t.TempDir(), t.TempDir()
	write(t, jars, "repository-s3-3.3.0.jar", "jackson-core-2.18.2.jar", "netty-buffer-4.1.125.Final.jar", "log4j-1.2-api-2.21.0.jar")
	write(t, filepath.Join(server, "lib"), "jackson-core-2.18.9.jar", "log4j-api-2.21.0.jar")
	s, err := Find(OpenSearch, "3.3")
	if err != nil {
		t.Fatal(err)
	}
	if err := layPlugin(jars, server, s); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(server, "plugins", "repository-s3")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"log4j-1.2-api-2.21.0.jar", "netty-buffer-4.1.125.Final.jar", "plugin-descriptor.properties", "plugin-security.policy", "repository-s3-3.3.0.jar"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	descriptor, err := os.ReadFile(filepath.Join(dir, "plugin-descriptor.properties"))
	if err != nil || !strings.Contains(string(descriptor), "opensearch.version=3.3.0\n") {
		t.Errorf("%s, %v", descriptor, err)
	}
}

func TestDigestAll(t *testing.T) {
	var seen []string
	for _, names := range [][]string{{"a", "b"}, {"a"}, {"a", "c"}} {
		dir := t.TempDir()
		write(t, dir, names...)
		sum, err := digestAll(dir)
		if err != nil || slices.Contains(seen, sum) {
			t.Errorf("%q: %s, %v", names, sum, err)
		}
		seen = append(seen, sum)
	}
	if _, err := digestAll(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there has a digest")
	}
}

func TestCheckRepository(t *testing.T) {
	for _, c := range []struct {
		name       string
		product    Product
		version    string
		repository Repository
		ok         bool
	}{
		{"a shared folder is there on every server", Elasticsearch, "6.8", SharedFolder, true},
		{"S3 where Maven Central has the plugin", OpenSearch, "3.3", S3, true},
		{"no S3 on OpenSearch 2.19", OpenSearch, "2.19", S3, false},
		{"no S3 on Elasticsearch", Elasticsearch, "7.17", S3, false},
		{"nothing else", OpenSearch, "3.3", "hdfs", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := Spec{Product: c.product, Version: c.version, Nodes: 1, Repository: c.repository}
			if _, err := spec.check(); (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
		})
	}
}
