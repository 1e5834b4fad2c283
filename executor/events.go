package executor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLine bounds one event in bytes; the supervisor bounds what it writes to a quarter of it.
const maxLine = 1 << 20

// blocked begins the message of a host that could not go on through no fault of its own.
const blocked = "blocked: "

// parseEvent reads one line of an event file, without its end of line. want is the sequence number that is due.
func parseEvent(line []byte, want int) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("reading event %d: %w", want, err)
	}
	switch {
	case e.Sequence != want:
		return Event{}, fmt.Errorf("reading event %d: it has the number %d", want, e.Sequence)
	case e.Kind == "":
		return Event{}, fmt.Errorf("reading event %d: it has no kind", want)
	}
	e.Message = truncate(e.Message, maxMessage)
	return e, nil
}

// splitEvents reads all whole lines of a piece of an event file that begins with event number want. It gives the
// events, the end of each of them as an offset into the piece, and how many bytes it has used.
func splitEvents(piece []byte, want int) (events []Event, ends []int, err error) {
	used := 0
	for {
		n := bytes.IndexByte(piece[used:], '\n')
		if n > maxLine || n < 0 && len(piece)-used > maxLine {
			return events, ends, fmt.Errorf("reading event %d: it is longer than %d bytes", want, maxLine)
		}
		if n < 0 {
			return events, ends, nil
		}
		e, err := parseEvent(piece[used:used+n], want)
		if err != nil {
			return events, ends, err
		}
		used += n + 1
		want++
		events, ends = append(events, e), append(ends, used)
	}
}

// truncate cuts text to at most so many bytes, between two characters.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = text[:limit]
	for len(text) > 0 {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

// ending is how a run ended.
type ending struct {
	Phase   Phase  `json:"phase"`
	Message string `json:"message,omitempty"`
	// TimedOut says that the run was ended because hosts took too long: those that were at work are to blame.
	TimedOut bool `json:"timedOut,omitempty"`
}

// tracker keeps how each host stands, from the events so far.
type tracker struct {
	hosts   map[string]*Host
	busy    map[string]bool // a task runs there now
	outputs map[string]json.RawMessage
	totals  *totals
}

// totals is the data of the event with the totals: counts by host.
type totals struct {
	OK       map[string]int `json:"ok"`
	Changed  map[string]int `json:"changed"`
	Skipped  map[string]int `json:"skipped"`
	Failures map[string]int `json:"failures"`
	Dark     map[string]int `json:"dark"`
	Rescued  map[string]int `json:"rescued"`
	Ignored  map[string]int `json:"ignored"`
	// Stopped says why not all plays have run; empty when they have.
	Stopped string `json:"stopped"`
}

func newTracker(hosts []string) *tracker {
	t := &tracker{hosts: make(map[string]*Host, len(hosts)), busy: map[string]bool{}, outputs: map[string]json.RawMessage{}}
	for _, name := range hosts {
		t.hosts[name] = &Host{Result: HostPending}
	}
	return t
}

// add takes the next event.
func (t *tracker) add(e Event) error {
	switch e.Kind {
	case KindStats:
		t.totals = &totals{}
		if len(e.Data) == 0 {
			return nil
		}
		if err := json.Unmarshal(e.Data, t.totals); err != nil {
			return fmt.Errorf("reading the totals: %w", err)
		}
		return nil
	case KindOutput:
		t.outputs[e.Task] = e.Data
		return nil
	}
	if h, ok := t.hosts[e.Host]; ok {
		h.add(e)
		t.busy[e.Host] = e.Kind == KindTaskStart
	}
	return nil
}

// add takes the next event of the host. A task that fails may be rescued: then the host goes on.
func (h *Host) add(e Event) {
	task := e.Task
	if e.Role != "" {
		task = e.Role + " : " + e.Task
	}
	switch e.Kind {
	case KindTaskStart:
		h.Result, h.Task, h.Message = HostRunning, task, ""
	case KindOK, KindSkipped:
		h.Done++
	case KindChanged:
		h.Done++
		h.Changed++
	case KindFailed:
		h.Result, h.Task, h.Message = HostFailed, task, e.Message
	case KindUnreachable:
		h.Result, h.Task, h.Message = HostUnreachable, task, e.Message
	}
}

// observation is how the hosts of a run stand that is in a phase, or has ended in it; events are not in it.
func (t *tracker) observation(end ending) Observation {
	phase, message := end.Phase, end.Message
	o := Observation{Phase: phase, Message: message, Hosts: make(map[string]Host, len(t.hosts))}
	for name, h := range t.hosts {
		o.Hosts[name] = t.final(name, *h, end)
	}
	if len(t.outputs) > 0 {
		o.Outputs = maps.Clone(t.outputs)
	}
	if phase != Succeeded && phase != Failed {
		return o
	}
	if bad := summarize(o.Hosts); bad != "" {
		o.Phase = Failed
		o.Message = strings.Join(slices.DeleteFunc([]string{message, bad}, func(s string) bool { return s == "" }), "; ")
	} else if phase == Failed && message == "" {
		o.Message = "ansible-playbook reported a failure, though no host failed"
	}
	return o
}

// final turns what the events say into the result of a host when the run has come to its end.
func (t *tracker) final(name string, h Host, end ending) Host {
	switch {
	case end.Phase != Succeeded && end.Phase != Failed:
	case t.totals != nil:
		h = t.totals.final(name, h)
	case h.Result == HostFailed || h.Result == HostUnreachable:
	case end.TimedOut && t.busy[name]:
		h.Result, h.Message = HostFailed, truncate(end.Message, maxMessage)
	default:
		h.Result, h.Message = HostFailed, truncate(blocked+end.Message, maxMessage)
	}
	return h
}

func (t *totals) final(name string, h Host) Host {
	switch {
	case t.Dark[name] > 0:
		h.Result = HostUnreachable
	case t.Failures[name] > 0:
		h.Result = HostFailed
	case t.OK[name]+t.Skipped[name]+t.Rescued[name]+t.Ignored[name] == 0:
		h.Result, h.Message = HostFailed, blocked+"no task ran on this host"
		if t.Stopped != "" {
			h.Message = blocked + t.Stopped
		}
	case t.Stopped != "":
		h.Result, h.Message = HostFailed, blocked+t.Stopped
	default:
		h.Result, h.Task, h.Message = HostSucceeded, "", ""
	}
	return h
}
