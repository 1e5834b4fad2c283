package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ErrNotFound says that no lab or machine has that name.
var ErrNotFound = errors.New("not found")

// Options names one lab and the places it may use.
type Options struct {
	// Name of the lab: 1 to 20 lower-case letters, digits and hyphens.
	Name string
	// Home is the data directory; labs live below Home/labs. Empty: $SLIPWAY_HOME, else ~/.local/share/slipway.
	Home string
	// Cache is where built images are kept. Empty: $SLIPWAY_CACHE, else ~/.cache/slipway.
	Cache string
	// Mirror is the Debian mirror that images are built from. Empty: what the host's apt uses, else Debian's own.
	Mirror string
	// Progress receives one line per step. Nil: nothing is said.
	Progress io.Writer
	// RelayCommand starts a delay relay: these words followed by the flags of Relay. Only Delay needs it.
	RelayCommand []string
}

// Lab is one lab: a network and its machines.
type Lab struct {
	opts  Options
	host  Host
	state state
}

// New returns a handle on a lab that may not exist yet. It changes nothing.
func New(opts Options) (*Lab, error) {
	if err := validateLabName(opts.Name); err != nil {
		return nil, err
	}
	opts, err := withDefaults(opts)
	if err != nil {
		return nil, err
	}
	host, err := DetectHost()
	if err != nil {
		return nil, err
	}
	return &Lab{opts: opts, host: host}, nil
}

// Open returns the lab of that name, or an error that wraps ErrNotFound.
func Open(opts Options) (*Lab, error) {
	l, err := New(opts)
	if err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
}

// Names returns the names of all labs of a data directory, readable or not.
func Names(opts Options) ([]string, error) {
	opts, err := withDefaults(opts)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(opts.Home, "labs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing labs: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && validateLabName(entry.Name()) == nil {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// List returns all labs of a data directory, by name; half-made ones included.
func List(opts Options) ([]*Lab, error) {
	names, err := Names(opts)
	if err != nil {
		return nil, err
	}
	var labs []*Lab
	for _, name := range names {
		opts.Name = name
		l, err := Open(opts)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil {
			labs = append(labs, l)
		}
	}
	return labs, nil
}

func withDefaults(opts Options) (Options, error) {
	var err error
	if opts.Home, err = dataDir(opts.Home, "SLIPWAY_HOME", ".local/share/slipway"); err != nil {
		return opts, err
	}
	if opts.Cache, err = dataDir(opts.Cache, "SLIPWAY_CACHE", ".cache/slipway"); err != nil {
		return opts, err
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	return opts, nil
}

func dataDir(given, variable, fallback string) (string, error) {
	if given == "" {
		given = os.Getenv(variable)
	}
	if given == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the home directory (set %s instead): %w", variable, err)
		}
		given = filepath.Join(home, fallback)
	}
	return filepath.Abs(given)
}

// Name returns the lab's name.
func (l *Lab) Name() string { return l.opts.Name }

// Dir returns the directory that holds the lab's state, keys, ssh_config and disks.
func (l *Lab) Dir() string { return filepath.Join(l.opts.Home, "labs", l.opts.Name) }

// Gateway returns the address of the management host on the lab's bridge, such as 198.18.3.1.
func (l *Lab) Gateway() string { return gatewayAddress(l.state.Index) }

// CIDR returns the lab's network, such as 198.18.3.0/24.
func (l *Lab) CIDR() string { return networkCIDR(l.state.Index) }

// SSHConfig returns the path of an OpenSSH client configuration with one Host entry per machine.
func (l *Lab) SSHConfig() string { return filepath.Join(l.Dir(), "ssh_config") }

// CreatedAt returns when the creation began.
func (l *Lab) CreatedAt() time.Time { return l.state.CreatedAt }

// Ready tells whether the creation has come to its end.
func (l *Lab) Ready() bool { return l.state.Phase == phaseReady }

// Machines returns the lab's machines in order, the bastion first.
func (l *Lab) Machines() []Machine {
	machines := make([]Machine, 0, len(l.state.Machines))
	for i := range l.state.Machines {
		machines = append(machines, l.public(&l.state.Machines[i]))
	}
	return machines
}

// Machine returns one machine by its name (m1) or its hostname (LAB-m1).
func (l *Lab) Machine(name string) (Machine, error) {
	m, err := l.find(name)
	if err != nil {
		return Machine{}, err
	}
	return l.public(m), nil
}

func (l *Lab) find(name string) (*machineState, error) {
	for i := range l.state.Machines {
		if m := &l.state.Machines[i]; m.Name == name || m.Hostname == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("machine %q in lab %q: %w", name, l.opts.Name, ErrNotFound)
}

func (l *Lab) public(m *machineState) Machine {
	out := m.Machine
	out.KeyPath = l.keyPath()
	out.Running = l.hasPower(m)
	out.Faults = append([]string(nil), m.Faults...)
	return out
}

func (l *Lab) keyPath() string { return filepath.Join(l.Dir(), "id_ed25519") }

func (l *Lab) machineDir(name string) string { return filepath.Join(l.Dir(), "machines", name) }

func (l *Lab) say(format string, args ...any) {
	fmt.Fprintf(l.opts.Progress, format+"\n", args...)
}

// under runs fn with the lab's lock held and its state freshly read; what fn changed is written.
func (l *Lab) under(ctx context.Context, fn func() error) error {
	unlock, err := lockFile(ctx, filepath.Join(l.Dir(), "lock"))
	if err != nil {
		return fmt.Errorf("locking lab %s: %w", l.opts.Name, err)
	}
	defer unlock()
	if err := l.load(); err != nil {
		return err
	}
	runErr := fn()
	return errors.Join(runErr, l.save())
}
