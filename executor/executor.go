// Package executor runs one command bundle (a playbook, its inventory and vars) somewhere and tells how it goes.
// It knows nothing of clusters or machines as kinds: a run has a name, content, hosts and results.
//
// Implementations: Process (a local ansible-runner that outlives the operator), Job (a Kubernetes Job), Simulated
// (no host at all, set latencies and failures) and Fake (records calls). All pass the contract test of this package.
package executor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
)

// Errors at the seam.
var (
	// ErrNotFound says that no run of that name is known.
	ErrNotFound = errors.New("no such run")
	// ErrDigestMismatch says that a run of that name exists with other content: a bug or a foreign run, never retried.
	ErrDigestMismatch = errors.New("a run of this name exists with other content")
	// ErrNotFinished says that a run cannot be removed because it is not at its end.
	ErrNotFinished = errors.New("the run has not finished")
)

// Phase is where a run stands.
type Phase string

// The phases of a run. Lost: nobody can say; the caller fences the hosts before the next attempt.
const (
	Pending   Phase = "Pending"
	Running   Phase = "Running"
	Succeeded Phase = "Succeeded"
	Failed    Phase = "Failed"
	Cancelled Phase = "Cancelled"
	Lost      Phase = "Lost"
)

// Finished says that the run is at its end and will not change again.
func (p Phase) Finished() bool { return p == Succeeded || p == Failed || p == Cancelled || p == Lost }

// Run is all that is needed to run a playbook. It is immutable: the same name with another digest is an error.
type Run struct {
	// Name is unique for ever, a DNS label: the caller uses <operation uid>-<attempt>.
	Name string
	// Playbook is the entry point, a file below playbooks/ of the content without its ending.
	Playbook string
	// ContentVersion picks the content (playbooks, roles, plugins).
	ContentVersion string
	// Hosts are the names in the inventory on which a result is expected.
	Hosts []string
	// Inventory is an Ansible inventory in YAML, without secrets.
	Inventory []byte
	// Vars are extra vars, a JSON object, without secrets.
	Vars []byte
	// SecretVars are extra vars that must never be seen: a JSON object, kept in a file of mode 0600 or a Secret of the run.
	SecretVars []byte
	// Keys are SSH private keys in PEM by file name; the inventory names them as {{ slipway_key_dir }}/<file name>.
	Keys map[string][]byte
	// KnownHosts is an OpenSSH known_hosts file with the pinned keys of all hosts and bastions of the run.
	KnownHosts []byte
	// Forks is how many hosts are worked on at once; 0 means 50.
	Forks int
	// TimeoutSeconds ends the run as Failed; 0 means 3600.
	TimeoutSeconds int
	// Labels are put on the objects that an executor makes (Job, ConfigMap, Secret) and shown in its logs.
	Labels map[string]string
}

// Result is how a run stands on one host.
type Result string

// The results on a host.
const (
	HostPending     Result = "Pending"
	HostRunning     Result = "Running"
	HostSucceeded   Result = "Succeeded"
	HostFailed      Result = "Failed"
	HostUnreachable Result = "Unreachable"
)

// Host is how a run stands on one host.
type Host struct {
	Result Result
	// Done counts finished tasks (skipped stages count as their tasks are passed).
	Done int
	// Changed counts tasks that reported a change.
	Changed int
	// Task is the task that runs now, or that failed, as "role : task".
	Task string
	// Message says what failed, at most 1024 bytes, without secrets.
	Message string
}

// The kinds of an Event. Output carries one typed output in Data, with its name as Task; Stats is the last event of a run
// that reached its end.
const (
	KindTaskStart   = "task-start"
	KindOK          = "ok"
	KindChanged     = "changed"
	KindSkipped     = "skipped"
	KindFailed      = "failed"
	KindUnreachable = "unreachable"
	KindStage       = "stage"
	KindOutput      = "output"
	KindStats       = "stats"
)

// LabelCluster is the label of a Run that names the cluster that it works for.
const LabelCluster = "cluster"

const (
	messageCancelled = "the run was cancelled"
	// maxMessage is the length of a message of a host, in bytes.
	maxMessage = 1024
)

// Event is one thing that happened in a run. Events are numbered from 1 without gaps and delivered at least once.
type Event struct {
	Sequence int             `json:"sequence"`
	Kind     string          `json:"kind"`
	Host     string          `json:"host,omitempty"`
	Role     string          `json:"role,omitempty"`
	Task     string          `json:"task,omitempty"`
	Message  string          `json:"message,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
}

// Observation is what can be seen of a run.
type Observation struct {
	Phase Phase
	// Message says why a run failed as a whole or was lost; empty otherwise.
	Message string
	// Events are those after the asked-for sequence number, in order.
	Events []Event
	// Hosts holds every host of the run.
	Hosts map[string]Host
	// Outputs are typed results that the content reported (facts, revision, report), by name, without secrets.
	Outputs map[string]json.RawMessage
}

// Executor starts runs and tells how they go. All methods are safe for concurrent use and for calling again.
type Executor interface {
	// Kind is the name of the implementation: Process, Job, Simulated or Fake.
	Kind() string
	// Start starts a run, or adopts the one of the same name and digest, running or finished. Another digest: ErrDigestMismatch.
	// A caller that makes secrets anew on each call asks Observe first: ErrNotFound there says that Start is due.
	Start(ctx context.Context, run Run) error
	// Observe tells how the run goes, with the events after since. ErrNotFound when it was never started or is removed.
	Observe(ctx context.Context, name string, since int) (Observation, error)
	// Cancel asks for the end of the run; it is Cancelled once nothing of it runs here any more (what it left running on
	// its hosts is ended by the caller's fence). A finished run stays as it is; ErrNotFound when there is none.
	Cancel(ctx context.Context, name string) error
	// Remove forgets a finished run and all that it kept, secrets first. Removing an unknown run is no error, one that
	// has not finished is ErrNotFinished.
	Remove(ctx context.Context, name string) error
}

// Logger is implemented by executors that keep the text that the run printed.
type Logger interface {
	// Logs opens the text; with follow the reader ends when the run does.
	Logs(ctx context.Context, name string, follow bool) (io.ReadCloser, error)
}
