package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/slipway-dev/slipway/migration/block"
	"github.com/slipway-dev/slipway/migration/server"
)

const (
	defaultSamples  = 200
	defaultWindows  = 4
	defaultFindings = 50
	defaultWindow   = time.Hour
	defaultSpan     = 30 * time.Minute
	// giveUp is how many questions in a row may fail before a check stops asking.
	giveUp = 5
	// perWindow is how many samples are drawn from one list of metrics.
	perWindow = 10
)

// Options say what to compare. Times are in milliseconds.
type Options struct {
	Source, Target *Server
	// From and To bound the history that must be equal, To not included. Default: from the source's oldest sample to the seam; without a
	// seam to the end of the shorter head.
	From, To int64
	// Seam is S': the target's own first head minimum. 0 means that the target is a copy and the seam is not checked.
	Seam int64
	// SeamSpan is how far to look before the seam, and behind it where no SeamEnd is given; default 30 minutes.
	SeamSpan time.Duration
	// SeamEnd is up to where gaps of the target were filled with the source's samples; 0: nobody says.
	SeamEnd int64
	// Filled are those gaps. They are told in the report.
	Filled []block.Gap
	// Samples is how many (series, window) pairs are compared bit by bit; default 200.
	Samples int
	// Windows is in how many windows series and counts are compared; default 4: the first, the last, random ones between.
	Windows int
	// Window is the length of a window; default 1 hour.
	Window time.Duration
	// Seed makes the choice of windows and series. The same seed over the same data chooses the same.
	Seed uint64
	// SourceBlocks is the frozen inventory of the source, TargetBlocks what lies on the target. Servers do not tell these by HTTP.
	SourceBlocks, TargetBlocks *block.Listing
	// Dashboards are files of Grafana whose queries are asked, beside the rules of the source.
	Dashboards []Dashboard
	// LeftBehind are jobs that the target need not scrape: behind the seam their series may end where the target's end. Before it they
	// must be equal as all others.
	LeftBehind []string
	// MaxFindings is how many findings a check lists; default 50. All are counted.
	MaxFindings int
	// Progress hears of a check, what is done of it, and how much there is (0 if that is not known).
	Progress func(check string, done, total int)

	// parts says that other parts of the history came from other sources.
	parts bool
}

