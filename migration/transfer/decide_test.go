package transfer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mib = 1 << 20

func ptr(v float64) *float64 { return &v }

func TestDecide(t *testing.T) {
	calm := Signals{PressurePercent: ptr(3), QueryMillis: ptr(11), IdleQueryMillis: ptr(10)}
	with := func(change func(*Signals)) Signals {
		s := calm
		change(&s)
		return s
	}
	tests := map[string]struct {
		rate, used int64
		s          Signals
		b          Budget
		next       int64
		cause      LimitCause
	}{
		"knows no limit where nothing is seen":                    {0, 500 * mib, Signals{}, Budget{}, 0, LimitedByNothing},
		"holds the ceiling where nothing is seen":                 {50 * mib, 50 * mib, Signals{}, Budget{Ceiling: 50 * mib}, 50 * mib, LimitedByCeiling},
		"says nothing of a ceiling that is not reached":           {50 * mib, 20 * mib, Signals{}, Budget{Ceiling: 50 * mib}, 50 * mib, LimitedByNothing},
		"raises by a tenth while all is calm":                     {100 * mib, 95 * mib, calm, Budget{}, 110 * mib, LimitedByGrowth},
		"raises by two MiB at least":                              {4 * mib, 4 * mib, calm, Budget{}, 6 * mib, LimitedByGrowth},
		"stops at the ceiling":                                    {100 * mib, 99 * mib, calm, Budget{Ceiling: 105 * mib}, 105 * mib, LimitedByCeiling},
		"raises nothing that is not used":                         {100 * mib, 40 * mib, calm, Budget{}, 100 * mib, LimitedByNothing},
		"halves when queries are slower than the budget":          {100 * mib, 90 * mib, with(func(s *Signals) { s.QueryMillis = ptr(12.1) }), Budget{}, 45 * mib, LimitedByQueryLatency},
		"takes 20 percent as the default, and holds near them":    {100 * mib, 90 * mib, with(func(s *Signals) { s.QueryMillis = ptr(12) }), Budget{}, 100 * mib, LimitedByQueryLatency},
		"has a wider budget where one is set":                     {100 * mib, 90 * mib, with(func(s *Signals) { s.QueryMillis = ptr(13.7) }), Budget{LatencyPercent: 50}, 110 * mib, LimitedByGrowth},
		"takes two milliseconds for noise":                        {100 * mib, 90 * mib, with(func(s *Signals) { s.QueryMillis, s.IdleQueryMillis = ptr(2.4), ptr(1) }), Budget{}, 110 * mib, LimitedByGrowth},
		"halves when the query fails":                             {100 * mib, 90 * mib, Signals{QueryFailed: true}, Budget{}, 45 * mib, LimitedByQueryLatency},
		"cuts under pressure":                                     {100 * mib, 100 * mib, with(func(s *Signals) { s.PressurePercent = ptr(41) }), Budget{}, 70 * mib, LimitedByPressure},
		"holds pressure against what was before":                  {100 * mib, 100 * mib, with(func(s *Signals) { s.PressurePercent, s.IdlePressurePercent = ptr(69), ptr(30) }), Budget{}, 110 * mib, LimitedByGrowth},
		"cuts where nearly everything waits, whatever was before": {100 * mib, 100 * mib, with(func(s *Signals) { s.PressurePercent, s.IdlePressurePercent = ptr(96), ptr(80) }), Budget{}, 70 * mib, LimitedByPressure},
		"begins when a signal appears":                            {0, 90 * mib, calm, Budget{}, 99 * mib, LimitedByGrowth},
		"puts queries before pressure":                            {100 * mib, 100 * mib, with(func(s *Signals) { s.PressurePercent, s.QueryMillis = ptr(90), ptr(99) }), Budget{}, 50 * mib, LimitedByQueryLatency},
		"looks at the disk where there is no pressure to see":     {100 * mib, 100 * mib, Signals{AwaitMillis: ptr(80), UtilisationPercent: ptr(50)}, Budget{}, 70 * mib, LimitedByAwait},
		"looks at how busy the disk is":                           {100 * mib, 100 * mib, Signals{AwaitMillis: ptr(8), UtilisationPercent: ptr(95)}, Budget{}, 80 * mib, LimitedByUtilisation},
		"believes pressure before the disk's counters":            {100 * mib, 100 * mib, with(func(s *Signals) { s.AwaitMillis, s.UtilisationPercent = ptr(80), ptr(99) }), Budget{}, 110 * mib, LimitedByGrowth},
		"cuts what was used, not what was allowed":                {1000 * mib, 100 * mib, Signals{PressurePercent: ptr(90)}, Budget{}, 70 * mib, LimitedByPressure},
		"never goes below the floor":                              {6 * mib, 4 * mib, Signals{QueryFailed: true}, Budget{}, 4 * mib, LimitedByQueryLatency},
		"never goes below a floor that was set":                   {9 * mib, 9 * mib, Signals{QueryFailed: true}, Budget{Floor: 8 * mib}, 8 * mib, LimitedByQueryLatency},
		"never goes above the ceiling for the sake of the floor":  {mib / 2, mib / 2, Signals{QueryFailed: true}, Budget{Ceiling: mib / 2}, mib / 2, LimitedByQueryLatency},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			next, cause := Decide(test.rate, test.used, true, test.s, test.b)
			if next != test.next || cause != test.cause {
				t.Errorf("%d MiB/s by %s, want %d by %s", next/mib, cause, test.next/mib, test.cause)
			}
		})
	}
}

func TestDecideDoublesUntilSomethingSuffers(t *testing.T) {
	rate, seen := int64(start), []int64{}
	for range 4 {
		rate, _ = Decide(rate, rate, false, Signals{PressurePercent: ptr(3)}, Budget{Ceiling: 100 * mib})
		seen = append(seen, rate/mib)
	}
	if diff := cmp.Diff([]int64{32, 64, 100, 100}, seen); diff != "" {
		t.Errorf("MiB/s (-want +got):\n%s", diff)
	}
}

// TestDecideFindsWhatTheServerBears closes the loop over a server whose query becomes slower with every byte per second
// that is read beside it: 20 percent at 200 MiB/s.
func TestDecideFindsWhatTheServerBears(t *testing.T) {
	const bears, disk = 200 * mib, 1000 * mib
	rate, cut := int64(start), false
	var sum, over int64
	const steps, warm = 400, 100
	for i := range steps {
		used := min(rate, disk)
		latency := 10 * (1 + 0.2*float64(used)/bears)
		next, _ := Decide(rate, used, cut, Signals{QueryMillis: &latency, IdleQueryMillis: ptr(10)}, Budget{})
		cut = cut || next < rate
		if i >= warm {
			sum += used
			if used > bears {
				over++
			}
		}
		rate = next
	}
	mean := sum / (steps - warm)
	t.Logf("%d MiB/s of %d on average, over the budget in %d of %d seconds", mean/mib, bears/mib, over, steps-warm)
	if mean < bears*6/10 || over > (steps-warm)/100 {
		t.Errorf("%d MiB/s of %d on average, over the budget in %d of %d seconds", mean/mib, bears/mib, over, steps-warm)
	}
}
