package proof

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/slipway-dev/slipway/migration/server"
)

const (
	// heaviest is how many queries are timed, and rounds how often each.
	heaviest = 5
	rounds   = 3
	// points is how many times of a window a query is evaluated at.
	points = 60
)

// asking is the state of the checks that ask queries.
type asking struct {
	run    *run
	engine *promql.Engine
	parser parser.Parser
	list   []Expression
	w      window
	step   int64
	// equal are the queries over which our own engine finds no difference, failing those that it refuses on both sides alike.
	equal, failing map[string]bool
	// took is how long the source's own answer took.
	took  map[string]time.Duration
	empty int
}

// queries asks what people and rules ask: first with one engine of ours over both storages, then each server itself, and then the
// heaviest again for the time they take.
func (r *run) queries(ctx context.Context) error {
	rules, err := r.source.Rules(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	w := r.randomWindow(r.random(queriesChoice))
	a := &asking{run: r, w: w, step: max((w.to-w.from)/points, 1000), equal: map[string]bool{}, failing: map[string]bool{}, took: map[string]time.Duration{}}
	a.parser = parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	a.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 5 * maxQuerySamples, Timeout: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: a.parser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})
	a.collect(rules)
	if len(a.list) == 0 && err == nil {
		for _, name := range []string{"queries", "answers", "heaviest"} {
			r.skip(name, "the source has no rules, and no dashboard with a query was given")
		}
		return ctx.Err()
	}
	return errors.Join(r.check(ctx, "queries", func(c *Check) error { return a.evaluate(ctx, c, err) }),
		r.check(ctx, "answers", func(c *Check) error { return a.compareAnswers(ctx, c) }),
		r.check(ctx, "heaviest", func(c *Check) error { return a.time(ctx, c) }))
}

// collect keeps each expression once. What cannot be parsed goes to the list of what was not checked.
func (a *asking) collect(rules []Rule) {
	var all []Expression
	for _, rule := range rules {
		all = append(all, Expression{From: "rule " + rule.Group + "/" + rule.Name, Expr: rule.Expr})
	}
	for _, d := range a.run.o.Dashboards {
		all = append(all, d.Expressions(time.Duration(a.w.to-a.w.from)*time.Millisecond)...)
	}
	seen := map[string]bool{}
	for _, e := range all {
		if e.Why == "" {
			e.Why = a.unfit(e.Expr)
		}
		if e.Why != "" {
			a.leaveOut(e, e.Why)
		} else if !seen[e.Expr] {
			seen[e.Expr] = true
			a.list = append(a.list, e)
		}
	}
}

func (a *asking) leaveOut(e Expression, why string) {
	what := "the query " + server.Clip(e.Expr, 200) + " of " + server.Clip(e.From, 100)
	a.run.report.NotChecked = append(a.run.report.NotChecked, NotChecked{What: what, Why: why})
}

// unfit says why an expression cannot be asked over a range.
func (a *asking) unfit(expr string) string {
	parsed, err := a.parser.ParseExpr(expr)
	if err != nil {
		return "it cannot be parsed: " + server.Clip(err.Error(), 200)
	}
	if t := parsed.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return "it is a " + parser.DocumentedType(t) + ", which has no value over time"
	}
	return ""
}

// evaluate asks both storages through our own engine, bit by bit.
func (a *asking) evaluate(ctx context.Context, c *Check, rules error) error {
	if rules != nil {
		c.fail("the rules of the source", rules)
	}
	n := 0
	for i, e := range a.list {
		a.run.o.Progress(c.Name, i, len(a.list))
		ok, err := a.one(ctx, c, e)
		if !a.run.asked(ctx, c, e.Expr, err) {
			break
		}
		if ok {
			n++
		}
	}
	c.number("queries", float64(n), "")
	c.number("with an empty answer on both", float64(a.empty), "")
	c.Notes = append(c.Notes, fmt.Sprintf("evaluated from %s every %d ms, with one engine over the raw samples of each server", a.w, a.step))
	c.conclude(n, "answers to queries")
	return ctx.Err()
}

// one compares one query. It is false if the query itself fails the same way on both sides, which proves nothing.
func (a *asking) one(ctx context.Context, c *Check, e Expression) (bool, error) {
	source, errS := a.ask(ctx, a.run.source, e.Expr)
	target, errT := a.ask(ctx, a.run.target, e.Expr)
	var own *evalError
	switch {
	case errors.As(errS, &own) && errT != nil && errS.Error() == errT.Error():
		a.failing[e.Expr] = true
		a.leaveOut(e, "it fails on both: "+server.Clip(own.Error(), 200))
		return false, nil
	case errS != nil && !errors.As(errS, &own):
		return false, errS
	case errT != nil && !errors.As(errT, &own):
		return false, errT
	case errS != nil || errT != nil:
		c.find(Finding{Kind: DifferentResult, What: e.Expr, Source: reason(errS), Target: reason(errT), Text: e.From})
		return true, nil
	}
	differ := source.differences(target)
	a.equal[e.Expr] = len(differ) == 0
	if len(source.Series)+len(target.Series) == 0 {
		a.empty++
	}
	if len(differ) > 0 {
		c.find(Finding{Kind: DifferentResult, What: e.Expr, Time: &a.w.from, Text: fmt.Sprintf("%s: %d series of the answer differ, the first is %s", e.From, len(differ), server.Clip(differ[0], 150))})
	}
	return true, nil
}

func reason(err error) string {
	if err == nil {
		return "an answer"
	}
	return err.Error()
}

// evalError is a query that fails for what it is, not for what a server does.
type evalError struct{ err error }

