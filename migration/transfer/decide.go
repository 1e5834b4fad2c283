package transfer

// LimitCause names what holds a transfer back.
type LimitCause string

// What can hold a transfer back.
const (
	LimitedByNothing      LimitCause = "nothing"          // the throttle gives more than is taken
	LimitedByCeiling      LimitCause = "ceiling"          // the ceiling that was set
	LimitedByGrowth       LimitCause = "growth"           // nothing is wrong, the rate is still being raised
	LimitedByPressure     LimitCause = "io_pressure"      // tasks of the host wait for I/O (PSI)
	LimitedByAwait        LimitCause = "disk_await"       // the disk answers slowly
	LimitedByUtilisation  LimitCause = "disk_utilisation" // the disk has no time left
	LimitedByQueryLatency LimitCause = "query_latency"    // the old server's queries became slower
	LimitedByTarget       LimitCause = "target_disk"      // the target's disk takes no more
	LimitedByLink         LimitCause = "link_or_source"   // what arrives is less than what could be written
	LimitedByVerify       LimitCause = "verify"           // everything arrived and is read again from the target's disk
	LimitedByRetry        LimitCause = "source_is_silent" // the source does not answer and is asked again
)

// Budget is what a transfer may cost the source's host. A zero is the default.
type Budget struct {
	// Ceiling is the most bytes per second; 0: none.
	Ceiling int64
	// Floor is the least bytes per second, so that a transfer ends some day; default 4 MiB.
	Floor int64
	// PressurePercent is the share of time in which some task may wait for I/O beyond what was so before; default 40.
	PressurePercent float64
	// AwaitMillis is how long one request to the disk may take; default 50.
	AwaitMillis float64
	// UtilisationPercent is how busy the disk may be; default 85.
	UtilisationPercent float64
	// LatencyPercent is how much slower than idle the old server's query may be; default 20.
	LatencyPercent float64
}

func (b Budget) withDefaults() Budget {
	set := func(v *float64, to float64) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&b.PressurePercent, 40)
	set(&b.AwaitMillis, 50)
	set(&b.UtilisationPercent, 85)
	set(&b.LatencyPercent, 20)
	if b.Floor <= 0 {
		b.Floor = 4 << 20
	}
	if b.Ceiling > 0 {
		b.Floor = min(b.Floor, b.Ceiling)
	}
	return b
}

// Signals are what was seen in the last second. A nil is a signal that this host does not have.
type Signals struct {
	PressurePercent     *float64 `json:"pressurePercent,omitempty"`
	IdlePressurePercent *float64 `json:"idlePressurePercent,omitempty"` // before the transfer
	AwaitMillis         *float64 `json:"awaitMillis,omitempty"`
	UtilisationPercent  *float64 `json:"utilisationPercent,omitempty"`
	QueryMillis         *float64 `json:"queryMillis,omitempty"`
	IdleQueryMillis     *float64 `json:"idleQueryMillis,omitempty"` // before the transfer
	QueryFailed         bool     `json:"queryFailed,omitempty"`     // the old server did not answer the query
}

// none says that nothing was seen at all.
func (s Signals) none() bool {
	return s.PressurePercent == nil && s.AwaitMillis == nil && s.UtilisationPercent == nil && s.QueryMillis == nil && !s.QueryFailed
}

const (
	// noise is what a query's latency may change by in any case: two milliseconds instead of one mean nothing.
	noise = 2.0
	// hold is the share of the latency budget at which the rate is raised no more: one that is raised until it hurts hurts
	// every few seconds.
	hold = 0.75
	// start is the first rate where there are signals: far below what a disk gives, and found out within seconds.
	start = 16 << 20
	// raise is the smallest step up, in bytes per second.
	raise = 2 << 20
)

// Decide gives the next rate in bytes per second, and why it is not higher: it is raised by a step while it is used and
// nothing suffers (doubled as long as nothing ever did), and cut at once when something does. 0 is no limit: nothing is
// seen and no ceiling was set.
func Decide(rate, used int64, suffered bool, s Signals, b Budget) (next int64, cause LimitCause) {
	b = b.withDefaults()
	if s.none() {
		if b.Ceiling > 0 && used >= b.Ceiling*9/10 {
			return b.Ceiling, LimitedByCeiling
		}
		return b.Ceiling, LimitedByNothing
	}
	if rate <= 0 { // nothing was seen until now
		rate = max(used, start)
	}
	if cause, keep := suffers(s, b); cause != LimitedByNothing {
		// What was used counts, not what was allowed: a limit that nobody reached cuts nothing.
		return max(int64(float64(min(rate, max(used, b.Floor)))*keep), b.Floor), cause
	}
	if b.near(s) {
		return rate, LimitedByQueryLatency
	}
	if used < rate*7/10 {
		return rate, LimitedByNothing
	}
	next, cause = 2*rate, LimitedByGrowth
	if suffered {
		next = rate + max(raise, rate/10)
	}
	if b.Ceiling > 0 && next >= b.Ceiling {
		return b.Ceiling, LimitedByCeiling
	}
	return next, cause
}

// slower is by how many milliseconds the old server's query may be slower than idle.
func (b Budget) slower(s Signals) float64 {
	return max(*s.IdleQueryMillis*b.LatencyPercent/100, noise)
}

// near says that the old server's query comes close to its budget.
func (b Budget) near(s Signals) bool {
	return s.QueryMillis != nil && s.IdleQueryMillis != nil && *s.QueryMillis > *s.IdleQueryMillis+hold*b.slower(s)
}

// suffers names the signal that is over its budget, and how much of the rate is kept. The old server's users come first.
// Await and utilisation count only where the kernel has no PSI.
func suffers(s Signals, b Budget) (cause LimitCause, keep float64) {
	over := func(v *float64, limit float64) bool { return v != nil && *v > limit }
	switch {
	case s.QueryFailed:
		return LimitedByQueryLatency, 0.5
	case s.IdleQueryMillis != nil && over(s.QueryMillis, *s.IdleQueryMillis+b.slower(s)):
		return LimitedByQueryLatency, 0.5
	case over(s.PressurePercent, min(b.PressurePercent+valueOf(s.IdlePressurePercent), 95)):
		return LimitedByPressure, 0.7
	case s.PressurePercent != nil:
		return LimitedByNothing, 1
	case over(s.AwaitMillis, b.AwaitMillis):
		return LimitedByAwait, 0.7
	case over(s.UtilisationPercent, b.UtilisationPercent):
		return LimitedByUtilisation, 0.8
	}
	return LimitedByNothing, 1
}

// valueOf is zero for what was not measured.
func valueOf(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}
