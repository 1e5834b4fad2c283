package course

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/migration/cutover"
	"github.com/slipway-dev/slipway/migration/move"
	"github.com/slipway-dev/slipway/migration/proof"
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
		{"a proof in full tells nothing of how far it is", "{\"phase\":\"Verify\"}\n{\"report\":{\"verdict\":\"proved\",\"checks\":[]}}\n", "Verify", "", nil, false},
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

// TestReadsWhatJobsTell: the programs that tell and the controller that reads know each other by their words alone.
func TestReadsWhatJobsTell(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		tells any
		want  Line
	}{
		{"a move", move.Progress{
			Time: at, Phase: move.Install, Steps: []string{"install"}, Waits: []string{"head"}, Seam: &at, End: &at, Notes: []string{"note"},
			Blocks:   move.BlockCounts{Total: 4, Staged: 3, Verified: 2, Installed: 1},
			Transfer: move.TransferProgress{BytesDone: 1, BytesTotal: 2, BytesPerSecond: 3, ETASeconds: 4, LimitedBy: "Ceiling", Signals: []string{"DiskStats"}},
			Proof:    &move.ProofProgress{Verdict: proof.Proved, Summary: "equal", Seed: 7, At: at}, Stop: &move.Stop{Rule: "rule", Text: "text"}, Done: true,
		}, Line{
			Time: at, Phase: "Install", Steps: Steps{"install"}, Waits: []string{"head"}, Seam: &at, End: &at, Notes: []string{"note"},
			Blocks:   &Blocks{Total: 4, Staged: 3, Verified: 2, Installed: 1},
			Transfer: &Transfer{BytesDone: 1, BytesTotal: 2, BytesPerSecond: 3, ETASeconds: 4, LimitedBy: "Ceiling", Signals: []string{"DiskStats"}},
			Proof:    &Proof{Verdict: proved, Summary: "equal", Seed: 7, At: at}, Stop: &Stop{Rule: "rule", Text: "text"}, Done: true,
		}},
		{"a cutover", cutover.Progress{
			Time: at, Step: "GrafanaURL", State: cutover.Begun, Steps: []cutover.StepProgress{{Step: "GrafanaURL", Subject: "main", Phase: cutover.Begun}},
			Says: "changes", Waits: []string{"w"}, Wants: cutover.WantsRemoteWriteOn, NeedsApproval: "SourceAlertingOff", Diff: "-a",
			Stop: &cutover.Stop{Rule: "rule", Text: "text"}, SwitchOff: []cutover.SwitchedOff{{What: "old", How: "stop"}}, Done: true,
		}, Line{
			Time: at, Step: "GrafanaURL", State: string(cutover.Begun), Steps: Steps{"GrafanaURL main: " + string(cutover.Begun)},
			Says: "changes", Waits: []string{"w"}, Wants: wantsRemoteWrite, NeedsApproval: "SourceAlertingOff", Diff: "-a",
			Stop: &Stop{Rule: "rule", Text: "text"}, SwitchOff: []Off{{What: "old", How: "stop"}}, Done: true,
		}},
		{"what a target is to be", cutover.Progress{Wants: cutover.WantsAlertingOn}, Line{Wants: wantsAlerting}},
		{"what it is to be after a rollback", cutover.Progress{Wants: cutover.WantsOff}, Line{Wants: wantsOff}},
		{"a proof", proof.Report{Verdict: proof.Proved, Summary: "equal"}, Line{Verdict: proved, Summary: "equal"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := json.Marshal(c.tells)
			if err != nil {
				t.Fatal(err)
			}
			line, rest := ReadLog(append(text, '\n'))
			if line == nil || rest != "" {
				t.Fatalf("%s was not read; rest %q", text, rest)
			}
			if len(line.Steps) == 0 { // none and no list are the same here
				line.Steps = nil
			}
			if diff := cmp.Diff(c.want, *line); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
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
