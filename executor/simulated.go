package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"go.yaml.in/yaml/v3"
)

// Failure is what goes wrong on one host of a simulated run.
type Failure struct {
	// Message is what the failing task says.
	Message string
	// Unreachable says that the host did not answer, instead of a task that failed.
	Unreachable bool
}

// SimulatedOptions say how simulated runs go. All functions are called once per run or host, when the run starts,
// and may keep nothing of the Run; OnChange and OnNodes are called from any goroutine and must not block.
type SimulatedOptions struct {
	// World is where the runs happen; executors over the same World see the same runs. nil: one of its own.
	World *World
	// Latency is how long a host takes; nil: no time. See FixedLatency and PlaybookLatency.
	Latency func(run Run, host string) time.Duration
	// Failure says what goes wrong on a host, at its last task; nil, or a nil answer: nothing.
	Failure func(run Run, host string) *Failure
	// Tasks is how many tasks a playbook has on a host; nil: 1. Each costs one event and one OnChange.
	Tasks func(run Run) int
	// Joins says that a host that succeeds is a node of the cluster from then on. nil: with the playbooks create,
	// kubernetes and scale, those in the groups control_plane and compute of the inventory; all, if it names no group.
	Joins func(run Run, host string) bool
	// Outputs are the typed outputs of a run that reaches its end; nil: none.
	Outputs func(run Run) map[string]json.RawMessage
	// OnChange is told the name of a run in which something happened; many things at one moment are told once.
	OnChange func(name string)
	// OnNodes is told the label "cluster" of a run when a host has joined or left.
	OnNodes func(cluster string)
}

// Simulated is an Executor without hosts.
type Simulated struct {
	options SimulatedOptions
	world   *World
}

// NewSimulated makes an executor over a world.
func NewSimulated(options SimulatedOptions) *Simulated {
	if options.World == nil {
		options.World = NewWorld()
	}
	s := &Simulated{options: options, world: options.World}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.listeners[s] = struct{}{}
	return s
}

// FixedLatency lets every host take the same time.
func FixedLatency(d time.Duration) func(Run, string) time.Duration {
	return func(Run, string) time.Duration { return d }
}

// PlaybookLatency lets every host take a time by playbook; others is for playbooks that the map does not name.
func PlaybookLatency(latencies map[string]time.Duration, others time.Duration) func(Run, string) time.Duration {
	return func(run Run, _ string) time.Duration {
		if d, ok := latencies[run.Playbook]; ok {
			return d
		}
		return others
	}
}

// Close ends the callbacks; the runs of the world go on.
func (s *Simulated) Close() error {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	delete(s.world.listeners, s)
	return nil
}

// World is where the runs happen.
func (s *Simulated) World() *World { return s.world }

// Joined lists the hosts that are nodes of a cluster, named by the label "cluster" of the runs.
func (s *Simulated) Joined(cluster string) []string { return s.world.Joined(cluster) }

// Kind is Simulated.
func (s *Simulated) Kind() string { return "Simulated" }

// Start starts a run or adopts it.
func (s *Simulated) Start(ctx context.Context, run Run) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("starting run %s: %w", run.Name, err)
	}
	if err := run.Validate(); err != nil {
		return err
	}
	digest, err := run.Digest()
	if err != nil {
		return err
	}
	return s.world.start(run.Name, digest, func() *simulatedRun { return s.plan(run) })
}

// Observe tells how a run goes.
func (s *Simulated) Observe(ctx context.Context, name string, since int) (Observation, error) {
	if err := ctx.Err(); err != nil {
		return Observation{}, fmt.Errorf("observing run %s: %w", name, err)
	}
	return s.world.observe(name, since)
}

// Cancel ends a run at once.
func (s *Simulated) Cancel(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cancelling run %s: %w", name, err)
	}
	return s.world.end(name, Cancelled, messageCancelled)
}

// Remove forgets a finished run; what its hosts have behind them stays.
func (s *Simulated) Remove(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("removing run %s: %w", name, err)
	}
	return s.world.remove(name)
}

// plan asks the options what will happen.
func (s *Simulated) plan(run Run) *simulatedRun {
	r := &simulatedRun{
		Name: run.Name, Playbook: run.Playbook, Cluster: run.Labels[LabelCluster], Hosts: run.Hosts,
		Plan: make([]hostPlan, len(run.Hosts)), Tasks: 1, Started: time.Now(),
	}
	if s.options.Tasks != nil {
		r.Tasks = max(1, s.options.Tasks(run))
	}
	if s.options.Outputs != nil {
		r.Outputs = s.options.Outputs(run)
	}
	joins := s.options.Joins
	if joins == nil {
		joins = joinsByInventory(run)
	}
	for i, host := range run.Hosts {
		p := &r.Plan[i]
		p.Joins = joins(run, host)
		if s.options.Latency != nil {
			p.Latency = max(0, s.options.Latency(run, host))
		}
		if s.options.Failure != nil {
			if f := s.options.Failure(run, host); f != nil {
				p.Failure, p.Unreachable = f.Message, f.Unreachable
				if f.Message == "" {
					p.Failure = "simulated failure"
				}
			}
		}
	}
	return r
}

// inventoryGroup is the part of an Ansible inventory that says who is in which group.
type inventoryGroup struct {
	Hosts    map[string]yaml.Node      `yaml:"hosts"`
	Children map[string]inventoryGroup `yaml:"children"`
}

// joinsByInventory makes the rule of SimulatedOptions.Joins for one run.
func joinsByInventory(run Run) func(Run, string) bool {
	switch run.Playbook {
	case "create", "kubernetes", "scale":
	default:
		return func(Run, string) bool { return false }
	}
	var groups map[string]inventoryGroup
	members := map[string]bool{}
	if yaml.Unmarshal(run.Inventory, &groups) != nil || !collect(groups, members) {
		return func(Run, string) bool { return true }
	}
	return func(_ Run, host string) bool { return members[host] }
}

// collect gathers the members of the groups that hold nodes, and says whether there is such a group.
func collect(groups map[string]inventoryGroup, members map[string]bool) bool {
	found := false
	for name, group := range groups {
		if name == "control_plane" || name == "compute" {
			found = true
			for host := range group.Hosts {
				members[host] = true
			}
		}
		found = collect(group.Children, members) || found
	}
	return found
}

// summarize says how many hosts did not make it, naming the first ones; empty when all did.
func summarize(hosts map[string]Host) string {
	var bad []string
	for name, h := range hosts {
		if h.Result != HostSucceeded {
			bad = append(bad, name)
		}
	}
	if len(bad) == 0 {
		return ""
	}
	sort.Strings(bad)
	text := ""
	for i, name := range bad {
		if i == 3 {
			text += fmt.Sprintf(" and %d more", len(bad)-i)
			break
		}
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return fmt.Sprintf("%d of %d hosts did not succeed: %s", len(bad), len(hosts), text)
}
