package executor

import (
	"encoding/json"
	"fmt"
	"sort"
	"time"
)

// simulatedRun is a run as a timetable: all that will happen is known when it starts, and what has happened is a
// prefix of the timetable. Its fields with upper-case names are those that a journal keeps.
type simulatedRun struct {
	Name     string                     `json:"name"`
	Digest   string                     `json:"digest"`
	Playbook string                     `json:"playbook"`
	Cluster  string                     `json:"cluster,omitempty"`
	Hosts    []string                   `json:"hosts"`
	Plan     []hostPlan                 `json:"plan"`
	Tasks    int                        `json:"tasks"`
	Started  time.Time                  `json:"started"`
	Passed   int                        `json:"passed,omitempty"`
	End      Phase                      `json:"end,omitempty"` // set when it was ended from outside
	Message  string                     `json:"message,omitempty"`
	Outputs  map[string]json.RawMessage `json:"outputs,omitempty"`

	steps []simulatedStep
	index int // in the queue, -1 when not there
}

// hostPlan is what will happen on one host.
type hostPlan struct {
	Latency     time.Duration `json:"latency"`
	Failure     string        `json:"failure,omitempty"`
	Unreachable bool          `json:"unreachable,omitempty"`
	Joins       bool          `json:"joins,omitempty"`
}

func (p hostPlan) failed() bool { return p.Unreachable || p.Failure != "" }

// simulatedStep is one line of the timetable: task 0 is the start of a host, task Tasks its end.
type simulatedStep struct {
	at   time.Duration
	host int32
	task int32
}

// prepare makes the timetable of a new run or of one read from a journal.
func (r *simulatedRun) prepare() {
	r.index = -1
	r.steps = make([]simulatedStep, 0, len(r.Hosts)*(r.Tasks+1))
	for i := range r.Hosts {
		for task := 0; task <= r.Tasks; task++ {
			at := r.Plan[i].Latency * time.Duration(task) / time.Duration(r.Tasks)
			r.steps = append(r.steps, simulatedStep{at: at, host: int32(i), task: int32(task)})
		}
	}
	sort.SliceStable(r.steps, func(i, j int) bool { return r.steps[i].at < r.steps[j].at })
}

// due is when the next step happens.
func (r *simulatedRun) due() time.Time { return r.Started.Add(r.steps[r.Passed].at) }

// step lets the next step happen.
func (r *simulatedRun) step() simulatedStep {
	s := r.steps[r.Passed]
	r.Passed++
	return s
}

func (r *simulatedRun) phase() Phase {
	switch {
	case r.End != "":
		return r.End
	case r.Passed < len(r.steps):
		return Running
	}
	for _, p := range r.Plan {
		if p.failed() {
			return Failed
		}
	}
	return Succeeded
}

func (r *simulatedRun) observe(since int) Observation {
	o := Observation{Phase: r.phase(), Message: r.Message, Hosts: make(map[string]Host, len(r.Hosts))}
	r.fill(o.Hosts)
	if r.End == "" && o.Phase.Finished() {
		o.Message = summarize(o.Hosts)
		o.Outputs = r.Outputs
	}
	last := r.Passed
	if r.End == "" && o.Phase.Finished() {
		last++ // the event with the totals
	}
	for n := max(since, 0) + 1; n <= last; n++ {
		o.Events = append(o.Events, r.event(n))
	}
	return o
}

// fill tells how each host stands, from the part of the timetable that has passed.
func (r *simulatedRun) fill(hosts map[string]Host) {
	done := make([]int, len(r.Hosts))
	for i := range done {
		done[i] = -1
	}
	for _, s := range r.steps[:r.Passed] {
		done[s.host] = int(s.task)
	}
	for i, name := range r.Hosts {
		hosts[name] = r.host(i, done[i])
	}
}

func (r *simulatedRun) host(i, done int) Host {
	p := r.Plan[i]
	switch {
	case done < 0:
		return Host{Result: HostPending}
	case done < r.Tasks:
		return Host{Result: HostRunning, Done: done, Changed: done, Task: r.task(done + 1)}
	case p.Unreachable:
		return Host{Result: HostUnreachable, Done: done - 1, Changed: done - 1, Task: r.task(done), Message: p.Failure}
	case p.failed():
		return Host{Result: HostFailed, Done: done - 1, Changed: done - 1, Task: r.task(done), Message: p.Failure}
	}
	return Host{Result: HostSucceeded, Done: done, Changed: done}
}

func (r *simulatedRun) task(n int) string {
	return fmt.Sprintf("%s : simulated task %d", r.Playbook, n)
}

func (r *simulatedRun) event(n int) Event {
	if n > len(r.steps) {
		return Event{Sequence: n, Kind: KindStats}
	}
	s := r.steps[n-1]
	p := r.Plan[s.host]
	e := Event{Sequence: n, Kind: KindChanged, Host: r.Hosts[s.host], Role: r.Playbook, Task: fmt.Sprintf("simulated task %d", s.task)}
	switch {
	case s.task == 0:
		e.Kind, e.Task = KindTaskStart, "simulated task 1"
	case int(s.task) < r.Tasks || !p.failed():
	case p.Unreachable:
		e.Kind, e.Message = KindUnreachable, p.Failure
	default:
		e.Kind, e.Message = KindFailed, p.Failure
	}
	return e
}

// runQueue is a heap of running runs by what is due next.
type runQueue []*simulatedRun

func (q runQueue) Len() int           { return len(q) }
func (q runQueue) Less(i, j int) bool { return q[i].due().Before(q[j].due()) }
func (q runQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for container/heap.
func (q *runQueue) Push(x any) {
	r := x.(*simulatedRun)
	r.index = len(*q)
	*q = append(*q, r)
}

// Pop is for container/heap.
func (q *runQueue) Pop() any {
	old := *q
	r := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	r.index = -1
	return r
}
