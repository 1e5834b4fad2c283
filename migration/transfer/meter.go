package transfer

import (
	"sync"
	"sync/atomic"
	"time"
)

// meter counts bytes and says how many a second lately.
type meter struct {
	bytes atomic.Int64

	mu      sync.Mutex
	marks   [2]mark // the older is at least five seconds back, once there is one
	started bool
}

type mark struct {
	at    time.Time
	bytes int64
}

func (m *meter) add(n int) { m.bytes.Add(int64(n)) }

func (m *meter) total() int64 { return m.bytes.Load() }

// rate is the average over the last five to ten seconds in which it was asked for.
func (m *meter) rate(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	current := mark{now, m.total()}
	if !m.started {
		m.started = true
		m.marks = [2]mark{current, current}
		return 0
	}
	if now.Sub(m.marks[1].at) >= 5*time.Second {
		m.marks = [2]mark{m.marks[1], current}
	}
	took := now.Sub(m.marks[0].at).Seconds()
	if took <= 0 {
		return 0
	}
	return int64(float64(current.bytes-m.marks[0].bytes) / took)
}
