package slot

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Series is indices whose names differ by their slot alone.
type Series struct {
	Pattern *Pattern
	// Members by their slot, the oldest first.
	Members []Member
}

// Member is one index of a series.
type Member struct {
	Name string
	Slot
}

// Newest is the member of the latest slot.
func (s *Series) Newest() Member { return s.Members[len(s.Members)-1] }

// dated finds a time in a name: a year, then up to three more numbers with separators between them, or with none.
var dated = regexp.MustCompile(`^(.*?[^0-9])((?:19|20)\d\d)([._-]?)(\d\d)(?:([._-]?)(\d\d)(?:([._-]?)(\d\d))?)?([^0-9].*)?$`)

// rolled are indices that a rollover counts: they are written through an alias and have no slot.
var rolled = regexp.MustCompile(`-\d{6}(?:[^0-9].*)?$`)

// Find finds the series in the names of a cluster, by their names; each has two members or more. Slots of several hours are told from the hours
// that occur. zone is the zone that names are in; near is about now.
func Find(names []string, zone string, near time.Time) ([]*Series, error) {
	if _, _, err := fixedZone(zone, near); err != nil {
		return nil, err
	}
	byFormat := map[string][]string{}
	for _, name := range names {
		if format, ok := formatOf(name); ok {
			byFormat[format] = append(byFormat[format], name)
		}
	}
	joinWeeks(byFormat)
	var all []*Series
	for format, of := range byFormat {
		if s := series(format, of, Options{Format: format, TimeZone: zone, Near: near}); s != nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *Series) int { return cmp.Compare(a.Pattern.format, b.Pattern.format) })
	return all, nil
}

// formatOf is the format that a name seems to follow.
func formatOf(name string) (string, bool) {
	m := dated.FindStringSubmatch(name)
	if m == nil || rolled.MatchString(name) {
		return "", false
	}
	before, first, after := m[1], m[3], m[9]
	switch {
	case m[6] == "" && first == "": // 202611 may be anything
		return "", false
	case m[6] == "" && m[4] > "12":
		return weekly(before, first, after), true
	case m[6] == "":
		return monthly(before, first, after), true
	case m[8] == "":
		return before + "{yyyy" + first + "MM" + m[5] + "dd}" + after, true
	}
	return before + "{yyyy" + first + "MM" + m[5] + "dd" + m[7] + "HH}" + after, true
}

func weekly(before, separator, after string) string {
	return before + "{xxxx" + separator + "ww}" + after
}

func monthly(before, separator, after string) string {
	return before + "{yyyy" + separator + "MM}" + after
}

// joinWeeks takes what looks like months to the weeks beside it: the first twelve weeks of a year look so.
func joinWeeks(byFormat map[string][]string) {
	for format, names := range byFormat {
		months := strings.NewReplacer("{xxxx", "{yyyy", "ww}", "MM}").Replace(format)
		if months != format {
			byFormat[format] = append(names, byFormat[months]...)
			delete(byFormat, months)
		}
	}
}

// series reads names of one format; nil where that makes no sense.
func series(format string, names []string, o Options) *Series {
	p, err := New(o)
	if err != nil {
		return nil
	}
	s := &Series{Pattern: p}
	for _, name := range names {
		if slot, err := p.Parse(name); err == nil {
			s.Members = append(s.Members, Member{Name: name, Slot: slot})
		}
	}
	if len(s.Members) < 2 {
		return nil
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return a.Start.Compare(b.Start) })
	if hours := step(s); p.unit == Hours && hours > 1 {
		o.Hours = hours
		return series(format, names, o)
	}
	return s
}

// step is the length in hours that the hours of a series allow. One of a few members is taken to be hourly: 00 and 12 may be two
// of 24, so a length is believed when a whole day of it is there in a row.
func step(s *Series) int {
	if s.Pattern.unit != Hours || s.Pattern.hours > 1 {
		return 1
	}
	gcd := 24
	for _, m := range s.Members {
		gcd = divisor(gcd, m.Start.Hour())
	}
	if gcd < 2 || gcd > 12 {
		return 1
	}
	run, need := 1, 24/gcd
	for i := 1; i < len(s.Members) && run < need; i++ {
		if s.Members[i].Start.Sub(s.Members[i-1].Start) == time.Duration(gcd)*time.Hour {
			run++
		} else {
			run = 1
		}
	}
	if run < need {
		return 1
	}
	return gcd
}

func divisor(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
