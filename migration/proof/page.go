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
		"time": stampAt, "number": number, "took": func(s float64) string {
			return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
		},
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