func (o *Options) complete() {
	if o.Samples <= 0 {
		o.Samples = defaultSamples
	}
	if o.Windows <= 0 {
		o.Windows = defaultWindows
	}
	if o.Window < time.Second {
		o.Window = defaultWindow
	}
	if o.SeamSpan <= 0 {
		o.SeamSpan = defaultSpan
	}
	if o.MaxFindings <= 0 {
		o.MaxFindings = defaultFindings
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
}

// window is a part of the history, half open, in milliseconds.
type window struct{ from, to int64 }

func (w window) String() string {
	return fmt.Sprintf("%s to %s", stamp(w.from), stamp(w.to))
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// run is one proof under way.
type run struct {
	o      Options
	report *Report
	source *Server
	target *Server
	row    int // questions that failed in a row
}

// Run compares the two servers. The error is that of the context, or of options that contradict what the servers say; whatever
// else goes wrong is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.complete()
	r := &run{o: o, source: o.Source, target: o.Target, report: &Report{Started: time.Now().UTC(), Seed: o.Seed}}
	if err := r.servers(ctx); err != nil {
		return nil, err
	}
	if r.report.Source != nil && r.report.Target != nil {
		if err := r.bounds(); err != nil {
			return nil, err
		}
		for _, check := range []func(context.Context) error{r.blocks, r.series, r.counts, r.samples, r.seam, r.queriesOfOne} {
			if err := check(ctx); err != nil {
				return nil, err
			}
		}
	}
	r.report.NotChecked = append(r.report.NotChecked, never()...)
	r.report.Load = map[string]server.Load{"source": r.source.Load(), "target": r.target.Load()}
	r.report.Finished = time.Now().UTC()
	r.report.conclude()
	return r.report, nil
}

// never is what no proof of this kind can see.
func never() []NotChecked {
	return []NotChecked{
		{What: "every sample of every series", Why: "samples are drawn at random; counts are compared per metric in some windows"},
		{What: "exemplars and metadata", Why: "they live in memory and the write-ahead log; no block carries them"},
		{What: "the files of the blocks", Why: "slipway prometheus scrub reads them on the disk"},
		{What: "that the target survives a restart and a head cut", Why: "run the proof again after each"},
	}
}

// servers asks both servers who they are.
func (r *run) servers(ctx context.Context) error {
	return r.check(ctx, "servers", func(c *Check) error {
		var err error
		if r.report.Source, err = r.source.Identify(ctx); err != nil {
			r.report.Source = nil
			c.fail("the source", err)
		}
		if r.report.Target, err = r.target.Identify(ctx); err != nil {
			r.report.Target = nil
			c.fail("the target", err)
		}
		for _, side := range []*Side{r.report.Source, r.report.Target} {
			if side != nil && side.RemoteRead {
				c.find(Finding{Kind: Bridged, What: "the " + side.Name, Text: "it asks another server for what it does not hold (remote_read), and would pass that off as its own: take remote_read out of its configuration, reload it, and prove again"})
			}
		}
		c.conclude(2, "servers")
		if c.Verdict == Proved {
			c.Verdict, c.Summary = Printed, "both answer, and for themselves alone"
		}
		return nil
	})
}

// check runs one check and puts it into the report. The error is that of the context.
func (r *run) check(ctx context.Context, name string, do func(*Check) error) error {
	c := &Check{Name: name, limit: r.o.MaxFindings}
	r.row = 0
	start := time.Now()
	r.o.Progress(name, 0, 0)
	if err := do(c); err != nil {
		return err
	}
	c.Took = time.Since(start).Seconds()
	r.report.Checks = append(r.report.Checks, c)
	return ctx.Err()
}

// skip puts a check into the report that is not made.
func (r *run) skip(name, why string) {
	r.report.Checks = append(r.report.Checks, &Check{Name: name, Verdict: Skipped, Summary: why})
	r.report.NotChecked = append(r.report.NotChecked, NotChecked{What: name, Why: why})
}

// asked notes how a question went. It says false when the check must stop: the context ended, or too many failed in a row.
func (r *run) asked(ctx context.Context, c *Check, what string, err error) bool {
	if err == nil {
		r.row = 0
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	c.fail(what, err)
	r.row++
	if r.row < giveUp {
		return true
	}
	c.Notes = append(c.Notes, fmt.Sprintf("gave up after %d questions in a row without an answer", giveUp))
	r.report.NotChecked = append(r.report.NotChecked, NotChecked{What: "the rest of " + c.Name, Why: "the servers did not answer"})
	return false
}

// bounds fills in the range of the history.
func (r *run) bounds() error {
	s, t := r.report.Source, r.report.Target
	rep := r.report
	rep.From, rep.To = r.o.From, r.o.To
	if rep.From == 0 {
		rep.From = s.Lowest
	}
	if r.o.Seam > 0 {
		rep.Seam = &r.o.Seam
	}
	switch {
	case rep.To == 0 && r.o.Seam > 0:
		rep.To = r.o.Seam
	case rep.To == 0:
		rep.To = min(s.HeadMax, t.HeadMax) // of an empty head it is the end of the blocks, which is one behind their last sample
	case r.o.Seam > 0 && rep.To > r.o.Seam:
		return errors.New("the history to compare ends after the seam: behind it the servers scrape at different times")
	}
	if rep.From >= rep.To {
		return fmt.Errorf("the history to compare is empty: from %s to %s", stamp(rep.From), stamp(rep.To))
	}
	return nil
}

// random is the source of choices of one check, so that a check chooses the same whatever ran before it.
func (r *run) random(check uint64) *rand.Rand { return rand.New(rand.NewPCG(r.o.Seed, check)) }

// windows chooses n windows: the first, the last, and random ones.
func (r *run) windows(rnd *rand.Rand, n int) []window {
	from, to, size := r.report.From, r.report.To, r.o.Window.Milliseconds()
	if to-from <= size {
		return []window{{from, to}}
	}
	list := []window{{from, from + size}, {to - size, to}}
	for len(list) < n {
		start := from + rnd.Int64N(to-from-size+1)
		list = append(list, window{start, start + size})
	}
	return list[:max(n, 1)]
}
