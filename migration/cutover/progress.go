package cutover

import (
	"errors"
	"time"
)

// Progress is how far a cutover, its rollback or its end is: one line of --progress json. The last line of a command that has come to an end has
// Done, NeedsApproval or Stop; one that was interrupted has none.
type Progress struct {
	Time time.Time `json:"time"`
	// Step is the one that is worked on, or the rule that finalize looks at; empty in the end.
	Step string `json:"step"`
	// State is that of the whole; Steps are all of them in their order.
	State Phase          `json:"state"`
	Steps []StepProgress `json:"steps"`
	// Says is what is done now, Waits what is waited for.
	Says  string   `json:"says,omitempty"`
	Waits []string `json:"waits"`
	// Wants is what the target's configuration is to become, by who writes it (reloadBy Declared): AlertingOn, RemoteWriteOn, Off.
	Wants Wants `json:"wants,omitempty"`
	// NeedsApproval is the edit of the source that a person has to allow, Diff what it would change, with secrets masked.
	NeedsApproval string `json:"needsApproval,omitempty"`
	Diff          string `json:"diff,omitempty"`
	Stop          *Stop  `json:"stop,omitempty"`
	// Findings and SwitchOff are what finalize found; SwitchOff also what is left after a rollback.
	Findings  []Finding     `json:"findings,omitempty"`
	SwitchOff []SwitchedOff `json:"switchOff,omitempty"`
	Done      bool          `json:"done"`
}

// Stop is why a command ended before its end.
type Stop struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// StepProgress is one step.
type StepProgress struct {
	Step    string `json:"step"`
	Subject string `json:"subject,omitempty"`
	Phase   Phase  `json:"phase"`
}

// RuleFailed is the rule of a stop that is an error and no refusal: a server that does not answer, a file that cannot be written.
const RuleFailed = "a_step_did_not_work"

func (r *runner) line(step string) Progress {
	p := Progress{Time: r.now().UTC().Truncate(time.Second), Step: step, State: Planned, Steps: []StepProgress{}, Waits: []string{}, Wants: r.wants}
	if r.state == nil {
		return p
	}
	p.State = r.state.Phase
	for _, rec := range r.state.Steps {
		p.Steps = append(p.Steps, StepProgress{rec.Step, rec.Subject, rec.Phase})
	}
	return p
}

// does says what is done now.
func (r *runner) does(step, text string) {
	r.Progress(step, text)
	if r.Report != nil {
		p := r.line(step)
		p.Says = text
		r.Report(p)
	}
}

// waits says what is waited for.
func (r *runner) waits(step, text string) {
	r.Progress(step, "waiting for "+text)
	if r.Report != nil {
		p := r.line(step)
		p.Waits = append(p.Waits, text)
		r.Report(p)
	}
}

// end says how the command ended.
func (r *runner) end(rep *Report, err error) {
	if r.Report == nil {
		return
	}
	p := r.line("")
	if rep != nil {
		p.Findings, p.SwitchOff = rep.Finds, rep.Off
	}
	var refusal *Refusal
	switch {
	case err == nil:
		p.Done = true
	case errors.As(err, &refusal) && refusal.Rule == RuleApproved:
		p.Step, p.NeedsApproval, p.Diff = refusal.Step, refusal.Step, refusal.Diff
		p.Waits = append(p.Waits, "a person to approve "+refusal.Step)
	case refusal != nil:
		p.Stop = &Stop{refusal.Rule, err.Error()}
	default:
		p.Stop = &Stop{RuleFailed, err.Error()}
	}
	r.Report(p)
}
