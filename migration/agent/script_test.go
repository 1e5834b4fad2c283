package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadWords(t *testing.T) {
	got, err := readWords([]byte("Welcome to old!\nuid=0\nlog=a=b \x1b[31mred\nuid=1\n=x\n" + strings.Repeat("x", 30) + "=1\n"))
	want := map[string]string{"uid": "0", "log": "a=b  [31mred"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{"/data": "'/data'", "it's; $(rm x)": `'it'\''s; $(rm x)'`, "": "''"} {
		if got := quote(text); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// FuzzReadWords: whatever a host says, words are short and their texts printable.
func FuzzReadWords(f *testing.F) {
	f.Add([]byte("uid=0\nproblem=data\n"))
	f.Add([]byte("=\n\x00=\xff\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		said, _ := readWords(out)
		for word, text := range said {
			if len(word) > 20 || len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q: %q", word, text)
			}
		}
	})
}
