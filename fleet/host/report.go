package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The limits of a report. Those of the lists are those of the API.
const (
	maxReport    = 64 << 10
	maxValue     = 256
	maxLeftovers = 32
	maxSecurity  = 16
	maxPorts     = 32
	maxStages    = 64
	maxSamples   = 1000
)

// report is what inspect.sh and ping.sh print, checked.
type report struct {
	facts   Facts
	lease   Lease
	stages  map[string]string
	clock   time.Time
	uid     int64
	samples []time.Duration
	hidden  int // leftovers beyond the limit
}

type field struct {
	many bool
	read func(*report, string) error
}

func text(target func(*report) *string) field {
	return field{read: func(r *report, v string) error { *target(r) = v; return nil }}
}

func number(limit int64, set func(*report, int64)) field {
	return field{read: func(r *report, v string) error {
		if v == "" {
			return nil
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 || n > limit {
			return fmt.Errorf("%q is not a number from 0 to %d", v, limit)
		}
		set(r, n)
		return nil
	}}
}

// fields are the keys that a report may have.
func fields() map[string]field {
	const kibLimit = math.MaxInt64 >> 10
	return map[string]field{
		"os":            text(func(r *report) *string { return &r.facts.OS }),
		"kernel":        text(func(r *report) *string { return &r.facts.Kernel }),
		"hostname":      text(func(r *report) *string { return &r.facts.Hostname }),
		"python":        text(func(r *report) *string { return &r.facts.Python }),
		"arch":          {read: func(r *report, v string) error { r.facts.Architecture = architecture(v); return nil }},
		"machine_id":    {read: readMachineID},
		"uid":           number(math.MaxUint32, func(r *report, n int64) { r.uid = n }),
		"cgroup":        number(2, func(r *report, n int64) { r.facts.CgroupVersion = int(n) }),
		"cpus":          number(1<<16, func(r *report, n int64) { r.facts.CPUs = int(n) }),
		"memory_kib":    number(kibLimit, func(r *report, n int64) { r.facts.MemoryBytes = n << 10 }),
		"disk_kib":      number(kibLimit, func(r *report, n int64) { r.facts.DiskBytes = n << 10 }),
		"disk_free_kib": number(kibLimit, func(r *report, n int64) { r.facts.DiskFreeBytes = n << 10 }),
		"swap":          number(1<<16, func(r *report, n int64) { r.facts.Swap = n > 0 }),
		"clock":         {read: readClock},
		"lease":         {read: readLease},
		"fsync":         {many: true, read: readSample},
		"port":          {many: true, read: readPort},
		"security":      {many: true, read: readSecurity},
		"leftover":      {many: true, read: readLeftover},
		"stage":         {many: true, read: readStage},
	}
}

// parseReport reads what a script printed between the marks. Everything in it comes from the host and may be hostile.
func parseReport(output []byte) (report, error) {
	r := report{uid: -1}
	body, ok := bytes.CutSuffix(output, []byte(endMark))
	if !ok {
		return r, errors.New("the report has no end")
	}
	if len(body) > maxReport {
		return r, fmt.Errorf("the report has %d bytes, more than %d", len(body), maxReport)
	}
	known := fields()
	seen := map[string]bool{}
	for line := range bytes.Lines(body) {
		key, value, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		f, exists := known[key]
		if !ok || !exists {
			return r, fmt.Errorf("the report has the line %q", excerpt(line))
		}
		if seen[key] && !f.many {
			return r, fmt.Errorf("the report has %s twice", key)
		}
		seen[key] = true
		if err := readable(value); err != nil {
			return r, fmt.Errorf("reading %s: %w", key, err)
		}
		if err := f.read(&r, value); err != nil {
			return r, fmt.Errorf("reading %s: %w", key, err)
		}
	}
	r.finish()
	return r, nil
}

func (r *report) finish() {
	slices.Sort(r.facts.PortsInUse)
	slices.Sort(r.facts.Security)
	slices.Sort(r.facts.Leftovers)
	if r.hidden > 0 {
		r.facts.Leftovers[maxLeftovers-1] = fmt.Sprintf("… and %d more", r.hidden+1)
	}
	r.facts.Fsync = percentile99(r.samples)
}

// percentile99 is the smallest sample that at least 99 of 100 do not exceed; 0 without samples.
func percentile99(samples []time.Duration) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	slices.Sort(samples)
	return samples[(len(samples)*99+99)/100-1]
}

