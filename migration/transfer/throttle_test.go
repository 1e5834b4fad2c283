package transfer

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-dev/slipway/migration/server"
)

// probes answers with one latency after the other, and then with the last.
type probes struct {
	took []time.Duration
	err  error
}

func (p *probes) probe(context.Context) (time.Duration, error) {
	if p.err != nil {
		return 0, p.err
	}
	took := p.took[0]
	if len(p.took) > 1 {
		p.took = p.took[1:]
	}
	return took, nil
}

func TestThrottleFollowsTheOldServersQueries(t *testing.T) {
	p := &probes{took: []time.Duration{10 * time.Millisecond}}
	throttle := NewThrottle(ThrottleOptions{Probe: p.probe})
	if err := throttle.Baseline(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := throttle.Reading()
	throttle.step(t.Context(), before.BytesPerSecond)
	if r := throttle.Reading(); r.BytesPerSecond <= before.BytesPerSecond || r.LimitedBy != LimitedByGrowth || *r.Signals.IdleQueryMillis != 10 {
		t.Errorf("calm: %+v", r)
	}
	p.took = []time.Duration{90 * time.Millisecond}
	throttle.step(t.Context(), before.BytesPerSecond)
	if r := throttle.Reading(); r.LimitedBy == LimitedByQueryLatency {
		t.Errorf("one slow query is believed: %+v", r)
	}
	throttle.step(t.Context(), before.BytesPerSecond)
	slow := throttle.Reading()
	if slow.LimitedBy != LimitedByQueryLatency || slow.BytesPerSecond != before.BytesPerSecond/2 || *slow.Signals.QueryMillis != 90 {
		t.Errorf("slow: %+v", slow)
	}
	p.err = errors.New("refused")
	throttle.step(t.Context(), slow.BytesPerSecond)
	if r := throttle.Reading(); r.BytesPerSecond != slow.BytesPerSecond/2 || !r.Signals.QueryFailed {
		t.Errorf("silent: %+v", r)
	}
	if err := throttle.Baseline(t.Context()); err == nil {
		t.Error("a server that does not answer has a baseline")
	}
}

func TestThrottleLeavesTheOldServerAloneWhileNothingIsRead(t *testing.T) {
	asked := 0
	throttle := NewThrottle(ThrottleOptions{Probe: func(context.Context) (time.Duration, error) { asked++; return time.Millisecond, nil }})
	first := throttle.Reading().BytesPerSecond
	look := func(times int, used int64) int {
		before := asked
		for range times {
			throttle.step(t.Context(), used)
		}
		return asked - before
	}
	if n := look(3, 0); n != 0 || throttle.Reading().BytesPerSecond != first {
		t.Errorf("before the first byte it was asked %d times, and the rate is %d, want %d", n, throttle.Reading().BytesPerSecond, first)
	}
	if n := look(3, first); n != 3 {
		t.Errorf("while bytes were read it was asked %d of 3 times", n)
	}
	rate := throttle.Reading().BytesPerSecond
	if n := look(60, 0); n != stillLooks-1 || throttle.Reading().BytesPerSecond != rate {
		t.Errorf("after the last byte it was asked %d times, want %d; the rate is %d, was %d", n, stillLooks-1, throttle.Reading().BytesPerSecond, rate)
	}
	throttle.waiting.Add(1) // a reader that the throttle itself holds back
	if n := look(10, 0); n != 10 {
		t.Errorf("while a reader waited it was asked %d of 10 times", n)
	}
}

func TestThrottleRunsByItsTicks(t *testing.T) {
	ticks := make(chan time.Time)
	throttle := NewThrottle(ThrottleOptions{Ticks: ticks, Budget: Budget{Ceiling: 4 << 20}, Sensors: []Sensor{blindSensor{}}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { throttle.Run(ctx); close(done) }()
	ticks <- time.Now().Add(time.Second)
	ticks <- time.Now().Add(2 * time.Second) // the first one is done
	cancel()
	<-done
	want := Reading{BytesPerSecond: 4 << 20, LimitedBy: LimitedByNothing, Blind: []string{"no eyes"}}
	if diff := cmp.Diff(want, throttle.Reading()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type blindSensor struct{}

func (blindSensor) Sense(*Signals) error { return errors.New("no eyes") }

func TestThrottleHoldsItsCeiling(t *testing.T) {
	throttle := NewThrottle(ThrottleOptions{Budget: Budget{Ceiling: 8 << 20}})
	began := time.Now()
	for range 3 { // 3 MiB: the first is the burst, two are at 8 MiB/s
		if err := throttle.Wait(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("3 MiB in %v at 8 MiB/s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := throttle.Wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSensorsReadTheKernelsCounters(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1000, 0)
	clock := func() time.Time { return now }
	psi, disk := filepath.Join(dir, "io"), filepath.Join(dir, "diskstats")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &pressure{file: psi, now: clock}
	var s Signals
	if err := p.Sense(&s); err == nil {
		t.Error("no file is no error")
	}
	write(psi, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n")
	if err := p.Sense(&s); err != nil || s.PressurePercent != nil {
		t.Errorf("the first look: %v, %v", s.PressurePercent, err)
	}
	now = now.Add(2 * time.Second)
	write(psi, "some avg10=9.00 avg60=0.00 avg300=0.00 total=1500000\n")
	if err := p.Sense(&s); err != nil || *s.PressurePercent != 25 {
		t.Errorf("%v, %v", s.PressurePercent, err)
	}
	write(psi, "full total=1")
	if err := p.Sense(&s); err == nil {
		t.Error("a file without the line is no error")
	}
	d := &diskstats{file: disk, path: "/nowhere", now: clock}
	if err := d.Sense(&s); err == nil {
		t.Error("a path that is not there is no error")
	}
}

func TestParseDiskstats(t *testing.T) {
	text := "   7       0 loop0 1 2 3 4 5 6 7 8 9 10 11\n 252       1 vda1 100 0 800 300 50 0 400 700 0 900 1000 0 0 0 0 0 0\n 252 2 short 1\n"
	tests := map[string]struct {
		minor uint32
		want  diskCounters
		err   string
	}{
		"takes reads and writes together":   {minor: 1, want: diskCounters{requests: 150, waited: 1000, busy: 900}},
		"says that there is no such disk":   {minor: 9, err: "no disk 252:9"},
		"takes no line that is too short":   {minor: 2, err: "no disk"},
		"takes no number that is not there": {minor: 3, err: "field 3"},
	}
	text += " 252 3 odd x 0 800 300 50 0 400 700 0 900 1000\n"
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseDiskstats(text, 252, test.minor)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || got != test.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestQueryProbe(t *testing.T) {
	code := http.StatusOK
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" || r.URL.Query().Get("query") != `sum(rate(x[5m]))` {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(code)
	}))
	defer web.Close()
	probe, err := QueryProbe(server.Options{URL: web.URL + "/"}, `sum(rate(x[5m]))`)
	if err != nil {
		t.Fatal(err)
	}
	if took, err := probe(t.Context()); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	code = http.StatusServiceUnavailable
	if _, err := probe(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
	if _, err := QueryProbe(server.Options{URL: "http://user:secret@" + web.Listener.Addr().String()}, ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
