package course

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
)

func TestReadLog(t *testing.T) {
	for _, c := range []struct {
		name, log   string
		phase, rest string
		steps       Steps
		none        bool
	}{
		{"the last line counts", "Seed 7\n{\"phase\":\"Pin\"}\n{\"phase\":\"Stage\",\"steps\":[\"bring\"]}\n", "Stage", "Seed 7", Steps{"bring"}, false},
		{"words of people after it do not", "{\"phase\":\"Stage\"}\nError: it stopped\n", "Stage", "Error: it stopped", nil, false},
		{"a line that was cut at its beginning is left", "hase\":\"Pin\"}\n{\"phase\":\"Seam\"}\n", "Seam", `hase":"Pin"}`, nil, false},
		{"a line that is not whole yet is left", "{\"phase\":\"Seam\"}\n{\"phase\":\"Inst", "Seam", "", nil, false},
		{"a report over many lines is read", "{\n  \"verdict\": \"Fine\",\n  \"phase\": \"x\"\n}\nDone\n", "x", "Done", nil, false},
		{"steps of a cutover are read", `{"phase":"x","steps":[{"step":"GrafanaURL","subject":"main","phase":"Done"}]}`, "x", "", Steps{"GrafanaURL main: Done"}, false},
		{"no line at all is told", "panic: no\n", "", "panic: no", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			line, rest := ReadLog([]byte(c.log))
			if (line == nil) != c.none || rest != c.rest {
				t.Fatalf("%+v, rest %q", line, rest)
			}
			if line == nil {
				return
			}
			if diff := cmp.Diff(c.steps, line.Steps); diff != "" || line.Phase != c.phase {
				t.Errorf("phase %q; %s", line.Phase, diff)
			}
		})
	}
}

func TestTheSourcesDiskReachesTheStatus(t *testing.T) {
	for text, want := range map[string]*int64{
		`{"phase":"Seam","transfer":{"sourceDisk":{"freeBytes":9,"sizeBytes":90}}}`:  ptr.To(int64(9)),
		`{"phase":"Seam","transfer":{"sourceDisk":{"freeBytes":-9,"sizeBytes":90}}}`: ptr.To(int64(0)),
		`{"phase":"Seam","transfer":{"sourceDisk":{"freeBytes":9}}}`:                 nil,
		`{"phase":"Seam","transfer":{}}`:                                             nil,
	} {
		w := moving("Seam")
		w.Jobs[RoleMove].Line, _ = ReadLog([]byte(text))
		Decide(w).Write(&w.Status, noon())
		if diff := cmp.Diff(want, w.Status.Transfer.SourceFreeBytes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzReadLog: what pods write is not trusted. Whatever it is, a decision can be made and kept within the limits of the kind.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte(`{"phase":"Stage","steps":["x"],"blocks":{"total":-1},"transfer":{"etaSeconds":99999999999999},"proof":{"verdict":"","seed":18446744073709551615}}`))
	f.Add([]byte(`{"steps":[{"step":1}]}{"done":true,"phase":"Done","switchOff":[{"what":"` + strings.Repeat("x", 5000) + `"}]}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		line, _ := ReadLog(log)
		w := moving("Stage")
		w.Jobs[RoleMove].Line = line
		d := Decide(w)
		status := w.Status
		d.Write(&status, noon())
		for _, list := range [][]string{status.Steps, status.Waits, status.Notes} {
			if len(list) > 2*maxList {
				t.Errorf("%d entries", len(list))
			}
			for _, text := range list {
				if len(text) == 0 || len(text) > maxText {
					t.Errorf("a text of %d bytes", len(text))
				}
			}
		}
		if b := status.Blocks; b != nil && *b.Total < 0 || status.Proof != nil && (status.Proof.Verdict == "" || *status.Proof.Seed < 0) {
			t.Errorf("%+v %+v", b, status.Proof)
		}
	})
}
