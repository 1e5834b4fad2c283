package cutover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceKeepsModeAndLink(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(file, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	if err := (osDisk{}).replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if data, err := (osDisk{}).read(link); err != nil || string(data) != "new" {
		t.Errorf("%s %v", data, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("%v was left behind, %v", names, err)
	}
}

func TestCopiesAreChecked(t *testing.T) {
	s := store{dir: t.TempDir(), disk: osDisk{}}
	unlock, err := s.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	sum, err := s.keep([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(s.kept(sum)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.WriteFile(s.kept(sum), []byte("texT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.recall(sum); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Error(err)
	}
	if _, err := s.recall("../" + stateFile); err == nil {
		t.Error("a path was taken for a digest")
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"phase":"Begun","spec":{"source":{"url":"http://a"},"target":{"url":"http://b"},"grafana":[{"url":"http://g"}]},"steps":[{"step":"GrafanaURL","phase":"Done"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := parseState(data)
		if err == nil && (st.Spec == nil || st.Version != stateVersion) {
			t.Error("it is no state")
		}
	})
}
