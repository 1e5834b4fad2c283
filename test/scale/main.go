// Command scale measures what the operator costs: fleets of simulated hosts on this machine, with an embedded plane in
// this process and the operator as a process of its own. It prints tables for docs/benchmarks/scale.md and ends with 1
// when a bar was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/plane"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

type settings struct {
	slipway  string
	binaries string
	cases    string
	latency  time.Duration
	window   time.Duration
	keep     string
	out      string
}

func main() {
	var s settings
	flag.StringVar(&s.slipway, "slipway", "bin/slipway", "the program under test")
	flag.StringVar(&s.binaries, "binaries", os.Getenv("SLIPWAY_BINARIES"), "directory with etcd, kube-apiserver and kube-controller-manager (default: built and cached)")
	flag.StringVar(&s.cases, "cases", "a,b,add", "which cases to measure: a (50 x 3, twice), b (200 x 100), add (machines added to 10 and to 1,000), or CLUSTERSxMACHINES such as 20x50")
	flag.DurationVar(&s.latency, "latency", 2*time.Second, "how long each simulated playbook takes")
	flag.DurationVar(&s.window, "window", 2*time.Minute, "how long the steady state is watched")
	flag.StringVar(&s.keep, "keep", "", "directory to keep the operator's log in")
	flag.StringVar(&s.out, "out", "", "file that the tables are also written to")
	flag.Parse()
	log.SetLogger(logr.Discard()) // what goes wrong comes back as an error
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	missed, err := run(ctx, s)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	case missed > 0:
		fmt.Fprintf(os.Stderr, "scale: %d bars were missed\n", missed)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (missed int, err error) {
	out := io.Writer(os.Stdout)
	if s.out != "" {
		f, err := os.Create(s.out)
		if err != nil {
			return 0, fmt.Errorf("making %s: %w", s.out, err)
		}
		defer f.Close()
		out = io.MultiWriter(os.Stdout, f)
	}
	var first *result
	for _, name := range strings.Split(s.cases, ",") {
		c, err := caseOf(name)
		if err != nil {
			return missed, err
		}
		err = onPlane(ctx, s, c, func(ctx context.Context, b *bench) error {
			if name == adding {
				r, err := b.measureAdding(ctx)
				missed += r.print(out)
				return err
			}
			r, err := b.measure(ctx)
			if err != nil {
				return err
			}
			if r.than = first; first == nil {
				first = r
			}
			missed += r.print(out)
			return nil
		})
		if err != nil {
			return missed, fmt.Errorf("measuring case %s: %w", name, err)
		}
	}
	return missed, nil
}

// adding is the case that adds machines to clusters that exist.
const adding = "add"

// scenario is one fleet: so many clusters of so many machines, in rounds.
type scenario struct {
	name               string
	rounds             int
	clusters, machines int
	bars               bars
}

// bars are what must not be exceeded; 0: no bar.
type bars struct {
	seconds       float64
	cpuPerCluster float64
	writes        float64
	rssMiB        float64
	steadyPercent float64
}

func caseOf(name string) (scenario, error) {
	switch name {
	case "a":
		return scenario{name: "a", rounds: 2, clusters: 50, machines: 3, bars: bars{seconds: 100, cpuPerCluster: 3.2, writes: 94}}, nil
	case "b":
		return scenario{name: "b", rounds: 1, clusters: 200, machines: 100, bars: bars{seconds: 1800, rssMiB: 400, steadyPercent: 5}}, nil
	}
	c := scenario{name: name, rounds: 1}
	if name == adding {
		return c, nil
	}
	if n, err := fmt.Sscanf(name, "%dx%d", &c.clusters, &c.machines); n != 2 || err != nil || c.clusters < 1 || c.machines < 3 {
		return c, fmt.Errorf("there is no case %q: a, b, add, or CLUSTERSxMACHINES with at least 3 machines", name)
	}
	return c, nil
}

// bench is what one measurement works with.
type bench struct {
	settings
	scenario
	plane    *plane.Plane
	client   client.WithWatch
	operator *operator
	watch    *states
}

// onPlane measures one case on a plane of its own.
func onPlane(ctx context.Context, s settings, c scenario, measure func(context.Context, *bench) error) (err error) {
	dir, err := os.MkdirTemp("", "slipway-scale-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{settings: s, scenario: c}
	find, err := programs(s)
	if err != nil {
		return err
	}
	b.plane, err = plane.Start(ctx, plane.Options{Dir: filepath.Join(dir, "plane"), Binaries: find, CRDs: charts.CRDs})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, b.plane.Stop(stop))
	}()
	scheme, err := fleet.Scheme()
	if err != nil {
		return err
	}
	if b.client, err = client.NewWithWatch(b.plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if b.operator, err = startOperator(s, dir, b.plane.Kubeconfig()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.operator.stop()) }()
	ctx, cancel := context.WithCancel(ctx) // ends the watch of the deployments before the plane stops
	defer cancel()
	return measure(ctx, b)
}

// programs finds the programs of the plane.
func programs(s settings) (func(context.Context, string) (string, error), error) {
	if s.binaries != "" {
		return func(_ context.Context, name string) (string, error) {
			path := filepath.Join(s.binaries, name)
			_, err := os.Stat(path)
			return path, err
		}, nil
	}
	builder, err := bundle.NewBuilder(bundle.Options{})
	if err != nil {
		return nil, err
	}
	return builder.Binary, nil
}
