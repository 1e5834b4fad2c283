package lab

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Limits of a lab. Addresses: .1 is the management host, .2 the bastion, .11 and up the machines.
const (
	MaxMachines  = 200
	MinDiskBytes = 1 << 30
	MaxDiskBytes = 1 << 40
	MinMemory    = 128 << 20

	firstIndex     = 1
	lastIndex      = 255
	bastionOctet   = 2
	machinesOffset = 11
	machineOUI     = "52:54:00"
)

// Spec says what a lab should hold.
type Spec struct {
	// Machines is the number of machines beside the bastion: 1 to 200.
	Machines int `json:"machines"`
	// Bastion adds a machine named bastion; sshd on the others then accepts connections from it alone.
	Bastion bool `json:"bastion,omitempty"`
	// DiskBytes is the size of each root disk, at least 1 GiB. Zero: 8 GiB. The file is sparse.
	DiskBytes int64 `json:"diskBytes,omitempty"`
	// MemoryBytes limits each machine's memory, at least 128 MiB. Zero: no limit.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// User is the user that Exec and Machines name: root or ops (sudo without password). Empty: root. Both always exist.
	User string `json:"user,omitempty"`
	// Port is the port of sshd. Zero: 22.
	Port int `json:"port,omitempty"`
	// WithoutPython is how many machines, counted from the last, have no Python.
	WithoutPython int `json:"withoutPython,omitempty"`
	// WithCreator makes the lab nobody's once the process that made it is gone: DeleteStale then takes it. For tests.
	WithCreator bool `json:"withCreator,omitempty"`
}

// Machine is one practice machine as its users see it.
type Machine struct {
	// Name within the lab: m1, m2, … or bastion.
	Name string `json:"name"`
	// Hostname is LAB-NAME, unique among labs of different names.
	Hostname string `json:"hostname"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	MAC      string `json:"mac"`
	Bastion  bool   `json:"bastion,omitempty"`
	Python   bool   `json:"python"`
	// DiskBytes is the size of the root disk.
	DiskBytes int64 `json:"diskBytes"`
	// MemoryBytes is the memory limit; zero means none.
	MemoryBytes int64 `json:"memoryBytes,omitempty"`
	// HostKey is sshd's public key, as in known_hosts: "ssh-ed25519 AAAA…".
	HostKey string `json:"hostKey"`
	// KeyPath is the private key that opens root and ops; it is the same for all machines of a lab.
	KeyPath string `json:"keyPath,omitempty"`
	// Running tells whether the machine has power. Frozen machines run.
	Running bool `json:"running,omitempty"`
	// Faults lists what has been done to the machine and not yet healed.
	Faults []string `json:"faults,omitempty"`
}

var labName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

func validateLabName(name string) error {
	if !labName.MatchString(name) {
		return fmt.Errorf("lab name %q: use 1 to 20 lower-case letters, digits and hyphens, a letter first", name)
	}
	return nil
}

func (s Spec) defaulted() Spec {
	if s.DiskBytes == 0 {
		s.DiskBytes = 8 << 30
	}
	if s.User == "" {
		s.User = "root"
	}
	if s.Port == 0 {
		s.Port = 22
	}
	return s
}

func (s Spec) validate() error {
	switch {
	case s.Machines < 1 || s.Machines > MaxMachines:
		return fmt.Errorf("machines: %d is not between 1 and %d", s.Machines, MaxMachines)
	case s.DiskBytes < MinDiskBytes || s.DiskBytes > MaxDiskBytes:
		return fmt.Errorf("disk: %d bytes is not between 1 GiB and 1 TiB", s.DiskBytes)
	case s.MemoryBytes != 0 && s.MemoryBytes < MinMemory:
		return fmt.Errorf("memory: %d bytes is below 128 MiB", s.MemoryBytes)
	case s.User != "root" && s.User != "ops":
		return fmt.Errorf("user: %q is not root or ops", s.User)
	case s.Port < 1 || s.Port > 65535:
		return fmt.Errorf("port: %d is not between 1 and 65535", s.Port)
	case s.WithoutPython < 0 || s.WithoutPython > s.Machines:
		return fmt.Errorf("machines without Python: %d is not between 0 and %d", s.WithoutPython, s.Machines)
	}
	return nil
}

// planMachines gives every machine its name, address and size; index is the third number of the addresses.
func planMachines(name string, index int, spec Spec) []Machine {
	var machines []Machine
	if spec.Bastion {
		machines = append(machines, planMachine(name, "bastion", index, bastionOctet, spec))
		machines[0].Bastion = true
	}
	for i := range spec.Machines {
		m := planMachine(name, fmt.Sprintf("m%d", i+1), index, machinesOffset+i, spec)
		m.Python = i < spec.Machines-spec.WithoutPython
		machines = append(machines, m)
	}
	return machines
}

func planMachine(labName, name string, index, octet int, spec Spec) Machine {
	return Machine{
		Name:        name,
		Hostname:    labName + "-" + name,
		Address:     hostAddress(index, octet),
		Port:        spec.Port,
		User:        spec.User,
		MAC:         fmt.Sprintf("%s:12:%02x:%02x", machineOUI, index, octet),
		Python:      true,
		DiskBytes:   spec.DiskBytes,
		MemoryBytes: spec.MemoryBytes,
	}
}

func hostAddress(index, octet int) string {
	return netip.AddrFrom4([4]byte{198, 18, byte(index), byte(octet)}).String()
}

func gatewayAddress(index int) string { return hostAddress(index, 1) }

func networkCIDR(index int) string { return hostAddress(index, 0) + "/24" }
