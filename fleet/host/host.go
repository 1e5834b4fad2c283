// Package host looks at one machine over SSH and takes it for an operation. It installs nothing but the lease and
// its small shell program, and knows nothing of clusters. It needs no Python on the host.
package host

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Address says how a host is reached.
type Address struct {
	Host string
	Port int
	User string
	// Key is the SSH private key in PEM.
	Key []byte
	// HostKey is the pinned key in authorized_keys form; empty: accept and report it (first inspection).
	HostKey string
	Bastion *Address // its Key is that of the machine when empty
}

// Facts is what an inspection finds.
type Facts struct {
	MachineID, OS, Architecture, Kernel, Python, Hostname string
	CgroupVersion, CPUs                                   int
	MemoryBytes, DiskBytes, DiskFreeBytes                 int64
	Fsync                                                 time.Duration
	ClockOffset                                           time.Duration // host less operator
	Swap                                                  bool
	Security, Leftovers                                   []string
	PortsInUse                                            []int
}

// Lease is the stamp on a host that says who may work on it. The zero Lease: nobody has ever.
type Lease struct {
	Generation int64  `json:"generation"`
	Cluster    string `json:"cluster,omitempty"`   // uid of the cluster that holds the host
	Operation  string `json:"operation,omitempty"` // uid of the operation that took it last
}

// Inspection is what was seen of a host in one visit.
type Inspection struct {
	HostKey        string // the key that the host showed, authorized_keys form
	BastionHostKey string
	Facts          Facts
	Lease          Lease
	// Stages are the stamps of finished stages: name to digest.
	Stages map[string]string
}

// Kind classifies what went wrong on the way to a host.
type Kind string

// The kinds of Error. Unreachable and Busy may pass by themselves; all others need a person.
const (
	Unreachable    Kind = "Unreachable"
	HostKeyChanged Kind = "HostKeyChanged"
	Authentication Kind = "AuthenticationFailed"
	NoSudo         Kind = "NoSudo"
	KeyInvalid     Kind = "KeySecretInvalid"
	TakenElsewhere Kind = "TakenElsewhere"
	// HostKeyMissing: everything but Inspect wants a pinned host key.
	HostKeyMissing Kind = "HostKeyMissing"
	// Faulty: the host answers, but not as it should: no shell, no space, a lease or a report that makes no sense.
	Faulty Kind = "HostFaulty"
	// Busy: commands of an older generation do not end, or another take is under way.
	Busy Kind = "HostBusy"
)

// Error says what went wrong and what to do; Kind is stable, the text is for people.
type Error struct {
	Kind Kind
	Err  error
}

// Error gives the text for people.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrLeaseChanged says that the lease on the host is not the expected one; the Lease that was found is returned beside it.
var ErrLeaseChanged = errors.New("the lease on the host is not the expected one")

// Prober visits hosts. Implementations: SSH (real), Simulated, Fake; one contract test. All methods are safe for
// concurrent use; what goes wrong on the way to a host is an *Error.
type Prober interface {
	// Inspect looks at everything and changes nothing.
	Inspect(ctx context.Context, a Address) (Inspection, error)
	// Ping checks that the host answers with the pinned key and returns its lease; cheap.
	Ping(ctx context.Context, a Address) (Lease, error)
	// Take moves the lease from the expected generation to the next one for an operation of a cluster: compare-and-set
	// on the host, then ends every command of older generations and waits until they are gone. Repeating a Take that
	// succeeded succeeds and changes nothing. ErrLeaseChanged with the present lease when the expectation is wrong.
	Take(ctx context.Context, a Address, expected int64, cluster, operation string) (Lease, error)
	// Release empties cluster and operation of the lease of that generation and forgets the stage stamps; the generation
	// stays. ErrLeaseChanged when the host's generation is another.
	Release(ctx context.Context, a Address, generation int64) error
}