func (e *evalError) Error() string { return e.err.Error() }

func (a *asking) ask(ctx context.Context, s *Server, expr string) (*Answer, error) {
	storage := &queryable{server: s}
	from, to := time.UnixMilli(a.w.from), time.UnixMilli(a.w.to-1)
	q, err := a.engine.NewRangeQuery(ctx, storage, nil, expr, from, to, time.Duration(a.step)*time.Millisecond)
	if err != nil {
		return nil, &evalError{err}
	}
	defer q.Close()
	res := q.Exec(ctx)
	var many promql.ErrTooManySamples
	var slow promql.ErrQueryTimeout
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case storage.err != nil:
		return nil, storage.err
	case errors.As(res.Err, &many):
		return nil, fmt.Errorf("evaluating it: %w", server.ErrTooLarge)
	case errors.As(res.Err, &slow):
		return nil, context.DeadlineExceeded
	case res.Err != nil:
		return nil, &evalError{res.Err}
	}
	matrix, err := res.Matrix()
	if err != nil {
		return nil, &evalError{err}
	}
	return bitwise(matrix), nil
}

// bitwise writes values as their bits, so that every NaN counts.
func bitwise(m promql.Matrix) *Answer {
	answer := &Answer{Type: "matrix", Series: map[string]string{}}
	for _, s := range m {
		var b strings.Builder
		for _, p := range s.Floats {
			fmt.Fprintf(&b, "%d %x;", p.T, math.Float64bits(p.F))
		}
		for _, p := range s.Histograms {
			fmt.Fprintf(&b, "%d %s %x;", p.T, p.H, math.Float64bits(p.H.Sum))
		}
		answer.Series[s.Metric.String()] = b.String()
	}
	return answer
}

// compareAnswers asks each server itself. Where our engine finds the data equal, servers of two versions that answer differently do so for
// their engines: that is listed, and no difference of the data. Two of one version have no such excuse.
func (a *asking) compareAnswers(ctx context.Context, c *Check) error {
	n, apart, rounded := 0, 0, 0
	for i, e := range a.list {
		if a.failing[e.Expr] {
			continue
		}
		a.run.o.Progress(c.Name, i, len(a.list))
		source, target, err := a.both(ctx, e.Expr)
		if !a.run.asked(ctx, c, e.Expr, err) {
			break
		}
		if err != nil {
			continue
		}
		n++
		differ := source.differences(target)
		exact := len(differ)
		differ = slices.DeleteFunc(differ, func(key string) bool { return nearly(source.Series[key], target.Series[key]) })
		if len(differ) > 0 {
			apart += a.differs(c, e, differ)
		} else if exact > 0 {
			rounded++
		}
	}
	c.number("answers", float64(n), "")
	c.number("equal but for the order of additions", float64(rounded), "")
	c.number("different for the engine", float64(apart), "")
	c.conclude(n, "answers of the servers themselves")
	if c.Verdict == Proved && apart > 0 {
		c.Verdict, c.Summary = Printed, fmt.Sprintf("%d of %d answers differ because the engines do; the data beneath are equal", apart, n)
	}
	return ctx.Err()
}

// both asks the two servers, and remembers how long the source took.
func (a *asking) both(ctx context.Context, expr string) (source, target *Answer, err error) {
	start := time.Now()
	if source, err = a.run.source.QueryRange(ctx, expr, a.w.from, a.w.to-1, a.step); err != nil {
		return nil, nil, err
	}
	a.took[expr] = time.Since(start)
	target, err = a.run.target.QueryRange(ctx, expr, a.w.from, a.w.to-1, a.step)
	return source, target, err
}

// differs lists a query that is answered differently. It is 1 if that is for the engines.
func (a *asking) differs(c *Check, e Expression, series []string) int {
	f := Finding{Kind: DifferentResult, What: e.Expr, Text: fmt.Sprintf("%s: %d series differ, the first is %s", e.From, len(series), server.Clip(series[0], 150))}
	apart := 0
	if a.equal[e.Expr] && a.run.report.Source.Version != a.run.report.Target.Version {
		f.Kind, apart = DifferentEngine, 1
	}
	c.find(f)
	return apart
}

// time asks the heaviest again, in turns, and judges nothing.
func (a *asking) time(ctx context.Context, c *Check) error {
	c.Verdict, c.Summary = Printed, "the servers stopped answering"
	list := slices.SortedFunc(maps.Keys(a.took), func(x, y string) int { return int(a.took[y] - a.took[x]) })
	for _, expr := range list[:min(len(list), heaviest)] {
		var took [2][]float64
		for range rounds {
			for i, s := range []*Server{a.run.source, a.run.target} {
				before := s.Load().SecondsSum // without the pauses
				_, err := s.QueryRange(ctx, expr, a.w.from, a.w.to-1, a.step)
				if !a.run.asked(ctx, c, expr, err) {
					return ctx.Err()
				}
				if err == nil {
					took[i] = append(took[i], s.Load().SecondsSum-before)
				}
			}
		}
		if len(took[0]) < rounds || len(took[1]) < rounds {
			continue
		}
		slices.Sort(took[0])
		slices.Sort(took[1])
		c.Timings = append(c.Timings, Timing{
			Query: server.Clip(expr, 300), SourceP50: took[0][rounds/2], SourceMax: took[0][rounds-1], TargetP50: took[1][rounds/2], TargetMax: took[1][rounds-1],
		})
	}
	c.Summary = fmt.Sprintf("the %d heaviest queries, %d times each", len(c.Timings), rounds)
	return ctx.Err()
}
