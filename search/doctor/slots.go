package doctor

import (
	"fmt"
	"net/url"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/state"
)

// slowCreation is from how many shards on an index is not created in a moment: 58 s at 25,000 (elastic/elasticsearch#48579).
const slowCreation = 20_000

func slotChecks() []check {
	return []check{
		{"next_slots_exist", "the indices of this slot and of the next are there, or are created quickly by the first document", []state.Part{state.PartIndices}, (*patient).nextSlots},
		{"zone_of_names_is_known", "names of indices are of the zone that was said", []state.Part{state.PartIndices}, (*patient).zoneOfNames},
	}
}

// madeAhead says that the newest members were created before their slots began.
func (s *series) madeAhead() bool {
	n, early := 0, 0
	for i := len(s.past) - 1; i >= 0 && n < 24; i-- {
		n++
		if s.past[i].CreatedMillis > 0 && s.past[i].CreatedMillis < s.past[i].Start.Add(-time.Minute).UnixMilli() {
			early++
		}
	}
	return n >= 2 && early*2 > n
}

// slowToCreate says why an index would take long to be created; empty when nothing says so.
func (p *patient) slowToCreate() string {
	text, _ := p.c.Settings.Get("action.auto_create_index")
	switch {
	case text == "false":
		return "action.auto_create_index is false, so that no document creates it"
	case p.c.Tasks.OldestCreateIndexMillis > amberWaitMillis:
		return "a create-index task waits for " + seconds(p.c.Tasks.OldestCreateIndexMillis) + " already"
	case p.shards > slowCreation:
		return fmt.Sprintf("with %s shards a first document may wait a minute for it (58 s were seen at 25 000)", capacity.Grouped(float64(p.shards)))
	}
	return ""
}

func (p *patient) nextSlots() []Finding {
	slow := p.slowToCreate()
	var found []Finding
	for _, s := range p.series {
		ahead := s.madeAhead()
		if !s.alive(p.now) || slow == "" && !ahead {
			continue
		}
		next := s.Pattern.Next(p.now, 1)[0]
		name := s.Pattern.Name(next)
		current := s.Pattern.Name(s.Pattern.At(p.now))
		_, have := p.byName[name]
		why := slow
		if ahead {
			why = "indices of this series used to be made ahead"
		}
		var f Finding
		switch {
		case s.now == nil:
			f = Finding{Severity: Hurts, Says: fmt.Sprintf("%s should be written now and does not exist: %s", current, why)}
			name = current
		case !have:
			at := next.Start.UTC()
			f = Finding{Severity: Hurts, HurtsAt: &at, Says: fmt.Sprintf("%s starts in %s and does not exist: %s", name, inMinutes(next.Start.Sub(p.now)), why)}
		default:
			continue
		}
		f.Fix = "create it, and those after it, ahead of time; in quiet minutes, and not all at once"
		f.Requests = []Request{{Method: "PUT", Path: "/" + url.PathEscape(name)}}
		found = append(found, f)
	}
	return found
}

func inMinutes(d time.Duration) string {
	d = d.Round(time.Minute)
	if d >= 2*time.Hour {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}

// zoneOfNames looks whether indices that a first document created were all created some whole hours off what their name says.
func (p *patient) zoneOfNames() []Finding {
	var found []Finding
	for _, s := range p.series {
		offset, sure := s.offset()
		if !sure || offset == 0 {
			continue
		}
		found = append(found, Finding{Severity: Change, Says: fmt.Sprintf("%s: indices are created some %+d h from the start of the slot that their name says in %s: is the name of another zone, or are they made ahead?",
			s.Pattern.Format(), offset, s.Pattern.Zone()), Fix: "say the zone of the names (--time-zone): ages and the next slots are counted from it"})
	}
	return found
}

// offset is the whole hours from the start of slots to the creation of their indices, where the last 12 agree and it is no more than a zone may be.
func (s *series) offset() (hours int, sure bool) {
	if len(s.past) < 12 {
		return 0, false
	}
	for i, m := range s.past[len(s.past)-12:] {
		if m.CreatedMillis <= 0 || m.ResizedFrom != "" {
			return 0, false
		}
		late := time.UnixMilli(m.CreatedMillis).Sub(m.Start)
		h := int(late.Round(time.Hour).Hours())
		if i == 0 {
			hours = h
		}
		if h != hours || h < -14 || h > 12 || (late-late.Round(time.Hour)).Abs() > 10*time.Minute {
			return 0, false
		}
	}
	return hours, true
}
