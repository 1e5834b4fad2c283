package host

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"sync"
	"time"
)

// SimulatedOptions says how simulated hosts behave. The zero value: every address answers at once with a good machine.
type SimulatedOptions struct {
	// Latency is how long each visit takes.
	Latency time.Duration
	// InspectLatency is how long an inspection takes; 0: as Latency.
	InspectLatency time.Duration
	// Facts gives the facts of a host; nil: GoodFacts. It must be safe for concurrent use.
	Facts func(Address) Facts
	// Fail gives the error of a visit to a host, nil for none; it comes after those set by Simulated.Fail.
	Fail func(Address) error
}

// Simulated is a Prober without any host: leases live in memory, host keys and facts follow from the address.
// It holds about 300 bytes for each host that was taken and nothing for the others.
type Simulated struct {
	options SimulatedOptions
	mutex   sync.Mutex
	hosts   map[string]*simulatedHost
}

type simulatedHost struct {
	lease   Lease
	stages  map[string]string
	failure error
	facts   *Facts
	hostKey string
}

// NewSimulated makes simulated hosts.
func NewSimulated(options SimulatedOptions) *Simulated {
	if options.InspectLatency == 0 {
		options.InspectLatency = options.Latency
	}
	if options.Facts == nil {
		options.Facts = GoodFacts
	}
	return &Simulated{options: options, hosts: map[string]*simulatedHost{}}
}

// GoodFacts are those of an idle machine with nothing wrong; its machine-id follows from the address.
func GoodFacts(a Address) Facts {
	sum := sha256.Sum256([]byte(a.String()))
	id := make([]byte, 0, 32)
	for _, b := range sum[:16] {
		id = append(id, "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15])
	}
	return Facts{
		MachineID: string(id), OS: "Debian 12", Architecture: "amd64", Kernel: "6.1.0-simulated", Python: "3.11.2",
		Hostname: "host-" + string(id[:8]), CgroupVersion: 2, CPUs: 16, MemoryBytes: 64 << 30,
		DiskBytes: 500 << 30, DiskFreeBytes: 480 << 30, Fsync: 900 * time.Microsecond,
	}
}

// SimulatedHostKey is the host key that the simulated host of an address shows unless SetHostKey gave it another.
func SimulatedHostKey(a Address) string {
	sum := sha256.Sum256([]byte("host key of " + a.String()))
	wire := binary.BigEndian.AppendUint32(nil, uint32(len("ssh-ed25519")))
	wire = append(wire, "ssh-ed25519"...)
	wire = binary.BigEndian.AppendUint32(wire, uint32(len(sum)))
	wire = append(wire, sum[:]...)
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire)
}

// Fail makes every visit to an address end with err until it is called with nil.
func (s *Simulated) Fail(a Address, err error) {
	s.change(a, func(h *simulatedHost) { h.failure = err })
}

// SetFacts gives one host facts of its own.
func (s *Simulated) SetFacts(a Address, facts Facts) {
	s.change(a, func(h *simulatedHost) { h.facts = &facts })
}

// SetHostKey gives one host another host key, as a reinstallation does.
func (s *Simulated) SetHostKey(a Address, key string) {
	s.change(a, func(h *simulatedHost) { h.hostKey = key })
}

// SetLease stamps one host, as another operator does.
func (s *Simulated) SetLease(a Address, lease Lease) {
	s.change(a, func(h *simulatedHost) { h.lease = lease })
}

// SetStages gives one host stage stamps, as a run does.
func (s *Simulated) SetStages(a Address, stages map[string]string) {
	s.change(a, func(h *simulatedHost) { h.stages = maps.Clone(stages) })
}

func (s *Simulated) change(a Address, f func(*simulatedHost)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f(s.host(a))
}

// host gives the record of an address, made when needed; the mutex is held.
func (s *Simulated) host(a Address) *simulatedHost {
	name := a.String()
	h := s.hosts[name]
	if h == nil {
		h = &simulatedHost{}
		s.hosts[name] = h
	}
	return h
}

// visit waits for the latency and then says why the host cannot be visited.
func (s *Simulated) visit(ctx context.Context, a Address, latency time.Duration) (string, error) {
	if err := wait(ctx, latency); err != nil {
		return "", problem(Unreachable, "visiting %s: %w", a, err)
	}
	s.mutex.Lock()
	var failure error
	key := ""
	if h := s.hosts[a.String()]; h != nil {
		failure, key = h.failure, h.hostKey
	}
	s.mutex.Unlock()
	if failure == nil && s.options.Fail != nil {
		failure = s.options.Fail(a)
	}
	if failure != nil {
		return "", failure
	}
	if key == "" {
		key = SimulatedHostKey(a)
	}
	if a.HostKey != "" && a.HostKey != key {
		return "", changedKey(a.String(), a.HostKey, key)
	}
	return key, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Inspect gives the facts, lease and stamps of a simulated host.
func (s *Simulated) Inspect(ctx context.Context, a Address) (Inspection, error) {
	key, err := s.visit(ctx, a, s.options.InspectLatency)
	if err != nil {
		return Inspection{}, err
	}
	result := Inspection{HostKey: key}
	if a.Bastion != nil {
		result.BastionHostKey = SimulatedHostKey(*a.Bastion)
	}
	var facts *Facts
	s.mutex.Lock()
	if h := s.hosts[a.String()]; h != nil {
		result.Lease, result.Stages, facts = h.lease, maps.Clone(h.stages), h.facts
	}
	s.mutex.Unlock()
	if facts != nil {
		result.Facts = *facts
	} else {
		result.Facts = s.options.Facts(a)
	}
	return result, nil
}

// Ping gives the lease of a simulated host.
func (s *Simulated) Ping(ctx context.Context, a Address) (Lease, error) {
	if err := a.pinned(); err != nil {
		return Lease{}, err
	}
	if _, err := s.visit(ctx, a, s.options.Latency); err != nil {
		return Lease{}, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if h := s.hosts[a.String()]; h != nil {
		return h.lease, nil
	}
	return Lease{}, nil
}

// Take moves the lease of a simulated host by compare-and-set.
func (s *Simulated) Take(ctx context.Context, a Address, expected int64, cluster, operation string) (Lease, error) {
	if err := a.pinned(); err != nil {
		return Lease{}, err
	}
	if _, err := s.visit(ctx, a, s.options.Latency); err != nil {
		return Lease{}, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	h := s.host(a)
	wanted := Lease{Generation: expected + 1, Cluster: cluster, Operation: operation}
	if h.lease.Generation == wanted.Generation && h.lease.Operation == operation {
		return h.lease, nil
	}
	if h.lease.Generation != expected {
		return h.lease, leaseChanged(a, expected, h.lease)
	}
	h.lease = wanted
	return h.lease, nil
}

// Release empties the lease of a simulated host and forgets its stamps.
func (s *Simulated) Release(ctx context.Context, a Address, generation int64) error {
	if err := a.pinned(); err != nil {
		return err
	}
	if _, err := s.visit(ctx, a, s.options.Latency); err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	h := s.host(a)
	if h.lease.Generation != generation {
		return leaseChanged(a, generation, h.lease)
	}
	h.lease = Lease{Generation: generation}
	h.stages = nil
	return nil
}
