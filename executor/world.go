package executor

import (
	"container/heap"
	"fmt"
	"sort"
	"sync"
	"time"
)

// World is where simulated runs happen: it outlives the executors over it as real workers outlive an operator. It
// costs no goroutine: one timer is set to the next moment at which something happens.
type World struct {
	mu        sync.Mutex
	runs      map[string]*simulatedRun
	queue     runQueue
	timer     *time.Timer
	armed     time.Time
	clusters  map[string]map[string]*simulatedHost
	playbooks map[string]string // interned
	listeners map[*Simulated]struct{}
	journal   *journal
}

// simulatedHost is what a cluster's host has behind it.
type simulatedHost struct {
	Joined    bool     `json:"joined,omitempty"`
	Playbooks []string `json:"playbooks,omitempty"`
}

// NewWorld makes a world that lives as long as the process.
func NewWorld() *World {
	return &World{
		runs:      map[string]*simulatedRun{},
		clusters:  map[string]map[string]*simulatedHost{},
		playbooks: map[string]string{},
		listeners: map[*Simulated]struct{}{},
	}
}

// Joined lists, sorted, the hosts that joined a cluster and did not leave it: those on which create, scale or
// kubernetes succeeded (in the groups control_plane or compute) and remove did not since.
func (w *World) Joined(cluster string) []string {
	return w.hosts(cluster, func(h *simulatedHost) bool { return h.Joined })
}

// Succeeded lists, sorted, the hosts of a cluster on which a playbook succeeded; remove takes a host off all lists.
func (w *World) Succeeded(cluster, playbook string) []string {
	return w.hosts(cluster, func(h *simulatedHost) bool { return contains(h.Playbooks, playbook) })
}

func (w *World) hosts(cluster string, keep func(*simulatedHost) bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name, h := range w.clusters[cluster] {
		if keep(h) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Lose ends a run as Lost, as when its worker is killed: what its hosts have done by then stays done.
func (w *World) Lose(name, message string) error {
	return w.end(name, Lost, message)
}

// Close stops the clock of the world and closes its journal; runs go on when the directory is opened again.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.listeners = map[*Simulated]struct{}{}
	return w.journal.close()
}

// start adds a run, or adopts the one that is there. plan is called only for a new run.
func (w *World) start(name, digest string, plan func() *simulatedRun) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.runs[name]; ok {
		if old.Digest != digest {
			return fmt.Errorf("starting run %s: %w", name, ErrDigestMismatch)
		}
		return nil
	}
	r := plan()
	r.Digest = digest
	if err := w.journal.write(record{Start: r}); err != nil {
		return fmt.Errorf("starting run %s: %w", name, err)
	}
	crashPoint("executor.simulated.start.stored")
	w.add(r)
	w.arm()
	return nil
}

func (w *World) add(r *simulatedRun) {
	r.prepare()
	r.Playbook = w.intern(r.Playbook)
	w.runs[r.Name] = r
	if !r.phase().Finished() {
		heap.Push(&w.queue, r)
	}
}

func (w *World) intern(s string) string {
	if old, ok := w.playbooks[s]; ok {
		return old
	}
	w.playbooks[s] = s
	return s
}

func (w *World) observe(name string, since int) (Observation, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.runs[name]
	if !ok {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, ErrNotFound)
	}
	return r.observe(since), nil
}

// end finishes a run at once with everything that it has reached by now.
func (w *World) end(name string, phase Phase, message string) error {
	w.mu.Lock()
	r, ok := w.runs[name]
	if !ok {
		w.mu.Unlock()
		return fmt.Errorf("ending run %s: %w", name, ErrNotFound)
	}
	now := time.Now()
	changes := w.advance(now)
	if !r.phase().Finished() {
		if err := w.journal.write(record{At: now, End: &namedEnding{Name: name, ending: ending{Phase: phase, Message: message}}}); err != nil {
			w.mu.Unlock()
			return fmt.Errorf("ending run %s: %w", name, err)
		}
		w.finish(r, phase, message)
		changes.runs = append(changes.runs, name)
	}
	w.arm()
	tell := w.audience()
	w.mu.Unlock()
	changes.tell(tell)
	return nil
}

func (w *World) finish(r *simulatedRun, phase Phase, message string) {
	r.End, r.Message = phase, message
	if r.index >= 0 {
		heap.Remove(&w.queue, r.index)
	}
}

func (w *World) remove(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.runs[name]
	if !ok {
		return nil
	}
	if !r.phase().Finished() {
		return fmt.Errorf("removing run %s: %w", name, ErrNotFinished)
	}
	if err := w.journal.write(record{At: time.Now(), Remove: name}); err != nil {
		return fmt.Errorf("removing run %s: %w", name, err)
	}
	delete(w.runs, name)
	return nil
}

// changes is what happened in one advance, told to the listeners without the lock.
type changes struct {
	runs     []string
	clusters map[string]struct{}
}

func (c changes) tell(listeners []*Simulated) {
	for _, l := range listeners {
		for cluster := range c.clusters {
			if l.options.OnNodes != nil {
				l.options.OnNodes(cluster)
			}
		}
		for _, name := range c.runs {
			if l.options.OnChange != nil {
				l.options.OnChange(name)
			}
		}
	}
}

func (w *World) audience() []*Simulated {
	all := make([]*Simulated, 0, len(w.listeners))
	for l := range w.listeners {
		all = append(all, l)
	}
	return all
}

// advance lets everything happen that is due by now.
func (w *World) advance(now time.Time) changes {
	c := changes{clusters: map[string]struct{}{}}
	for len(w.queue) > 0 && !w.queue[0].due().After(now) {
		r := w.queue[0]
		for !r.phase().Finished() && !r.due().After(now) {
			w.apply(r, r.step(), c)
		}
		c.runs = append(c.runs, r.Name)
		if r.phase().Finished() {
			heap.Remove(&w.queue, r.index)
		} else {
			heap.Fix(&w.queue, r.index)
		}
	}
	return c
}

// apply does to the clusters what the last step of a host does.
func (w *World) apply(r *simulatedRun, s simulatedStep, c changes) {
	p := r.Plan[s.host]
	if int(s.task) < r.Tasks || p.failed() || r.Cluster == "" {
		return
	}
	name := r.Hosts[s.host]
	hosts := w.clusters[r.Cluster]
	h := hosts[name]
	switch {
	case r.Playbook == "remove":
		delete(hosts, name)
		if len(hosts) == 0 {
			delete(w.clusters, r.Cluster)
		}
		c.clusters[r.Cluster] = struct{}{}
		return
	case hosts == nil:
		hosts = map[string]*simulatedHost{}
		w.clusters[r.Cluster] = hosts
		fallthrough
	case h == nil:
		h = &simulatedHost{}
		hosts[name] = h
	}
	if !contains(h.Playbooks, r.Playbook) {
		h.Playbooks = append(h.Playbooks, r.Playbook)
	}
	if p.Joins && !h.Joined {
		h.Joined = true
		c.clusters[r.Cluster] = struct{}{}
	}
}

// arm sets the timer to the next thing that is due.
func (w *World) arm() {
	if len(w.queue) == 0 {
		return
	}
	next := w.queue[0].due()
	if w.timer != nil && w.armed.Equal(next) {
		return
	}
	w.armed = next
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(next), w.fire)
		return
	}
	w.timer.Reset(time.Until(next))
}

func (w *World) fire() {
	w.mu.Lock()
	c := w.advance(time.Now())
	w.armed = time.Time{}
	w.arm()
	listeners := w.audience()
	w.mu.Unlock()
	c.tell(listeners)
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}
