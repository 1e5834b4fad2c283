package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/slipway-dev/slipway/search/capacity"
)

// Print writes a report for people: the worst first, each with its arithmetic and with the requests that mend it as they can be typed. What is fine
// is counted, and listed where all is true. Names of the cluster come out as one line that a terminal shows and does not obey.
func Print(out io.Writer, r *Report, all bool) error {
	fmt.Fprintf(out, "%s  %s %s, %d nodes, %s shards, %s   %d will hurt, %d should change, %d not seen, %d checked and fine\n", oneLine(r.Cluster), r.Product, oneLine(r.Version),
		r.Nodes, capacity.Grouped(float64(r.Shards)), oneLine(r.Health), r.Count(Hurts), r.Count(Change), r.Count(Unknown), r.Count(Fine))
	for i, s := range r.Series {
		if i == maxSeries {
			fmt.Fprintf(out, "  and %d smaller series\n", len(r.Series)-i)
			break
		}
		fmt.Fprintf(out, "  %s  every %s, %d indices, newest %s, %s a day, %s docs/s\n", oneLine(s.Format), s.Every, s.Indices, oneLine(s.Newest),
			capacity.Size(s.PrimaryBytesPerDay), capacity.Grouped(s.DocsPerSecond))
	}
	for _, f := range r.Findings {
		if f.Severity != Fine || all {
			printFinding(out, f, r.TakenAt)
		}
	}
	_, err := fmt.Fprintf(out, "\nSeen %s. Nothing was changed.\n", r.TakenAt.Format("2006-01-02 15:04 MST"))
	return err
}

// maxSeries is how many series are listed.
const maxSeries = 5

func printFinding(out io.Writer, f Finding, now time.Time) {
	sign := map[Severity]string{Hurts: "✗", Change: "!", Unknown: "?", Fine: "✓"}[f.Severity]
	if f.Severity == Fine {
		fmt.Fprintf(out, "%s %s (%s)\n", sign, f.Says, f.Rule)
		return
	}
	fmt.Fprintf(out, "\n%s %s%s\n    rule: %s", sign, hurtsOn(f.HurtsAt, now), oneLine(f.Says), f.Rule)
	if f.Source != "" {
		fmt.Fprintf(out, " (%s)", oneLine(f.Source))
	}
	fmt.Fprintln(out)
	for _, s := range f.Sums {
		fmt.Fprintf(out, "    %s\n", oneLine(s.Text))
	}
	if len(f.Objects) > 0 {
		names := oneLine(strings.Join(f.Objects, ", "))
		if f.More > 0 {
			names += fmt.Sprintf(" and %d more", f.More)
		}
		fmt.Fprintf(out, "    %s\n", names)
	}
	if f.Fix != "" {
		fmt.Fprintf(out, "    fix: %s\n", oneLine(f.Fix))
	}
	for _, q := range f.Requests {
		fmt.Fprintf(out, "      %s\n", curl(q))
	}
}

// hurtsOn is the day in front of a finding; empty when it is now or not known.
func hurtsOn(at *time.Time, now time.Time) string {
	switch {
	case at == nil:
		return ""
	case at.Sub(now) < 24*time.Hour:
		return at.Format("15:04 MST: ")
	}
	return at.Format("2006-01-02: ")
}

// curl is a request as it can be typed. Names of a cluster are quoted: a shell would run what some of them say.
func curl(q Request) string {
	line := fmt.Sprintf(`curl -X %s "$URL"%s`, q.Method, shellQuoted(q.Path))
	if q.Body != "" {
		line += " -H 'Content-Type: application/json' -d " + shellQuoted(q.Body)
	}
	return line
}

func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(oneLine(text), "'", `'\''`) + "'"
}

// oneLine is text of a cluster without what a terminal would obey.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '?'
		}
		return r
	}, text)
}
