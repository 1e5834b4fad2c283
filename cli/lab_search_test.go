package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabSearch(t *testing.T) {
	home := t.TempDir()
	for name, text := range map[string]string{
		"old/cluster.json": `{"name":"old","spec":{"product":"elasticsearch","version":"6.8.23"},"createdAt":"2026-11-22T10:00:00Z","nodes":[{"name":"hot-1","tier":"hot","role":"Data","url":"http://127.0.0.1:9200"},{"name":"master-1","role":"Master","url":"http://127.0.0.1:9201"}]}`,
		"half/other":       "",
	} {
		file := filepath.Join(home, "search", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := runLab(t, home, "search", "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"elasticsearch 6.8.23", "hot-1", "Data", "hot", "http://127.0.0.1:9200", "Stopped", "HalfMade"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"a version that is none", "there is no elasticsearch 5.6", []string{"create", "new", "--version", "5.6"}},
		{"a product that is none", "use one of elasticsearch, opensearch", []string{"create", "new", "--product", "solr"}},
		{"a tier without a number", "want NAME=N, such as hot=2", []string{"create", "new", "--tier", "hot"}},
		{"a name that is none", `cluster name "New"`, []string{"create", "New"}},
		{"S3 where there is no plugin", "no S3 plugin", []string{"create", "new", "--repository", "s3"}},
		{"to lose a node that is not there", "node warm-1 of cluster old", []string{"lose", "old", "warm-1"}},
		{"to delete nothing", "name a cluster", []string{"delete"}},
		{"to delete what is not there", "not found", []string{"delete", "absent"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out, err := runLab(t, home, append([]string{"search"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, out)
			}
		})
	}
	disk := filepath.Join(home, "search", "old", "nodes", "hot-1", "data", "shard")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := runLab(t, home, "search", "lose", "old", "hot-1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(disk); !os.IsNotExist(err) {
		t.Errorf("the disk of a lost node: %v", err)
	}
	if _, err := runLab(t, home, "search", "delete", "--all"); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(home, "search")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
