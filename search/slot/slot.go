package slot

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image without a system has no time zone database
)

// Unit is what slots are counted in.
type Unit string

// Units. Weeks are those of ISO 8601: they begin on Monday, and the first one of a year holds its first Thursday.
const (
	Hours Unit = "Hours"
	Day   Unit = "Day"
	Week  Unit = "Week"
	Month Unit = "Month"
)

// Options say how names are made.
type Options struct {
	// Format is the name with its time in braces: game-log-{yyyy.MM.dd.HH}.
	Format string
	// Hours is the length of a slot whose name has an hour: 1 (default), 2, 3, 4, 6, 8 or 12. Others take their length from the format.
	Hours int
	// TimeZone is a name of the time zone database; UTC where it is empty.
	TimeZone string
	// Near is a time near to which the zone must keep its clock: three years before it, ten after it. It must be given for a zone but UTC.
	Near time.Time
}

// Pattern reads and makes names.
type Pattern struct {
	format string
	pieces []piece
	unit   Unit
	hours  int
	zone   *time.Location // of one offset
	named  string
}

// Slot is a span of time that one index holds: from Start up to End.
type Slot struct {
	Start, End time.Time
}

// Hours is the length of a slot.
func (s Slot) Hours() float64 { return s.End.Sub(s.Start).Hours() }

// New checks how names are made.
func New(o Options) (*Pattern, error) {
	pieces, err := parseFormat(o.Format)
	if err != nil {
		return nil, err
	}
	unit, err := unitOf(pieces)
	if err != nil {
		return nil, fmt.Errorf("format %q: %w", o.Format, err)
	}
	if o.Hours == 0 {
		o.Hours = 1
	}
	switch {
	case unit != Hours && o.Hours != 1:
		return nil, fmt.Errorf("format %q has no hour (HH): slots of %d hours cannot be told apart", o.Format, o.Hours)
	case o.Hours < 1 || o.Hours > 12 || 24%o.Hours != 0:
		return nil, fmt.Errorf("slots of %d hours: use 1, 2, 3, 4, 6, 8 or 12, so that every day has the same ones, or a format without HH for days", o.Hours)
	}
	p := &Pattern{format: o.Format, pieces: pieces, unit: unit, hours: o.Hours}
	if p.zone, p.named, err = fixedZone(o.TimeZone, o.Near); err != nil {
		return nil, err
	}
	return p, nil
}

// fixedZone is the zone as one offset, and its name.
func fixedZone(name string, near time.Time) (*time.Location, string, error) {
	if name == "" || name == "UTC" {
		return time.UTC, "UTC", nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, "", fmt.Errorf("timeZone %q is no name of the time zone database such as Asia/Shanghai", name)
	}
	if near.IsZero() {
		return nil, "", fmt.Errorf("timeZone %s: nobody said near to which time its clock must be steady", name)
	}
	from, to := near.AddDate(-3, 0, 0).In(zone), near.AddDate(10, 0, 0)
	if _, end := from.ZoneBounds(); !end.IsZero() && end.Before(to) {
		return nil, "", fmt.Errorf("timeZone %s changes its clock (at %s): one hour a year has no name and one has the name of another. Name slots in UTC",
			name, end.UTC().Format(time.RFC3339))
	}
	_, offset := near.In(zone).Zone()
	return time.FixedZone(name, offset), name, nil
}

// Format is the format that the pattern was made of.
func (p *Pattern) Format() string { return p.format }

// Unit is what slots are counted in.
func (p *Pattern) Unit() Unit { return p.unit }

// Zone is the name of the zone that names are in.
func (p *Pattern) Zone() string { return p.named }

// Wildcard matches all names of the pattern, and more: game-log-*.
func (p *Pattern) Wildcard() string {
	return p.pieces[0].text + "*" + p.pieces[len(p.pieces)-1].text
}

// Every says in words how long a slot is.
func (p *Pattern) Every() string {
	switch {
	case p.unit == Hours && p.hours > 1:
		return fmt.Sprintf("%d hours", p.hours)
	case p.unit == Hours:
		return "hour"
	}
	return strings.ToLower(string(p.unit))
}

