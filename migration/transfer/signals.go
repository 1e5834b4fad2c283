package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/slipway-dev/slipway/migration/server"
)

// HostSensors are what this host offers for the disk of a path: I/O pressure where the kernel has it, and the disk's own
// counters. Where they cannot be read they say so in the reading.
func HostSensors(path string) []Sensor {
	return []Sensor{&pressure{file: "/proc/pressure/io", now: time.Now}, &diskstats{file: "/proc/diskstats", path: path, now: time.Now}}
}

// pressure is the share of time in which some task waited for I/O since the last look (Documentation/accounting/psi.rst).
type pressure struct {
	file string
	now  func() time.Time

	at    time.Time
	total float64 // microseconds
}

// Sense writes the pressure; the first time there is none yet.
func (p *pressure) Sense(s *Signals) error {
	text, err := os.ReadFile(p.file)
	if err != nil {
		return fmt.Errorf("reading I/O pressure: %w", err)
	}
	total, err := parsePressure(string(text))
	if err != nil {
		return fmt.Errorf("reading I/O pressure: %w", err)
	}
	now := p.now()
	if took := now.Sub(p.at); !p.at.IsZero() && took > 0 {
		percent := 100 * (total - p.total) / float64(took.Microseconds())
		s.PressurePercent = &percent
	}
	p.at, p.total = now, total
	return nil
}

// parsePressure finds the total of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
func parsePressure(text string) (float64, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "some" {
			continue
		}
		for _, f := range fields[1:] {
			if value, ok := strings.CutPrefix(f, "total="); ok {
				return strconv.ParseFloat(value, 64)
			}
		}
	}
	return 0, errors.New(`there is no line "some … total=…"`)
}

// diskstats is how long requests took and how busy the disk was since the last look (Documentation/admin-guide/iostats.rst).
type diskstats struct {
	file string
	path string // on the disk
	now  func() time.Time

	at   time.Time
	last diskCounters
}

// diskCounters are requests that are done, milliseconds that they took together, milliseconds in which there was one.
type diskCounters struct{ requests, waited, busy float64 }

// Sense writes await and utilisation; the first time there are none yet.
func (d *diskstats) Sense(s *Signals) error {
	var stat unix.Stat_t
	if err := unix.Stat(d.path, &stat); err != nil {
		return fmt.Errorf("finding the disk of %s: %w", d.path, err)
	}
	text, err := os.ReadFile(d.file)
	if err != nil {
		return fmt.Errorf("reading the disk's counters: %w", err)
	}
	c, err := parseDiskstats(string(text), unix.Major(stat.Dev), unix.Minor(stat.Dev))
	if err != nil {
		return fmt.Errorf("reading the disk's counters: %w", err)
	}
	now := d.now()
	if took := now.Sub(d.at); !d.at.IsZero() && took > 0 {
		await, busy := 0.0, 100*(c.busy-d.last.busy)/float64(took.Milliseconds()+1)
		if n := c.requests - d.last.requests; n > 0 {
			await = (c.waited - d.last.waited) / n
		}
		s.AwaitMillis, s.UtilisationPercent = &await, &busy
	}
	d.at, d.last = now, c
	return nil
}

func parseDiskstats(text string, major, minor uint32) (diskCounters, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 14 || f[0] != strconv.FormatUint(uint64(major), 10) || f[1] != strconv.FormatUint(uint64(minor), 10) {
			continue
		}
		var n [11]float64
		for i := range n {
			v, err := strconv.ParseFloat(f[3+i], 64)
			if err != nil {
				return diskCounters{}, fmt.Errorf("field %d: %w", 3+i, err)
			}
			n[i] = v
		}
		return diskCounters{requests: n[0] + n[4], waited: n[3] + n[7], busy: n[9]}, nil
	}
	return diskCounters{}, fmt.Errorf("there is no disk %d:%d", major, minor)
}

// QueryProbe gives a Probe that asks a Prometheus server an instant query, count(up) where query is empty. Options without a name call it
// the old server, without a timeout wait 10 s.
func QueryProbe(o server.Options, query string) (func(ctx context.Context) (time.Duration, error), error) {
	if query == "" {
		query = "count(up)"
	}
	if o.Name == "" {
		o.Name = "old server"
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	client, err := server.New(o)
	if err != nil {
		return nil, err
	}
	path := "/api/v1/query?" + url.Values{"query": {query}}.Encode()
	return func(ctx context.Context) (time.Duration, error) {
		var took time.Duration
		began := time.Now()
		err := client.Ask(ctx, http.MethodGet, path, nil, nil, func(res *http.Response, body io.Reader) error {
			if res.StatusCode != http.StatusOK {
				return server.Refusal(res.StatusCode, body)
			}
			_, err := io.Copy(io.Discard, body)
			took = time.Since(began)
			return err
		})
		return took, err
	}, nil
}

// withoutAddress leaves out the address, in which there may be a password.
func withoutAddress(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
