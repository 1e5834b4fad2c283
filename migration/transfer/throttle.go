package transfer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// tick is how often the rate is decided anew.
const tick = time.Second

// Sensor looks at one signal of the source's host and writes it down.
type Sensor interface {
	Sense(s *Signals) error
}

// ThrottleOptions say what a throttle holds to and looks at.
type ThrottleOptions struct {
	Budget  Budget
	Sensors []Sensor
	// Probe asks the old server a query and says how long the answer took; nil: there is no such signal.
	Probe func(ctx context.Context) (time.Duration, error)
	// Ticks gives the time of each decision; nil: every second.
	Ticks <-chan time.Time
}

// Throttle holds reads to a rate that it raises while nothing suffers and cuts when something does.
type Throttle struct {
	o       ThrottleOptions
	limiter *rate.Limiter

	used    meter
	waiting atomic.Int32 // who waits to read
	still   int          // looks in a row at which nothing was read; of Run alone

	mu      sync.Mutex
	reading Reading
	idle    Signals   // what was seen before the transfer
	queries []float64 // the last ones, in milliseconds
	cut     bool      // something suffered once
}

// Reading is what a throttle says of itself.
type Reading struct {
	BytesPerSecond int64      `json:"bytesPerSecond"` // the limit; 0: none
	LimitedBy      LimitCause `json:"limitedBy"`
	Signals        Signals    `json:"signals"`
	Blind          []string   `json:"blind,omitempty"` // sensors that do not work here
}

// NewThrottle makes a throttle. Run must run for it to look at anything; until then the ceiling holds.
func NewThrottle(o ThrottleOptions) *Throttle {
	o.Budget = o.Budget.withDefaults()
	t := &Throttle{o: o, limiter: rate.NewLimiter(rate.Inf, MaxRange), still: stillLooks}
	first := o.Budget.Ceiling
	if len(o.Sensors) > 0 || o.Probe != nil {
		if first == 0 || first > start {
			first = start
		}
	}
	t.set(first, LimitedByNothing)
	return t
}

func (t *Throttle) set(limit int64, cause LimitCause) {
	t.reading.BytesPerSecond, t.reading.LimitedBy = limit, cause
	if limit <= 0 {
		t.limiter.SetLimit(rate.Inf)
		return
	}
	t.limiter.SetLimit(rate.Limit(limit))
	// A burst of a tenth of a second, but never less than one read of block's window.
	t.limiter.SetBurst(int(max(limit/10, 1<<20)))
}

// Wait waits until n bytes may be read.
func (t *Throttle) Wait(ctx context.Context, n int) error {
	t.used.add(n)
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	for n > 0 {
		// A burst may be made smaller while we wait: ask for what always fits.
		part := min(n, 1<<20)
		if err := t.limiter.WaitN(ctx, part); err != nil {
			return fmt.Errorf("waiting for the throttle: %w", err)
		}
		n -= part
	}
	return nil
}

// Reading says the limit, its cause and the signals.
func (t *Throttle) Reading() Reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.reading
	r.Blind = slices.Clone(r.Blind)
	return r
}

// Baseline looks at the host while nothing is read: the I/O pressure of a second, and the median of ten answers of the
// probe. What follows is held against that.
func (t *Throttle) Baseline(ctx context.Context) error {
	var first, idle Signals
	t.sense(&first)
	if len(t.o.Sensors) > 0 {
		if err := pause(ctx, tick); err != nil {
			return err
		}
	}
	t.sense(&idle)
	idle = Signals{IdlePressurePercent: idle.PressurePercent}
	if t.o.Probe != nil {
		var took []float64
		for range 10 {
			d, err := t.o.Probe(ctx)
			if err != nil {
				return fmt.Errorf("measuring the old server's idle latency: %w", err)
			}
			took = append(took, milliseconds(d))
		}
		middle := median(took)
		idle.IdleQueryMillis = &middle
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.idle, t.reading.Signals = idle, idle
	return nil
}

// sense asks all sensors, and gives what the blind ones say.
func (t *Throttle) sense(s *Signals) (blind []string) {
	for _, sensor := range t.o.Sensors {
		if err := sensor.Sense(s); err != nil {
			blind = append(blind, err.Error())
		}
	}
	return blind
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// Run looks and decides until the context is done. Baseline comes before, while the host is idle.
func (t *Throttle) Run(ctx context.Context) {
	ticks := t.o.Ticks
	if ticks == nil {
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		ticks = ticker.C
	}
	last, before := time.Now(), t.used.total()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks:
			took := now.Sub(last).Seconds()
			if took <= 0 {
				continue
			}
			total := t.used.total()
			t.step(ctx, int64(float64(total-before)/took))
			last, before = now, total
		}
	}
}

// stillLooks is at how many looks in a row nothing was read before the old server is left alone: an agent that waits must not look like a user
// who still needs it.
const stillLooks = 5

// isStill counts the looks at which nobody read, and says whether they are enough.
func (t *Throttle) isStill(used int64) bool {
	t.still++
	if used > 0 || t.waiting.Load() > 0 {
		t.still = 0
	}
	return t.still >= stillLooks
}

// step is one look and one decision. While nothing is read the rate stays, and nobody is asked.
func (t *Throttle) step(ctx context.Context, used int64) {
	s := t.idle
	blind := t.sense(&s)
	still := t.isStill(used)
	if still {
		t.queries = nil
	} else {
		t.ask(ctx, &s)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reading.Signals, t.reading.Blind = s, blind
	if still {
		t.reading.LimitedBy = LimitedByNothing
		return
	}
	next, cause := Decide(t.reading.BytesPerSecond, used, t.cut, s, t.o.Budget)
	t.cut = t.cut || next < t.reading.BytesPerSecond
	t.set(next, cause)
}

// ask puts the median of the last three answers into the signals: one slow query is none.
func (t *Throttle) ask(ctx context.Context, s *Signals) {
	if t.o.Probe == nil {
		return
	}
	took, err := t.o.Probe(ctx)
	s.QueryFailed = err != nil && ctx.Err() == nil
	if err != nil {
		return
	}
	t.queries = append(t.queries, milliseconds(took))
	if len(t.queries) > 3 {
		t.queries = t.queries[1:]
	}
	middle := median(t.queries)
	s.QueryMillis = &middle
}
