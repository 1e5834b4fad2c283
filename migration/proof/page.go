package proof

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"time"
)

//go:embed page.html
var pageText string

// WritePage writes the report as one page for people, which needs nothing else: no script, no other file.
func (r *Report) WritePage(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"time": stampAt, "number": number, "took": took,
		"utc": func(t time.Time) string { return t.Format("2006-01-02 15:04:05 UTC") },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the template of the page: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// took is a time of seconds for people; what took no millisecond says so.
func took(seconds float64) string {
	if seconds < 0.001 {
		return "<1ms"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

// Details says that a check has more to tell than its line in the table.
func (c *Check) Details() bool {
	return len(c.Numbers)+len(c.Findings)+len(c.Notes)+len(c.Timings) > 0
}

// SideRow is one line about both servers.
type SideRow struct{ Name, Source, Target string }

// SideRows tell of both servers side by side.
func (r *Report) SideRows() []SideRow {
	rows := []SideRow{{Name: "address"}, {Name: "version"}, {Name: "blocks"}, {Name: "oldest sample"}, {Name: "head"}, {Name: "was asked"}, {Name: "slowest answer"}}
	for i, name := range []string{"source", "target"} {
		side, load := r.Sides()[name], r.Load[name]
		texts := []string{"did not answer", "", "", "", "", fmt.Sprintf("%d times, %s", load.Requests, amount(load.Bytes)), took(load.SecondsMax)}
		if side != nil {
			copy(texts, []string{side.URL, side.Version, strconv.Itoa(side.Blocks), stamp(side.Lowest), stamp(side.HeadMin) + " to " + stamp(side.HeadMax)})
		}
		if load.Requests == 0 {
			texts[5], texts[6] = "", ""
		}
		for k := range rows {
			if i == 0 {
				rows[k].Source = texts[k]
			} else {
				rows[k].Target = texts[k]
			}
		}
	}
	return rows
}

// amount is a number of bytes for people.
func amount(n int64) string {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n >= 1<<unit.shift {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(int64(1)<<unit.shift), unit.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// stampAt takes times as the report has them, some of them absent.
func stampAt(v any) string {
	switch t := v.(type) {
	case int64:
		return stamp(t)
	case *int64:
		if t != nil {
			return stamp(*t)
		}
	}
	return ""
}

func number(v float64) string {
	if v == float64(int64(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
