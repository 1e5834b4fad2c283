package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/fleet/host"
)

// simulatedHosts are hosts that are not there, whose leases are kept in a file: a real host remembers its lease when the
// operator is started again.
type simulatedHosts struct {
	*host.Simulated

	mu      sync.Mutex
	journal *os.File
}

// leaseLine is one change of a lease in the journal; the last one of an address holds.
type leaseLine struct {
	Host  string     `json:"host"`
	Port  int        `json:"port,omitempty"`
	Lease host.Lease `json:"lease"`
}

func openSimulatedHosts(path string) (*simulatedHosts, error) {
	journal, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the leases of simulated hosts: %w", err)
	}
	s := &simulatedHosts{Simulated: host.NewSimulated(host.SimulatedOptions{}), journal: journal}
	lines := bufio.NewScanner(journal)
	for lines.Scan() {
		var line leaseLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // cut off by a kill in the middle of a write; the change was not told to anybody
		}
		s.SetLease(host.Address{Host: line.Host, Port: line.Port}, line.Lease)
	}
	if err := lines.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the leases of simulated hosts: %w", err), journal.Close())
	}
	return s, nil
}

// Take takes a simulated host and remembers it.
func (s *simulatedHosts) Take(ctx context.Context, a host.Address, expected int64, cluster, operation string) (host.Lease, error) {
	lease, err := s.Simulated.Take(ctx, a, expected, cluster, operation)
	if err != nil {
		return lease, err
	}
	return lease, s.remember(a, lease)
}

// Release releases a simulated host and remembers it.
func (s *simulatedHosts) Release(ctx context.Context, a host.Address, generation int64) error {
	if err := s.Simulated.Release(ctx, a, generation); err != nil {
		return err
	}
	return s.remember(a, host.Lease{Generation: generation})
}

func (s *simulatedHosts) remember(a host.Address, lease host.Lease) error {
	line, err := json.Marshal(leaseLine{a.Host, a.Port, lease})
	if err != nil {
		return fmt.Errorf("encoding a lease: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.journal.Write(append([]byte{'\n'}, append(line, '\n')...)); err != nil {
		return fmt.Errorf("writing the lease of simulated host %s: %w", a.Host, err)
	}
	return nil
}

// Close closes the journal.
func (s *simulatedHosts) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.Close()
}

// simulatedBundle describes a bundle that holds nothing: enough to plan with where no host is touched.
func simulatedBundle() (string, *bundle.Manifest, error) {
	builder, err := bundle.NewBuilder(bundle.Options{})
	if err != nil {
		return "", nil, err
	}
	m := &bundle.Manifest{Format: bundle.FormatV1, Kubernetes: builder.KubernetesVersion(), OS: "linux", Architecture: "amd64", ImageRepository: "bundle.slipway.dev"}
	for _, name := range []string{"pause", "verify", "coredns", "metrics-server"} {
		m.Images = append(m.Images, bundle.Image{Name: name, Reference: m.ImageRepository + "/" + name + ":simulated"})
	}
	data, err := json.Marshal(m)
	if err != nil {
		return "", nil, fmt.Errorf("describing the simulated bundle: %w", err)
	}
	return bundle.DigestBytes(data), m, nil
}
