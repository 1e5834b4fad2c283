package survey

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/slipway-dev/slipway/migration/server"
)

// OutageOptions say whom to ask. Source and Target scrape the same.
type OutageOptions struct {
	Source, Target *server.Client
	// Since is the beginning of the time that is looked at.
	Since time.Time
}

// Outage is a time in which a server scraped nothing although the other one did: from its last scrape to the last moment at which that was
// more than two intervals ago.
type Outage struct{ From, To time.Time }

// scrapeAge is how long ago a server scraped any target that was up, in seconds.
const scrapeAge = "time() - max(timestamp(up) and (up == 1))"

// maxPoints is how many moments one question asks for; a server answers 11000 at most.
const maxPoints = 5000

// Outages asks the target how old its newest scrape was, at moments half of the shortest scrape interval from each other, and the source where
// that was more than two intervals. A process that is frozen, or cut off from what it scrapes, tells nothing else of it. Outages that are
// shorter than two and a half intervals may be overlooked.
func Outages(ctx context.Context, o OutageOptions) ([]Outage, error) {
	config := &Observation{Name: o.Target.Name()}
	if err := config.askConfig(ctx, o.Target); err != nil {
		return nil, err
	}
	targets, err := askTargets(ctx, o.Target, &config.Config)
	if err != nil {
		return nil, err
	}
	a := ages{interval: shortest(targets)}
	a.step = a.interval / 2
	if err := a.ask(ctx, o.Target, o.Since.UnixMilli(), time.Now().UnixMilli()); err != nil {
		return nil, err
	}
	var list []Outage
	for _, x := range a.long() {
		b := ages{interval: a.interval, step: a.step}
		if err := b.ask(ctx, o.Source, x.From.UnixMilli(), x.To.UnixMilli()); err != nil {
			return nil, err
		}
		if b.scraped() {
			list = append(list, x)
		}
	}
	return list, nil
}

// ages are how old a server's newest scrape was at each moment; infinite where it had none.
type ages struct {
	interval, step time.Duration
	from           int64 // Unix milliseconds of the first
	list           []float64
}

// ask asks for the moments from one to another, in milliseconds.
func (a *ages) ask(ctx context.Context, s *server.Client, from, to int64) error {
	a.from = from
	step := a.step.Milliseconds()
	for n := (to-from)/step + 1; int64(len(a.list)) < n; {
		points := min(n-int64(len(a.list)), maxPoints)
		if err := a.part(ctx, s, from+int64(len(a.list))*step, points); err != nil {
			return err
		}
	}
	return nil
}

func (a *ages) part(ctx context.Context, s *server.Client, from, points int64) error {
	step := a.step.Milliseconds()
	seconds := func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }
	var data struct {
		Result []struct{ Values [][2]json.RawMessage }
	}
	params := url.Values{"query": {scrapeAge}, "start": {seconds(from)}, "end": {seconds(from + (points-1)*step)}, "step": {seconds(step)}}
	if _, err := s.Call(ctx, http.MethodPost, "/api/v1/query_range", params, server.Into(&data)); err != nil {
		return err
	}
	list := make([]float64, points)
	for i := range list {
		list[i] = math.Inf(1)
	}
	for _, series := range data.Result {
		for _, pair := range series.Values {
			at, age, err := sample(pair)
			if err != nil {
				return fmt.Errorf("reading when the %s scraped: %w", s.Name(), err)
			}
			if i := int64(math.Round((at*1000 - float64(from)) / float64(step))); i >= 0 && i < points {
				list[i] = age
			}
		}
	}
	a.list = append(a.list, list...)
	return nil
}

func (a *ages) old(age float64) bool { return age > 2*a.interval.Seconds() }

// long are the times in which the newest scrape was more than two intervals ago.
func (a *ages) long() (list []Outage) {
	for i := 0; i < len(a.list); i++ {
		if !a.old(a.list[i]) {
			continue
		}
		at := time.UnixMilli(a.from + int64(i)*a.step.Milliseconds()).UTC()
		from := at
		if !math.IsInf(a.list[i], 1) {
			from = at.Add(-time.Duration(a.list[i] * float64(time.Second)))
		}
		for ; i < len(a.list) && a.old(a.list[i]); i++ {
			at = time.UnixMilli(a.from + int64(i)*a.step.Milliseconds()).UTC()
		}
		list = append(list, Outage{from, at})
	}
	return list
}

// scraped says that at some moment the newest scrape was not old.
func (a *ages) scraped() bool {
	for _, age := range a.list[len(a.list)/2:] { // at first it is the last one before
		if !a.old(age) {
			return true
		}
	}
	return false
}
