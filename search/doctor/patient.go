package doctor

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/capacity"
	"github.com/slipway-dev/slipway/search/slot"
	"github.com/slipway-dev/slipway/search/state"
)

const day = 24 * time.Hour

// patient is a state with what follows from it.
type patient struct {
	c       *state.Cluster
	o       Options
	now     time.Time
	version []int
	byName  map[string]*state.Index
	nodes   map[string]*state.Node
	data    []*state.Node
	masters []*state.Node
	series  []*series
	tiers   *tiers
	shards  int
}

// series is a series with its indices, those of the past and the present, the oldest first; and those that are made ahead.
type series struct {
	*slot.Series
	past  []member // whose slot has ended
	now   *member
	ahead []member
}

type member struct {
	*state.Index
	slot.Slot
}

func newPatient(c *state.Cluster, o Options) (*patient, error) {
	p := &patient{c: c, o: o, now: c.TakenAt, version: numbersOf(c.Version), byName: make(map[string]*state.Index, len(c.Indices)), nodes: map[string]*state.Node{}}
	var names []string
	for i := range c.Indices {
		x := &c.Indices[i]
		p.byName[x.Name] = x
		if !x.System() {
			names = append(names, x.Name)
		}
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		p.nodes[n.Name] = n
		if n.HoldsData() {
			p.data = append(p.data, n)
		}
		if n.MasterEligible() {
			p.masters = append(p.masters, n)
		}
	}
	found, err := slot.Find(names, o.TimeZone, p.now)
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		p.series = append(p.series, p.sort(s))
	}
	p.shards = p.countShards()
	p.tiers = findTiers(p)
	return p, nil
}

func (p *patient) sort(s *slot.Series) *series {
	out := &series{Series: s}
	for _, m := range s.Members {
		of := member{Index: p.byName[m.Name], Slot: m.Slot}
		switch {
		case !m.End.After(p.now):
			out.past = append(out.past, of)
		case m.Start.After(p.now):
			out.ahead = append(out.ahead, of)
		default:
			out.now = &of
		}
	}
	return out
}

// countShards counts as the server's own limit does: with replicas, unassigned ones too, of open indices.
func (p *patient) countShards() int {
	h := p.c.Health
	if n := h.ActiveShards + h.InitializingShards + h.UnassignedShards; n > 0 {
		return n
	}
	n := 0
	for i := range p.c.Indices {
		if !p.c.Indices[i].Closed {
			n += p.c.Indices[i].Shards()
		}
	}
	return n
}

// numbersOf reads 6.8.23 as 6, 8, 23; what is no number is 0.
func numbersOf(version string) []int {
	var out []int
	for _, part := range strings.SplitN(version, ".", 3) {
		digits := strings.IndexFunc(part+"-", func(r rune) bool { return r < '0' || r > '9' })
		n, _ := strconv.Atoi(part[:digits])
		out = append(out, n)
	}
	return out
}

func (p *patient) is(product state.Product) bool { return p.c.Product == product }

// elastic says that it is Elasticsearch of a version or a newer one.
func (p *patient) elastic(version ...int) bool {
	return p.is(state.Elasticsearch) && slices.Compare(p.version, version) >= 0
}

// setting is a cluster setting as a number; none when it is unset or no number.
func (p *patient) setting(key string) (int, state.Source, bool) {
	text, from := p.c.Settings.Get(key)
	n, err := strconv.Atoi(text)
	return n, from, err == nil
}

// window is the members that ended within some days before a time, and how many days they cover.
func (s *series) window(to time.Time, days int) ([]member, float64) {
	from := to.Add(-time.Duration(days) * day)
	var of []member
	var covered time.Duration
	for _, m := range s.past {
		if !m.End.After(to) && !m.Start.Before(from) {
			of, covered = append(of, m), covered+m.End.Sub(m.Start)
		}
	}
	return of, covered.Hours() / 24
}

// recent is what a week brought, or less where the series is younger; slots longer than a week count by the last one.
func (s *series) recent(now time.Time) ([]member, float64) {
	if of, days := s.window(now, 7); days > 0 {
		return of, days
	}
	if len(s.past) == 0 || now.Sub(s.past[len(s.past)-1].End) > 32*day {
		return nil, 0
	}
	last := s.past[len(s.past)-1]
	return []member{last}, last.Hours() / 24
}

// alive says that somebody seems to write the series still: the newest slot ended less than three slots ago, or has not ended.
func (s *series) alive(now time.Time) bool {
	newest := s.Newest()
	return now.Before(newest.End.Add(3 * newest.End.Sub(newest.Start)))
}

// per is a sum over members for each day.
func per(of []member, days float64, value func(member) int64) int64 {
	if days <= 0 {
		return 0
	}
	var sum int64
	for _, m := range of {
		sum += max(value(m), 0)
	}
	return int64(float64(sum) / days)
}

func bytesOf(m member) int64        { return m.Bytes }
func primaryBytesOf(m member) int64 { return m.PrimaryBytes }
func docsOf(m member) int64         { return m.Docs }

func (p *patient) seen() []SeriesSeen {
	var all []SeriesSeen
	for _, s := range p.series {
		of, days := s.recent(p.now)
		all = append(all, SeriesSeen{
			Format: s.Pattern.Format(), Every: s.Pattern.Every(), Indices: len(s.Members), Newest: s.Newest().Name,
			PrimaryBytesPerDay: per(of, days, primaryBytesOf), DocsPerSecond: float64(per(of, days, docsOf)) / day.Seconds(),
		})
	}
	slices.SortStableFunc(all, func(a, b SeriesSeen) int { return cmp.Compare(b.PrimaryBytesPerDay, a.PrimaryBytesPerDay) })
	return all
}

// heaviest is the live series that brings the most bytes; nil when there is none.
func (p *patient) heaviest() (heavy *series, share float64) {
	var most, all int64
	for _, s := range p.series {
		if !s.alive(p.now) {
			continue
		}
		of, days := s.recent(p.now)
		n := per(of, days, primaryBytesOf)
		all += n
		if n > most {
			most, heavy = n, s
		}
	}
	if heavy == nil {
		return nil, 0
	}
	return heavy, float64(most) / float64(all)
}

// gib writes a heap as it is set: -Xmx16g is 16 GiB.
func gib(bytes int64) string { return capacity.Grouped(float64(bytes)/(1<<30)) + " GiB" }

func nodeNames(nodes []*state.Node) []string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names
}

// many writes a count with what is counted, and the verb that goes with it.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return capacity.Grouped(float64(n)) + " " + more
}
