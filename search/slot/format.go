package slot

import (
	"errors"
	"fmt"
	"strings"
)

// field is a part of a time in a name. The letters are those of Joda and java.time, which Logstash, Elasticsearch and people use.
type field struct {
	letters string
	digits  int
}

var (
	year     = field{"yyyy", 4}
	month    = field{"MM", 2}
	day      = field{"dd", 2}
	hour     = field{"HH", 2}
	weekYear = field{"xxxx", 4}
	week     = field{"ww", 2}
)

func fields() []field { return []field{year, month, day, hour, weekYear, week} }

// piece is a field, or text that stands as it is.
type piece struct {
	field field
	text  string
}

// parseFormat splits game-log-{yyyy.MM.dd.HH} into pieces. One pair of braces holds all fields.
func parseFormat(format string) ([]piece, error) {
	before, rest, ok := strings.Cut(format, "{")
	within, after, closed := strings.Cut(rest, "}")
	if !ok || !closed || strings.ContainsAny(within+after, "{") || strings.Contains(before+after, "}") {
		return nil, fmt.Errorf("format %q needs one pair of braces around the time, such as game-log-{yyyy.MM.dd.HH}", format)
	}
	pieces := []piece{{text: before}}
	for within != "" {
		p, left, err := nextPiece(within)
		if err != nil {
			return nil, fmt.Errorf("format %q: %w", format, err)
		}
		pieces, within = append(pieces, p), left
	}
	pieces = append(pieces, piece{text: after})
	return pieces, checkLiterals(format, pieces)
}

func nextPiece(text string) (piece, string, error) {
	for _, f := range fields() {
		if left, ok := strings.CutPrefix(text, f.letters); ok {
			return piece{field: f}, left, nil
		}
	}
	if c := text[0]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return piece{}, "", fmt.Errorf("%q begins with no field: use yyyy, MM, dd, HH, or xxxx and ww for weeks", text)
	}
	return piece{text: text[:1]}, text[1:], nil
}

// checkLiterals holds the text of a format against the rules for names of indices (create index API of both products).
func checkLiterals(format string, pieces []piece) error {
	length := 0
	for i, p := range pieces {
		length += len(p.text) + p.field.digits
		if bad := strings.IndexFunc(p.text, forbidden); bad >= 0 {
			return fmt.Errorf("format %q: %q may not be in the name of an index", format, p.text[bad:])
		}
		if i == 0 && (p.text == "" || strings.HasPrefix(p.text, "-") || strings.HasPrefix(p.text, "_") || strings.HasPrefix(p.text, "+")) {
			return fmt.Errorf("format %q: a name needs a text before the time, and not one that begins with -, _ or +", format)
		}
	}
	if length > 255 {
		return fmt.Errorf("format %q: names would have %d bytes, an index has 255 at most", format, length)
	}
	return nil
}

func forbidden(r rune) bool {
	return r < '!' || r == 0x7f || r >= 'A' && r <= 'Z' || strings.ContainsRune(`\/*?"<>|,#:`, r)
}

// unitOf says what a format counts in, and refuses fields that are missing, twice or too many.
func unitOf(pieces []piece) (Unit, error) {
	count := map[field]int{}
	for _, p := range pieces {
		if p.field.digits > 0 {
			count[p.field]++
		}
	}
	for f, n := range count {
		if n > 1 {
			return "", fmt.Errorf("%s stands there %d times", f.letters, n)
		}
	}
	has := func(all ...field) bool {
		for _, f := range all {
			if count[f] == 0 {
				return false
			}
		}
		return len(count) == len(all)
	}
	switch {
	case has(year, month, day, hour):
		return Hours, nil
	case has(year, month, day):
		return Day, nil
	case has(weekYear, week):
		return Week, nil
	case has(year, month):
		return Month, nil
	}
	return "", errors.New("the time is not whole: use yyyy, MM, dd and HH for hours, yyyy, MM and dd for days, xxxx and ww for weeks, yyyy and MM for months")
}
