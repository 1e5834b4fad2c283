package plan

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

// String prints the plan for people, in the same words as the conditions.
func (p Plan) String() string {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// Write prints the plan as String does.
func (p Plan) Write(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s: %s: %s\n", p.Cluster, p.State, p.Message); err != nil {
		return err
	}
	if len(p.Steps) > 0 {
		if err := p.writeSteps(w); err != nil {
			return err
		}
	}
	for _, r := range p.Refusals {
		mark := "held back"
		if r.Human {
			mark = "needs a person"
		}
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", mark, r.Rule, r.Message); err != nil {
			return err
		}
	}
	for _, rule := range p.Overridden {
		if _, err := fmt.Fprintf(w, "overridden: %s\n", rule); err != nil {
			return err
		}
	}
	return nil
}

func (p Plan) writeSteps(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if _, err := fmt.Fprintln(tw, "STEP\tWHAT\tWHY"); err != nil {
		return err
	}
	for _, s := range p.Steps {
		what, why := s.words()
		if _, err := fmt.Fprintf(tw, "%s\t%s\t%s\n", s.Kind, what, why); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// words are what a step does and why.
func (s Step) words() (what, why string) {
	switch s.Kind {
	case StepSetPhase:
		what = s.Machine + " " + string(s.Phase)
		if s.Attempts > 0 {
			why = fmt.Sprintf("%s failed", count(s.Attempts, "attempt"))
		}
		return what, why
	case StepCreateOperation:
		why = s.Reason
		if s.RetryOf != "" {
			why += " (retry of " + s.RetryOf + ")"
		}
		return fmt.Sprintf("%s on %s", s.EntryPoint, list(s.Machines)), why
	case StepCancelOperation:
		return s.Operation, s.Message
	case StepQuarantine:
		return s.Machine + " " + s.Reason, s.Message
	case StepMarkLeaving:
		return s.Machine + " " + string(s.Release), s.Message
	case StepWait:
		if s.AfterSeconds > 0 {
			what = fmt.Sprintf("%d s", s.AfterSeconds)
		}
		return what, s.Message
	}
	return s.Machine, s.Message
}