// Parse reads the slot of a name. The error says what does not fit.
func (p *Pattern) Parse(name string) (Slot, error) {
	values, err := p.values(name)
	if err != nil {
		return Slot{}, err
	}
	var start time.Time
	if p.unit == Week {
		if start, err = weekStart(values[weekYear], values[week], p.zone); err != nil {
			return Slot{}, fmt.Errorf("%q: %w", name, err)
		}
	} else {
		if p.unit == Month {
			values[day] = 1
		}
		start = time.Date(values[year], time.Month(values[month]), values[day], values[hour], 0, 0, 0, p.zone)
		if y, m, d := start.Date(); y != values[year] || int(m) != values[month] || d != values[day] || start.Hour() != values[hour] {
			return Slot{}, fmt.Errorf("%q: there is no such day or hour", name)
		}
		if values[hour]%p.hours != 0 {
			return Slot{}, fmt.Errorf("%q: no slot of %d hours begins at hour %02d", name, p.hours, values[hour])
		}
	}
	return Slot{Start: start, End: p.end(start)}, nil
}

func (p *Pattern) values(name string) (map[field]int, error) {
	values, rest := map[field]int{}, name
	for _, piece := range p.pieces {
		if piece.field.digits == 0 {
			left, ok := strings.CutPrefix(rest, piece.text)
			if !ok {
				return nil, fmt.Errorf("%q is not of the form %s: %q where %q should stand", name, p.format, rest, piece.text)
			}
			rest = left
			continue
		}
		n, ok := digits(rest, piece.field.digits)
		if !ok {
			return nil, fmt.Errorf("%q is not of the form %s: %q where %s should stand", name, p.format, rest, piece.field.letters)
		}
		values[piece.field], rest = n, rest[piece.field.digits:]
	}
	if rest != "" {
		return nil, fmt.Errorf("%q is not of the form %s: %q is too much", name, p.format, rest)
	}
	return values, nil
}

func digits(text string, n int) (int, bool) {
	if len(text) < n {
		return 0, false
	}
	for _, c := range []byte(text[:n]) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	value, err := strconv.Atoi(text[:n])
	return value, err == nil
}

// weekStart is the Monday of a week of ISO 8601.
func weekStart(y, w int, zone *time.Location) (time.Time, error) {
	fourth := time.Date(y, time.January, 4, 0, 0, 0, 0, zone) // always within the first week
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7+(w-1)*7)
	if gotYear, gotWeek := monday.ISOWeek(); gotYear != y || gotWeek != w {
		return time.Time{}, fmt.Errorf("%d has no week %d", y, w)
	}
	return monday, nil
}

func (p *Pattern) end(start time.Time) time.Time {
	switch p.unit {
	case Hours:
		return start.Add(time.Duration(p.hours) * time.Hour)
	case Day:
		return start.AddDate(0, 0, 1)
	case Week:
		return start.AddDate(0, 0, 7)
	}
	return start.AddDate(0, 1, 0)
}

// At is the slot that a moment lies in.
func (p *Pattern) At(at time.Time) Slot {
	at = at.In(p.zone)
	y, m, d := at.Date()
	h := 0
	switch p.unit {
	case Hours:
		h = at.Hour() / p.hours * p.hours
	case Week:
		d -= (int(at.Weekday()) + 6) % 7
	case Month:
		d = 1
	}
	start := time.Date(y, m, d, h, 0, 0, 0, p.zone)
	return Slot{Start: start, End: p.end(start)}
}

// Next lists the slots after the one that a moment lies in.
func (p *Pattern) Next(at time.Time, n int) []Slot {
	s := p.At(at)
	var next []Slot
	for range n {
		s = p.At(s.End)
		next = append(next, s)
	}
	return next
}

// Name is the index of a slot.
func (p *Pattern) Name(s Slot) string {
	start := s.Start.In(p.zone)
	isoYear, isoWeek := start.ISOWeek()
	values := map[field]int{year: start.Year(), month: int(start.Month()), day: start.Day(), hour: start.Hour(), weekYear: isoYear, week: isoWeek}
	var b strings.Builder
	for _, piece := range p.pieces {
		if piece.field.digits == 0 {
			b.WriteString(piece.text)
		} else {
			fmt.Fprintf(&b, "%0*d", piece.field.digits, values[piece.field])
		}
	}
	return b.String()
}
