package golden

import (
	"path/filepath"
	"testing"
)

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file.golden")
	t.Run("is written when updating", func(t *testing.T) {
		*update = true
		defer func() { *update = false }()
		Check(t, path, "text\n")
	})
	Check(t, path, "text\n")
	other := &recorder{TB: t}
	Check(other, path, "another text\n")
	if !other.failed {
		t.Error("another text passed")
	}
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
