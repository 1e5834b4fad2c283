package executor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// lines makes an event file of events, numbering them.
func lines(events ...Event) string {
	var text strings.Builder
	for i, e := range events {
		e.Sequence = i + 1
		b, _ := json.Marshal(e)
		text.Write(append(b, '\n'))
	}
	return text.String()
}

func TestSplitEvents(t *testing.T) {
	two := lines(Event{Kind: KindOK, Host: "a"}, Event{Kind: KindFailed, Host: "b"})
	for name, c := range map[string]struct {
		piece  string
		want   int
		number int
		err    string
	}{
		"reads whole lines":                {two, 1, 2, ""},
		"leaves a torn line for later":     {two + `{"sequence":3,"ki`, 1, 2, ""},
		"reads nothing from nothing":       {"", 1, 0, ""},
		"refuses a gap":                    {two, 2, 0, "event 2: it has the number 1"},
		"refuses what is no JSON":          {two + "\x00\x00\x00\n", 1, 2, "reading event 3: invalid character"},
		"refuses an empty line":            {"\n", 1, 0, "reading event 1: unexpected end"},
		"refuses an event without a kind":  {`{"sequence":1}` + "\n", 1, 0, "no kind"},
		"refuses a line that does not end": {strings.Repeat("x", maxLine+2), 1, 0, "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			events, ends, err := splitEvents([]byte(c.piece), c.want)
			if len(events) != c.number || len(ends) != c.number {
				t.Errorf("%d events, %d ends, want %d", len(events), len(ends), c.number)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestTruncateCutsBetweenCharacters(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("ä", 600), strings.Repeat("x", 1023) + "€"} {
		got := truncate(text, maxMessage)
		if len(got) > maxMessage || !utf8.ValidString(got) || !strings.HasPrefix(text, got) || len(text)-len(got) > max(0, len(text)-maxMessage)+3 {
			t.Errorf("%d bytes became %d: %q", len(text), len(got), got[max(0, len(got)-5):])
		}
	}
}

func stats(text string) Event { return Event{Kind: KindStats, Data: json.RawMessage(text)} }

func TestTrackerResults(t *testing.T) {
	began := []Event{{Kind: KindTaskStart, Host: "a", Role: "r", Task: "t"}, {Kind: KindChanged, Host: "a", Role: "r", Task: "t"}}
	failed := Event{Kind: KindFailed, Host: "a", Role: "r", Task: "u", Message: "boom"}
	for name, c := range map[string]struct {
		events  []Event
		phase   Phase
		message string
		want    Observation
	}{
		"is running while it runs": {began, Running, "", Observation{
			Phase: Running, Hosts: map[string]Host{"a": {Result: HostRunning, Done: 1, Changed: 1, Task: "r : t"}}}},
		"succeeds when the totals say so": {append(began, stats(`{"ok":{"a":1}}`)), Succeeded, "", Observation{
			Phase: Succeeded, Hosts: map[string]Host{"a": {Result: HostSucceeded, Done: 1, Changed: 1}}}},
		"fails with task and message": {append(began, failed, stats(`{"ok":{"a":1},"failures":{"a":1}}`)), Failed, "", Observation{
			Phase: Failed, Message: "1 of 1 hosts did not succeed: a",
			Hosts: map[string]Host{"a": {Result: HostFailed, Done: 1, Changed: 1, Task: "r : u", Message: "boom"}}}},
		"succeeds when the failure was rescued": {append(began, failed, stats(`{"ok":{"a":1},"rescued":{"a":1}}`)), Succeeded, "", Observation{
			Phase: Succeeded, Hosts: map[string]Host{"a": {Result: HostSucceeded, Done: 1, Changed: 1}}}},
		"fails a host on which nothing ran": {[]Event{stats(`{}`)}, Succeeded, "", Observation{
			Phase: Failed, Message: "1 of 1 hosts did not succeed: a",
			Hosts: map[string]Host{"a": {Result: HostFailed, Message: "blocked: no task ran on this host"}}}},
		"fails a host whose later plays did not run": {append(began, stats(`{"ok":{"a":1},"stopped":"the playbook stopped"}`)), Failed, "", Observation{
			Phase: Failed, Message: "1 of 1 hosts did not succeed: a",
			Hosts: map[string]Host{"a": {Result: HostFailed, Done: 1, Changed: 1, Task: "r : t", Message: "blocked: the playbook stopped"}}}},
		"fails an unfinished host of a run without totals": {began, Failed, "the disk is full", Observation{
			Phase: Failed, Message: "the disk is full; 1 of 1 hosts did not succeed: a",
			Hosts: map[string]Host{"a": {Result: HostFailed, Done: 1, Changed: 1, Task: "r : t", Message: "blocked: the disk is full"}}}},
		"blames the host that was at work when time was up": {began[:1], Failed, "it took longer", Observation{
			Phase: Failed, Message: "it took longer; 1 of 1 hosts did not succeed: a",
			Hosts: map[string]Host{"a": {Result: HostFailed, Task: "r : t", Message: "it took longer"}}}},
		"leaves a host of a lost run where it was": {began, Lost, "gone", Observation{
			Phase: Lost, Message: "gone", Hosts: map[string]Host{"a": {Result: HostRunning, Done: 1, Changed: 1, Task: "r : t"}}}},
		"keeps outputs": {append(began, Event{Kind: KindOutput, Task: "revision", Data: json.RawMessage(`7`)}), Running, "", Observation{
			Phase: Running, Hosts: map[string]Host{"a": {Result: HostRunning, Done: 1, Changed: 1, Task: "r : t"}},
			Outputs: map[string]json.RawMessage{"revision": json.RawMessage(`7`)}}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTracker([]string{"a"})
			for _, e := range c.events {
				if err := tr.add(e); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, tr.observation(ending{Phase: c.phase, Message: c.message, TimedOut: strings.Contains(c.message, "took longer")})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(lines(Event{Kind: KindTaskStart, Host: "a"}, Event{Kind: KindFailed, Host: "a", Message: "x"}, stats(`{"failures":{"a":1}}`))), 7)
	f.Add([]byte("{\"sequence\":1,\"kind\":\"ok\"}\n{\"sequence\":3}\n"), 3)
	f.Add([]byte("\xff\n\n\x00"), 0)
	f.Fuzz(func(t *testing.T, file []byte, cut int) {
		whole, ends, err := splitEvents(file, 1)
		if len(whole) != len(ends) {
			t.Fatalf("%d events, %d ends", len(whole), len(ends))
		}
		tr := newTracker([]string{"a", "b"})
		for i, e := range whole {
			if e.Sequence != i+1 || len(e.Message) > maxMessage {
				t.Fatalf("event %d: %+v", i+1, e)
			}
			if tr.add(e) != nil {
				return
			}
		}
		for _, phase := range []Phase{Running, Succeeded, Failed, Lost} {
			if o := tr.observation(ending{Phase: phase, Message: "m"}); len(o.Hosts) != 2 {
				t.Fatalf("hosts: %v", o.Hosts)
			}
		}
		if err != nil {
			return
		}
		// Read in two pieces, cut anywhere, it says the same.
		cut = max(0, min(cut, len(file)))
		first, ends, err := splitEvents(file[:cut], 1)
		if err != nil {
			t.Fatal(err)
		}
		used := 0
		if len(ends) > 0 {
			used = ends[len(ends)-1]
		}
		rest, _, err := splitEvents(file[used:], len(first)+1)
		if err != nil {
			t.Fatal(err)
		}
		if got := append(first, rest...); fmt.Sprint(got) != fmt.Sprint(whole) {
			t.Fatalf("in two pieces: %v, whole: %v", got, whole)
		}
	})
}
