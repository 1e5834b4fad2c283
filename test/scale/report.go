package main

import (
	"fmt"
	"io"
)

// print writes the tables of a case and says how many bars were missed.
func (r *result) print(w io.Writer) (missed int) {
	fmt.Fprintf(w, "\n### Case %s: %d × %d clusters of %d machines, simulated playbooks of %s\n\n", r.name, len(r.rounds), r.clusters, r.machines, r.latency)
	fmt.Fprintln(w, "| part | time | operator CPU | per cluster | per machine | API server CPU | API writes | per cluster | per machine | conflicts |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	parts := append([]phase{r.inspect}, r.rounds...)
	for _, p := range append(parts, r.steady, r.deletion) {
		n, m := float64(p.clusters), float64(p.machines)
		fmt.Fprintf(w, "| %s | %.1f s | %.1f s | %.3f s | %.4f s | %.1f s | %d | %.1f | %.2f | %d |\n", p.name, p.seconds,
			p.operator, p.operator/n, p.operator/m, p.api, p.writes.total(), float64(p.writes.total())/n, float64(p.writes.total())/m, p.writes.conflicts())
	}
	fmt.Fprintf(w, "\nPeak resident size: operator %.0f MiB, API server %.0f MiB. Steady state over %s: %.2f %% of one core.\n", r.peak, r.api, r.window, r.steadyPercent())
	r.printWrites(w)
	fmt.Fprintf(w, "\n| bar | limit | measured | |\n|---|---|---|---|\n")
	check := func(name string, limit, got float64, unit string) { missed += bar(w, name, limit, got, unit) }
	for _, p := range r.rounds {
		check("time, "+p.name, r.bars.seconds, p.seconds, "s")
		check("operator CPU per cluster, "+p.name, r.bars.cpuPerCluster, p.operator/float64(p.clusters), "s")
		check("API writes per cluster, "+p.name, r.bars.writes, float64(p.writes.total())/float64(p.clusters), "")
	}
	if len(r.rounds) > 1 {
		check("time of the second round", 1.25*r.rounds[0].seconds, r.rounds[1].seconds, "s")
	}
	check("operator's peak size", r.bars.rssMiB, r.peak, "MiB")
	check("steady state, part of a core", r.bars.steadyPercent, r.steadyPercent(), "%")
	if r.than != nil {
		last, first := r.rounds[len(r.rounds)-1], r.than.rounds[0]
		check("operator CPU per machine, no more than in case "+r.than.name, first.operator/float64(first.machines), last.operator/float64(last.machines), "s")
		check("API writes per machine, no more than in case "+r.than.name, float64(first.writes.total())/float64(first.machines), float64(last.writes.total())/float64(last.machines), "")
	}
	if r.bars.seconds > 0 {
		created := 0.0
		for _, p := range r.rounds {
			created += p.seconds
		}
		check("deletion no slower than creation", created, r.deletion.seconds, "s")
	}
	return missed
}

func (r *result) steadyPercent() float64 { return 100 * r.steady.operator / r.steady.seconds }

// printWrites says which writes a creation was made of.
func (r *result) printWrites(w io.Writer) {
	p := r.rounds[len(r.rounds)-1]
	fmt.Fprintf(w, "\nWrites of %s, of the operator alone:\n\n| resource | verb | writes | per cluster | per machine |\n|---|---|---|---|---|\n", p.name)
	keys, sums := p.writes.byKind()
	for _, k := range keys {
		n := float64(sums[k])
		fmt.Fprintf(w, "| %s | %s | %d | %.2f | %.2f |\n", k.resource, k.verb, sums[k], n/float64(p.clusters), n/float64(p.machines))
	}
}

// bar writes a line about one bar and says whether it was missed; a limit of 0 is none.
func bar(w io.Writer, name string, limit, got float64, unit string) (missed int) {
	if limit == 0 {
		return 0
	}
	verdict := "held"
	if got > limit {
		verdict, missed = "**missed**", 1
	}
	fmt.Fprintf(w, "| %s | %.4g %s | %.4g %s | %s |\n", name, limit, unit, got, unit, verdict)
	return missed
}
