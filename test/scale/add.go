package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/fleet/plan"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sizes are the clusters to which machines are added.
var sizes = []int{10, 1000}

// added are the numbers of machines that are added at once, one after the other.
var added = []int{1, 3}

// addition is what it cost to add machines to a cluster.
type addition struct {
	existing, added int
	seconds         float64
	hosts           int // in the operations that were made for it
	calls           writes
}

// addResult compares what adding costs in clusters of different size.
type addResult []addition

// measureAdding adds the same numbers of machines to clusters of different size.
func (b *bench) measureAdding(ctx context.Context) (addResult, error) {
	total := 0
	for _, size := range sizes {
		total += size
		for _, n := range added {
			total += n
		}
	}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	var err error
	if b.watch, err = watchStates(ctx, b.client); err != nil {
		return nil, err
	}
	if err := b.addMachines(ctx, total); err != nil {
		return nil, err
	}
	if err := b.waitPhase(ctx, v1alpha1.MachineIdle, total); err != nil {
		return nil, err
	}
	var r addResult
	ready := 0
	for i, size := range sizes {
		d := deployment(fmt.Sprintf("c%d", size), size)
		if err := b.client.Create(ctx, d); err != nil {
			return nil, fmt.Errorf("making a cluster of %d: %w", size, err)
		}
		ready += size
		if err := b.settled(ctx, i+1, ready); err != nil {
			return nil, err
		}
		for _, n := range added {
			ready += n
			a, err := b.add(ctx, d, n, i+1, ready)
			if err != nil {
				return nil, fmt.Errorf("adding %d machines to %d: %w", n, size, err)
			}
			a.existing = size
			r = append(r, a)
		}
	}
	return r, nil
}

// add adds n machines to a cluster and waits until they are Ready.
func (b *bench) add(ctx context.Context, d *v1alpha1.ClusterDeployment, n, deployments, ready int) (addition, error) {
	before, err := b.quiet(ctx)
	if err != nil {
		return addition{}, err
	}
	known, err := b.operations(ctx)
	if err != nil {
		return addition{}, err
	}
	if err := b.client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
		return addition{}, fmt.Errorf("reading the deployment: %w", err)
	}
	d.Spec.Workers[0].Replicas = ptr.To(*d.Spec.Workers[0].Replicas + int32(n))
	start := time.Now()
	if err := b.client.Update(ctx, d); err != nil {
		return addition{}, fmt.Errorf("scaling the deployment: %w", err)
	}
	if err := b.settled(ctx, deployments, ready); err != nil {
		return addition{}, err
	}
	took := time.Since(start)
	after, err := b.quiet(ctx)
	if err != nil {
		return addition{}, err
	}
	now, err := b.operations(ctx)
	if err != nil {
		return addition{}, err
	}
	hosts := map[string]bool{}
	for name, machines := range now {
		if _, old := known[name]; !old {
			for _, m := range machines {
				hosts[m] = true
			}
		}
	}
	calls := after.since(before)
	calls.subtract("PUT", "clusterdeployments", 1) // these are ours
	calls.subtract("GET", "clusterdeployments", 1)
	calls.subtract("LIST", "operations", 1)
	return addition{added: n, seconds: took.Seconds(), hosts: len(hosts), calls: calls}, nil
}

// settled waits until every deployment is available and so many machines are Ready.
func (b *bench) settled(ctx context.Context, deployments, ready int) error {
	if err := b.waitPhase(ctx, v1alpha1.MachineReady, ready); err != nil {
		return err
	}
	return b.watch.wait(ctx, deployments, func(s string) bool { return s == plan.StateAvailable })
}

// quiet waits until nothing is asked of the API server any more, and gives its counters.
func (b *bench) quiet(ctx context.Context) (writes, error) {
	last, err := readRequests(ctx, b.plane.Config(), calling)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(3 * time.Second):
		}
		var now writes
		if now, err = readRequests(ctx, b.plane.Config(), calling); maps.Equal(now, last) {
			return now, err
		}
		last = now
	}
	return nil, err
}

// operations are all operations with their machines.
func (b *bench) operations(ctx context.Context) (map[string][]string, error) {
	var list v1alpha1.OperationList
	if err := b.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing operations: %w", err)
	}
	out := map[string][]string{}
	for i := range list.Items {
		out[list.Items[i].Name] = list.Items[i].Spec.Machines
	}
	return out, nil
}

// print writes the tables of the comparison and says how many bars were missed.
func (r addResult) print(w io.Writer) (missed int) {
	fmt.Fprintf(w, "\n### Case add: machines added to clusters of different size\n\n")
	fmt.Fprintln(w, "| existing machines | added | time | hosts touched | API calls | per added machine |\n|---|---|---|---|---|---|")
	for _, a := range r {
		fmt.Fprintf(w, "| %d | %d | %.1f s | %d | %d | %.1f |\n", a.existing, a.added, a.seconds, a.hosts, a.calls.total(), float64(a.calls.total())/float64(a.added))
	}
	fmt.Fprintf(w, "\n| resource | verb |")
	for _, a := range r {
		fmt.Fprintf(w, " %d + %d |", a.existing, a.added)
	}
	fmt.Fprintf(w, "\n|---|---|%s\n", strings.Repeat("---|", len(r)))
	for _, k := range r.kinds() {
		fmt.Fprintf(w, "| %s | %s |", k.resource, k.verb)
		for _, a := range r {
			_, sums := a.calls.byKind()
			fmt.Fprintf(w, " %d |", sums[k])
		}
		fmt.Fprintln(w)
	}
	return r.judge(w)
}

// judge holds the bars: as many hosts as were added, and calls that do not grow with the cluster. How often a status that
// counts is written depends on what came together, so that calls may differ a little.
func (r addResult) judge(w io.Writer) (missed int) {
	fmt.Fprintf(w, "\n| bar | limit | measured | |\n|---|---|---|---|\n")
	for i, a := range r {
		missed += bar(w, fmt.Sprintf("hosts touched, %d + %d", a.existing, a.added), float64(a.added), float64(a.hosts), "")
		if first := r[i%len(added)]; i >= len(added) {
			missed += bar(w, fmt.Sprintf("API calls, %d + %d", a.existing, a.added), 1.25*float64(first.calls.total()), float64(a.calls.total()), "")
		}
	}
	return missed
}

// kinds are all kinds of requests that any of the additions made.
func (r addResult) kinds() []write {
	all := writes{}
	for _, a := range r {
		maps.Copy(all, a.calls)
	}
	keys, _ := all.byKind()
	return slices.Clone(keys)
}
