package lifecycle

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/slipway-dev/slipway/search/capacity"
)

// maxListed is how many steps and holds are listed where not all are asked for.
const maxListed = 20

// Print writes a plan for people: what refuses, what the policy means, what is done now and what is held by which rule. all lists every slot.
func Print(out io.Writer, p *Plan, all bool) error {
	fmt.Fprintf(out, "%s on %s, %s: %d slots, %d steps now\n", oneLine(p.Lifecycle), oneLine(p.Cluster), p.At.Format("2006-01-02 15:04 MST"), len(p.Slots), len(p.Steps))
	for _, r := range p.Refusals {
		sign := "✗ refused"
		if r.Overridden {
			sign = "! overridden"
		}
		fmt.Fprintf(out, "%s by %s: %s\n", sign, r.Rule, oneLine(r.Says))
		for _, s := range r.Sums {
			fmt.Fprintf(out, "    %s\n", oneLine(s.Text))
		}
		if r.Fix != "" && !r.Overridden {
			fmt.Fprintf(out, "    fix: %s\n", oneLine(r.Fix))
		}
	}
	fmt.Fprintln(out, "\nwhat the policy means")
	for _, s := range p.Sums {
		fmt.Fprintf(out, "  %s\n", oneLine(s.Text))
	}
	for _, text := range p.Exposure {
		fmt.Fprintf(out, "  %s\n", oneLine(text))
	}
	for _, text := range p.Ways {
		fmt.Fprintf(out, "  %s\n", oneLine(text))
	}
	fmt.Fprintf(out, "  %s\n", p.Backlog)
	printSteps(out, p, all)
	printHolds(out, p, all)
	_, err := fmt.Fprintln(out, "\nNothing was changed.")
	return err
}

func printSteps(out io.Writer, p *Plan, all bool) {
	if len(p.Steps) == 0 {
		return
	}
	fmt.Fprintln(out, "\nnow")
	for i, s := range p.Steps {
		if i == maxListed && !all {
			fmt.Fprintf(out, "  and %d more\n", len(p.Steps)-i)
			break
		}
		phase := s.Phase
		if phase == "" {
			phase = "slots"
		}
		fmt.Fprintf(out, "  %s  %s  %s\n", oneLine(s.Index), phase, oneLine(s.Says))
		if s.Because != "" {
			fmt.Fprintf(out, "      because %s\n", oneLine(s.Because))
		}
	}
}

func printHolds(out io.Writer, p *Plan, all bool) {
	holds, listed := 0, 0
	for _, h := range p.ahead {
		fmt.Fprintf(out, "\nslots held by %s: %s%s\n", h.Rule, oneLine(h.Says), freeAt(&h))
	}
	for i := range p.Slots {
		s := &p.Slots[i]
		if s.Hold == nil {
			continue
		}
		if holds++; holds == 1 {
			fmt.Fprintln(out, "\nheld")
		}
		if listed < maxListed || all {
			fmt.Fprintf(out, "  %s  %s: %s%s\n", oneLine(s.Index), s.Hold.Rule, oneLine(s.Hold.Says), freeAt(s.Hold))
			listed++
		}
	}
	if holds > listed {
		fmt.Fprintf(out, "  and %d more\n", holds-listed)
	}
}

func freeAt(h *Hold) string {
	if h.FreeAt == nil {
		return ""
	}
	return "; free at " + h.FreeAt.UTC().Format("2006-01-02 15:04 MST")
}

// Explain writes where one index stands: what was done, what comes next, when, and which rule holds it.
func Explain(out io.Writer, s *Standing, now time.Time) error {
	end := s.End.Format("15:04 MST")
	if s.End.Sub(s.Start) >= 24*time.Hour {
		end = s.End.Format("2006-01-02 15:04 MST")
	}
	fmt.Fprintf(out, "%s   slot %s–%s, %.0f h old, %s, %d shards × %d copies\n", oneLine(s.Index), s.Start.Format("2006-01-02 15:04"), end, now.Sub(s.End).Hours(),
		capacity.BytesText(float64(s.Bytes)), s.Primaries, 1+s.Replicas)
	if s.On != s.Index {
		fmt.Fprintf(out, "  the data are in %s\n", oneLine(s.On))
	}
	signs := map[PhaseState]string{Done: "✓", Skipped: "–", Now: "⟳", Held: "⟳", Waiting: "·", Later: "·"}
	for _, p := range s.Phases {
		fmt.Fprintf(out, "  %s %-12s %-10s ", signs[p.State], p.Phase, p.Kind)
		fmt.Fprint(out, s.phrase(p))
		fmt.Fprintln(out)
	}
	if s.Step != nil && s.Step.Because != "" {
		fmt.Fprintf(out, "  because %s\n", oneLine(s.Step.Because))
	}
	_, err := fmt.Fprintln(out)
	return err
}

// phrase says where a phase stands, behind its name.
func (s *Standing) phrase(p PhaseStanding) string {
	due := p.Due.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case p.State == Done && p.At != nil:
		return p.At.UTC().Format("2006-01-02 15:04 MST") + "  " + oneLine(p.Says)
	case p.State == Done:
		return "as the cluster shows"
	case p.State == Skipped:
		return "left out: " + oneLine(p.Says)
	case p.State == Waiting:
		return "due since " + due + ", behind what is not done"
	case p.State == Later:
		return "due " + due
	case p.State == Held && s.Hold != nil:
		return fmt.Sprintf("held by %s: %s%s", s.Hold.Rule, oneLine(s.Hold.Says), freeAt(s.Hold))
	case s.Step != nil:
		return "now: " + oneLine(s.Step.Says)
	}
	return "due since " + due
}

// oneLine shows what a cluster calls its things as one line that a terminal does not obey.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}
