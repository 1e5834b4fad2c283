package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/slipway-dev/slipway/search/capacity"
)

// PrintOptions say what is printed, and how requests are to be typed.
type PrintOptions struct {
	// All lists what is fine too.
	All bool
	// URL is the address in front of the paths of requests; empty leaves it to the variable $URL.
	URL string
	// Curl are words behind curl, as -u and a user.
	Curl []string
}

// Print writes a report for people: the worst first, each with its arithmetic and with the requests that mend it as they can be typed. What is fine
// is counted, and listed where all is asked for. Names of the cluster come out as one line that a terminal shows and does not obey.
func Print(out io.Writer, r *Report, o PrintOptions) error {
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
		if f.Severity == Hurts || f.Severity == Change {
			o.finding(out, f, r.TakenAt)
		}
	}
	printUnknown(out, r.Findings)
	if o.All {
		fmt.Fprintln(out)
	}
	for _, f := range r.Findings {
		if f.Severity == Fine && o.All {
			fmt.Fprintf(out, "✓ %s (%s)\n", f.Says, f.Rule)
		}
	}
	_, err := fmt.Fprintf(out, "\nSeen %s. Nothing was changed.\n", r.TakenAt.Format("2006-01-02 15:04 MST"))
	return err
}

// maxSeries is how many series are listed.
const maxSeries = 5

func (o PrintOptions) finding(out io.Writer, f Finding, now time.Time) {
	sign := map[Severity]string{Hurts: "✗", Change: "!"}[f.Severity]
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
		fmt.Fprintf(out, "      %s\n", o.curl(q))
	}
}

// printUnknown tells each thing that could not be seen once, with all rules that need it.
func printUnknown(out io.Writer, findings []Finding) {
	var order []string
	rules := map[string][]string{}
	for _, f := range findings {
		if f.Severity != Unknown {
			continue
		}
		if rules[f.Says] == nil {
			order = append(order, f.Says)
		}
		rules[f.Says] = append(rules[f.Says], f.Rule)
	}
	for _, says := range order {
		fmt.Fprintf(out, "\n? %s\n    not judged: %s\n", oneLine(says), strings.Join(rules[says], ", "))
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
func (o PrintOptions) curl(q Request) string {
	line := "curl"
	for _, word := range o.Curl {
		line += " " + quotedWhereNeeded(word)
	}
	line += " -X " + q.Method
	if o.URL == "" {
		line += ` "$URL"` + shellQuoted(q.Path)
	} else {
		line += " " + shellQuoted(strings.TrimRight(o.URL, "/")+q.Path)
	}
	if q.Body != "" {
		line += " -H 'Content-Type: application/json' -d " + shellQuoted(q.Body)
	}
	return line
}

// quotedWhereNeeded leaves plain words as people type them.
func quotedWhereNeeded(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@") == "" {
		return text
	}
	return shellQuoted(text)
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
