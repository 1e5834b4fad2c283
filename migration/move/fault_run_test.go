//go:build engine || lab

package move

import (
	"strings"

	"github.com/slipway-dev/slipway/migration/proof"
)

// fault is something that goes wrong in the middle of a copy, and how the move ends.
type fault struct {
	how faultOptions
	old func(s *site) *old // the old server, where it is not the one of all others
	// answers and questions are what happens on the link, to what the agent sends and to what it is sent.
	answers, questions func(f *faulty) []harm
	// killed is how often migrate is killed, and run again.
	killed int
	// stops is the rule of the first run's stop, says are words of it; empty: it proves.
	stops string
	says  []string
	// mend is done before the next run.
	mend func(f *faulty)
	// staged happens once, when the whole past is staged and the seam is waited for; installed when all is and nothing is compared yet.
	staged, installed func(f *faulty)
	// excused are failures of users that nobody could keep from them.
	excused func(error) bool
	notes   string // is noted at the end
}

// through runs a move through a fault.
func (f *faulty) through(row fault) {
	f.t.Helper()
	if row.answers != nil {
		f.link.answers = row.answers(f)
	}
	if row.questions != nil {
		f.link.questions = row.questions(f)
	}
	if row.staged != nil {
		f.onStaged = func() { row.staged(f) }
	}
	if row.installed != nil {
		f.onProof = func() { row.installed(f) }
	}
	f.users.excuse(row.excused)
	last, killed := f.move()
	for ; killed && row.killed > 0; row.killed-- {
		last, killed = f.move()
	}
	if row.stops != "" {
		f.stopped(last, row)
		row.mend(f)
		last, killed = f.move()
	}
	if killed || !last.Done || last.Proof == nil || last.Proof.Verdict != proof.Proved || row.killed > 0 {
		f.t.Fatalf("it ended with %+v\n%s", last, tailOf(f.said.String()))
	}
	if done, left := f.link.harmed(); left > 0 {
		f.t.Errorf("%d harms came, %d did not", done, left)
	}
	if !strings.Contains(strings.Join(last.Notes, "\n"), row.notes) {
		f.t.Errorf("nobody was told %q: %q", row.notes, last.Notes)
	}
	f.check()
}

func tailOf(text string) string { return text[max(0, len(text)-3000):] }

// stopped wants the stop of a row.
func (f *faulty) stopped(last Progress, row fault) {
	f.t.Helper()
	if last.Stop == nil || last.Stop.Rule != row.stops {
		f.t.Fatalf("want the stop %s, it ended with %+v, %+v\n%s", row.stops, last.Stop, last, tailOf(f.said.String()))
	}
	for _, want := range row.says {
		if !strings.Contains(last.Stop.Text, want) {
			f.t.Errorf("the stop does not say %q: %s", want, last.Stop.Text)
		}
	}
	f.t.Logf("stops: %s", last.Stop)
}