func readable(value string) error {
	if len(value) > maxValue || !utf8.ValidString(value) {
		return fmt.Errorf("the value is longer than %d bytes or not UTF-8", maxValue)
	}
	if strings.ContainsFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return errors.New("the value has characters that cannot be printed")
	}
	return nil
}

// excerpt makes what a host printed fit for a message: one line of printable characters, at most 200.
func excerpt(b []byte) string {
	if len(b) > 4096 {
		b = b[:4096]
	}
	words := strings.FieldsFunc(strings.ToValidUTF8(string(b), "?"), func(c rune) bool { return !unicode.IsPrint(c) || c == ' ' })
	s := []rune(strings.Join(words, " "))
	if len(s) > 200 {
		return string(s[:199]) + "…"
	}
	return string(s)
}

// architecture gives the name in Go's words.
func architecture(machine string) string {
	names := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
	if name, ok := names[machine]; ok {
		return name
	}
	return machine
}

var machineIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// readMachineID takes only real ones: images may hold an empty one or "uninitialized", which is no identity.
func readMachineID(r *report, v string) error {
	if machineIDForm.MatchString(v) {
		r.facts.MachineID = v
	}
	return nil
}

// readClock reads seconds with an optional fraction; a date without %N prints none or its letters.
func readClock(r *report, v string) error {
	if v == "" {
		return nil
	}
	whole, fraction, _ := strings.Cut(v, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<38 {
		return fmt.Errorf("%q is not a time in seconds", v)
	}
	nanoseconds := int64(0)
	if len(fraction) == 9 {
		if n, err := strconv.ParseInt(fraction, 10, 64); err == nil && n >= 0 {
			nanoseconds = n
		}
	}
	r.clock = time.Unix(seconds, nanoseconds)
	return nil
}

func readLease(r *report, v string) error {
	lease, err := parseLease([]byte(v))
	r.lease = lease
	return err
}

// parseLease reads a lease as the fence prints it.
func parseLease(b []byte) (Lease, error) {
	var lease Lease
	if len(b) > maxValue {
		return lease, errors.New("the lease is too long")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&lease); err != nil {
		return Lease{}, fmt.Errorf("decoding the lease %q: %w", excerpt(b), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Lease{}, fmt.Errorf("decoding the lease %q: something follows it", excerpt(b))
	}
	if lease.Generation < 0 || !word(lease.Cluster) || !word(lease.Operation) {
		return Lease{}, fmt.Errorf("decoding the lease %q: not one that the fence writes", excerpt(b))
	}
	return lease, nil
}

// word says that s has only what the fence allows in a name.
func word(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return strings.Trim(s, allowed) == ""
}

func readSample(r *report, v string) error {
	seconds, err := strconv.ParseFloat(v, 64)
	if err != nil || !(seconds >= 0 && seconds <= 3600) {
		return fmt.Errorf("%q is not a time in seconds", v)
	}
	if len(r.samples) < maxSamples {
		r.samples = append(r.samples, time.Duration(seconds*float64(time.Second)))
	}
	return nil
}

func readPort(r *report, v string) error {
	port, err := strconv.ParseUint(v, 16, 16)
	if err != nil {
		return fmt.Errorf("%q is not a port in hexadecimal", v)
	}
	if len(r.facts.PortsInUse) < maxPorts && !slices.Contains(r.facts.PortsInUse, int(port)) {
		r.facts.PortsInUse = append(r.facts.PortsInUse, int(port))
	}
	return nil
}

func readSecurity(r *report, v string) error {
	if runes := []rune(v); len(runes) > 64 {
		v = string(runes[:64])
	}
	if v != "" && len(r.facts.Security) < maxSecurity && !slices.Contains(r.facts.Security, v) {
		r.facts.Security = append(r.facts.Security, v)
	}
	return nil
}

func readLeftover(r *report, v string) error {
	switch {
	case v == "" || slices.Contains(r.facts.Leftovers, v):
	case len(r.facts.Leftovers) == maxLeftovers:
		r.hidden++
	default:
		r.facts.Leftovers = append(r.facts.Leftovers, v)
	}
	return nil
}

func readStage(r *report, v string) error {
	name, digest, ok := strings.Cut(v, " ")
	if !ok || name == "" {
		return fmt.Errorf("%q is not a name and a digest", v)
	}
	if r.stages == nil {
		r.stages = map[string]string{}
	}
	if len(r.stages) == maxStages {
		return fmt.Errorf("more than %d stages", maxStages)
	}
	r.stages[name] = digest
	return nil
}
