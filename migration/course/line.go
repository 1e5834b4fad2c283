package course

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Line is what a job tells of itself: a line of slipway prometheus migrate or cutover with --progress json, or the report of a rehearsal,
// a preflight or a proof with -o json. Fields that a job does not tell stay empty. Nothing in it is trusted: it is shown, cut to size, and
// moves nothing but its own job's step.
type Line struct {
	Time time.Time `json:"time"`
	// Of a move.
	Phase    string     `json:"phase"`
	Steps    Steps      `json:"steps"`
	Waits    []string   `json:"waits"`
	Notes    []string   `json:"notes"`
	Seam     *time.Time `json:"seam"`
	End      *time.Time `json:"end"`
	Blocks   *Blocks    `json:"blocks"`
	Transfer *Transfer  `json:"transfer"`
	Proof    *Proof     `json:"proof"`
	Stop     *Stop      `json:"stop"`
	Done     bool       `json:"done"`
	// TargetStarted is since when the target ran when the run looked last; Gaps are what it missed, newest last.
	TargetStarted *time.Time `json:"targetStarted"`
	Gaps          []Gap      `json:"gaps"`
	// Report is that of a proof, in a line of its own that tells nothing else.
	Report json.RawMessage `json:"report"`
	// Of a cutover or a rollback.
	Step          string `json:"step"`
	State         string `json:"state"`
	NeedsApproval string `json:"needsApproval"`
	Wants         string `json:"wants"`
	Diff          string `json:"diff"`
	SwitchOff     []Off  `json:"switchOff"`
	// Of a report.
	Verdict  string     `json:"verdict"`
	Says     string     `json:"says"`
	Summary  string     `json:"summary"`
	Findings []Reported `json:"findings"`
}

// Steps are what is done next, in words. A cutover tells them as objects.
type Steps []string

// UnmarshalJSON takes words, or objects with the name of a step and its state.
func (s *Steps) UnmarshalJSON(data []byte) error {
	var words []string
	if err := json.Unmarshal(data, &words); err == nil {
		*s = words
		return nil
	}
	var objects []struct{ Step, Subject, Phase string }
	if err := json.Unmarshal(data, &objects); err != nil {
		return fmt.Errorf("reading steps: %w", err)
	}
	*s = nil
	for _, o := range objects {
		*s = append(*s, strings.TrimSpace(o.Step+" "+o.Subject)+": "+o.Phase)
	}
	return nil
}

// Gap is a time in which the target had no samples of its own; Filled says that it has those of the source.
type Gap struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Filled bool      `json:"filled"`
}

// Off is what can be switched off when a move is final.
type Off struct {
	What string `json:"what"`
	How  string `json:"how"`
}

// Blocks counts blocks.
type Blocks struct {
	Total     int32 `json:"total"`
	Staged    int32 `json:"staged"`
	Installed int32 `json:"installed"`
	Verified  int32 `json:"verified"`
}

// Transfer is how the copy goes; bytes, and seconds that are -1 while nobody can say.
type Transfer struct {
	BytesDone      int64    `json:"bytesDone"`
	BytesTotal     int64    `json:"bytesTotal"`
	BytesPerSecond int64    `json:"bytesPerSecond"`
	ETASeconds     int64    `json:"etaSeconds"`
	LimitedBy      string   `json:"limitedBy"`
	Signals        []string `json:"signals"`
	SourceDisk     *Disk    `json:"sourceDisk"`
}

// Disk is where the source's blocks are pinned.
type Disk struct {
	FreeBytes int64 `json:"freeBytes"`
	SizeBytes int64 `json:"sizeBytes"`
}

// Proof is the outcome of a comparison.
type Proof struct {
	Verdict string    `json:"verdict"`
	Summary string    `json:"summary"`
	Seed    uint64    `json:"seed"`
	At      time.Time `json:"at"`
}

// proved is the verdict of a proof that found no difference (migration/proof, Proved).
const proved = "proved"

// Stop is why a job could not go on.
type Stop struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// Reported is what a rule found.
type Reported struct {
	Rule    string `json:"rule"`
	Verdict string `json:"verdict"`
	Says    string `json:"says"`
	Fix     string `json:"fix"`
}

// ReadLog finds what a job told last in its log, whose other lines are for people. It gives nil and the last line of the log where there
// is nothing.
func ReadLog(log []byte) (*Line, string) {
	var found *Line
	rest := ""
	for len(log) > 0 {
		line, after, _ := bytes.Cut(log, []byte("\n"))
		text := strings.TrimSpace(string(line))
		if !strings.HasPrefix(text, "{") {
			if text != "" {
				rest = text
			}
			log = after
			continue
		}
		var l Line
		d := json.NewDecoder(bytes.NewReader(log))
		if err := d.Decode(&l); err != nil { // a line that the limit cut, or the words of somebody else
			log = after
			continue
		}
		if l.Report == nil {
			found = &l
		}
		log = log[min(int(d.InputOffset()), len(log)):]
	}
	return found, rest
}

// refusal names the first finding of a report that stands in the way.
func (l *Line) refusal() *v1alpha1.Stop {
	for _, f := range l.Findings {
		if f.Rule == "" || f.Verdict != "Refused" && f.Verdict != "Unknown" {
			continue
		}
		text := f.Says
		if f.Fix != "" {
			text = fmt.Sprintf("%s (%s)", f.Says, f.Fix)
		}
		return &v1alpha1.Stop{Rule: f.Rule, Text: text}
	}
	if l.Verdict != "" && l.Verdict != proved {
		return &v1alpha1.Stop{Rule: RuleReport, Text: first(l.Says, l.Summary, "the verdict is "+l.Verdict)}
	}
	return nil
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
