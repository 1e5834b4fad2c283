package endpoint

import "time"

// Answer is what one probe found.
type Answer string

// Answers. Refused is a clear word: nobody listens, or the server says that it is not ready. Silent is no answer in time, or one of somebody
// between. NotAllowed says nothing about the server: who probes may not ask.
const (
	Ready      Answer = "Ready"
	Refused    Answer = "Refused"
	Silent     Answer = "Silent"
	NotAllowed Answer = "NotAllowed"
)

// Result is one probe; Says is for people.
type Result struct {
	Answer Answer
	Says   string
}

// Streak is what a row of probes says of a server. The zero value is a server that was not asked yet.
type Streak struct {
	// Last is the last result, At when it came.
	Last Result
	At   time.Time
	// Since is when the server began to answer in a row, or to fail in a row.
	Since time.Time
	// Count is the length of the row.
	Count int
}

// silences is how many probes in a row without an answer make a server not ready.
const silences = 2

// Next is the streak after one more probe.
func (s Streak) Next(r Result, now time.Time) Streak {
	next := Streak{Last: r, At: now, Since: now, Count: 1}
	if s.Count > 0 && (s.Last.Answer == Ready) == (r.Answer == Ready) {
		next.Since, next.Count = s.Since, s.Count+1
	}
	return next
}

// Asked says whether there was a probe at all.
func (s Streak) Asked() bool { return s.Count > 0 }

// Down says that the server is taken for not ready.
func (s Streak) Down() bool {
	return s.Last.Answer == Refused || s.Asked() && s.Last.Answer != Ready && s.Count >= silences
}

// Up is for how long the server has answered in a row.
func (s Streak) Up(now time.Time) time.Duration {
	if s.Last.Answer != Ready {
		return 0
	}
	return now.Sub(s.Since)
}
