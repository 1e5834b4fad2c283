// Package fleet is the domain in which machines become clusters. It is the only thing that the operator's command
// calls: ManagerOptions for the manager, Setup for the controllers.
package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/addons"
	"github.com/slipway-dev/slipway/fleet/controller/clusterdeployment"
	"github.com/slipway-dev/slipway/fleet/controller/clusterinstall"
	"github.com/slipway-dev/slipway/fleet/controller/machine"
	"github.com/slipway-dev/slipway/fleet/controller/machineset"
	"github.com/slipway-dev/slipway/fleet/controller/operation"
	"github.com/slipway-dev/slipway/fleet/controller/remotemachineset"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/fleet/host"
	"github.com/slipway-dev/slipway/fleet/plan"
	"github.com/slipway-dev/slipway/fleet/remote"
	"github.com/slipway-dev/slipway/kube"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Release is one content version together with one bundle that it can install.
type Release = view.Release

// Requirements are what a host must have before it may be claimed.
type Requirements = machine.Requirements

// Options are the seams of the domain.
type Options struct {
	// Controllers are the names of those that run; -name switches one off; empty: all.
	Controllers []string
	// Executor runs operations, Prober visits hosts, Connector looks into clusters.
	Executor  executor.Executor
	Prober    host.Prober
	Connector remote.Connector
	// RunChanged and ClusterChanged carry what executor and connector tell in OnChange: give them Send.
	RunChanged, ClusterChanged *kube.Signal
	// ContentVersion is the newest version of the playbooks that the program carries.
	ContentVersion string
	// Releases gives what can be installed now: asked often, must be cheap.
	Releases func() []Release
	// Mirrors gives the URLs of bundle servers in the order to try them, MirrorCA the PEM of their authority.
	Mirrors  func() []string
	MirrorCA func() []byte
	// Tasks is how many tasks an entry point has on a host of a role, for progress; nil, or 0: not known.
	Tasks func(entry v1alpha1.EntryPoint, role v1alpha1.Role) int
	// RenderAddon makes the objects of an addon and their digest; nil: the addons that are shipped.
	RenderAddon func(d *v1alpha1.ClusterDeployment, release Release, a v1alpha1.Addon) ([]unstructured.Unstructured, string, error)
	// Requirements of hosts; the zero value is what the shipped content needs.
	Requirements Requirements
	// ProbeInterval is the time between visits to a host where nothing happens; 0 means 10 minutes.
	ProbeInterval time.Duration
	// Visits is how many hosts are visited at once; 0 means 64.
	Visits int
	// Limits are the numbers of the planner.
	Limits plan.Limits
	// Clock tells the time; nil: the machine's.
	Clock clock.Clock
	// Crash is called at each named point at which a death of the process is tested; nil outside of tests.
	Crash func(point string)
}

// domain is what the controllers share.
type domain struct {
	Options
	kit  kube.Kit
	view *view.View
}

// controllers are all controllers in the order of their work.
func controllers() []struct {
	name string
	add  func(ctrl.Manager, *domain) error
} {
	return []struct {
		name string
		add  func(ctrl.Manager, *domain) error
	}{
		{"machine", addMachine}, {"machineset", addMachineSet}, {"clusterdeployment", addClusterDeployment},
		{"clusterinstall", addClusterInstall}, {"operation", addOperation}, {"remotemachineset", addRemoteMachineSet}, {"addons", addAddons},
	}
}

// Controllers names the controllers of the domain.
func Controllers() []string {
	var names []string
	for _, c := range controllers() {
		names = append(names, c.name)
	}
	return names
}

// Setup adds the controllers to a manager that was made with ManagerOptions.
func Setup(mgr ctrl.Manager, o Options) error {
	chosen, err := choose(o.Controllers)
	if err != nil {
		return err
	}
	o.complete()
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := view.Index(context.Background(), mgr.GetFieldIndexer()); err != nil {
		return err
	}
	d := &domain{Options: o, kit: kube.Kit{
		Client: mgr.GetClient(), Live: live, Recorder: mgr.GetEventRecorder("slipway"), Clock: o.Clock, Crash: o.Crash,
	}}
	d.view = &view.View{
		Kit: d.kit, Connections: view.NewConnections(live, o.Connector), Limits: o.Limits,
		Content: view.Content{Version: o.ContentVersion, Releases: o.Releases},
		Freeze:  kube.Freeze{Namespace: v1alpha1.FreezeNamespace, Name: v1alpha1.FreezeConfigMap},
	}
	if d.RenderAddon == nil {
		d.RenderAddon = d.renderAddon
	}
	for _, c := range controllers() {
		if !slices.Contains(chosen, c.name) {
			continue
		}
		if err := c.add(mgr, d); err != nil {
			return err
		}
	}
	if err := count(metrics.Registry, mgr.GetClient(), d.view.Freeze); err != nil {
		return fmt.Errorf("registering metrics of the fleet: %w", err)
	}
	return mgr.Add(manager.RunnableFunc(d.prepare))
}

func (o *Options) complete() {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.RunChanged == nil {
		o.RunChanged = &kube.Signal{}
	}
	if o.ClusterChanged == nil {
		o.ClusterChanged = &kube.Signal{}
	}
	if o.Releases == nil {
		o.Releases = func() []Release { return nil }
	}
	if o.Mirrors == nil {
		o.Mirrors = func() []string { return nil }
	}
	if o.MirrorCA == nil {
		o.MirrorCA = func() []byte { return nil }
	}
}

// choose turns the names that a person gave into the controllers that run.
func choose(wanted []string) ([]string, error) {
	all := Controllers()
	chosen := []string{}
	off := map[string]bool{}
	for _, name := range wanted {
		plain := strings.TrimPrefix(name, "-")
		if plain != "fleet" && !slices.Contains(all, plain) {
			return nil, fmt.Errorf("there is no controller %q: choose from fleet (all of them), %s", plain, strings.Join(all, ", "))
		}
		switch {
		case plain != name:
			off[plain] = true
		case name == "fleet":
			chosen = append(chosen, all...)
		default:
			chosen = append(chosen, name)
		}
	}
	if len(chosen) == 0 {
		chosen = all
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(name string) bool { return off[name] || off["fleet"] }), nil
}

func addMachine(mgr ctrl.Manager, d *domain) error {
	return machine.Setup(mgr, machine.Options{
		Kit: d.kit, View: d.view, Prober: d.Prober, Requirements: d.Requirements, ProbeInterval: d.ProbeInterval, Concurrency: d.Visits,
	})
}

func addMachineSet(mgr ctrl.Manager, d *domain) error {
	return machineset.Setup(mgr, machineset.Options{Kit: d.kit, View: d.view})
}

func addClusterDeployment(mgr ctrl.Manager, d *domain) error {
	return clusterdeployment.Setup(mgr, clusterdeployment.Options{Kit: d.kit, View: d.view})
}

func addClusterInstall(mgr ctrl.Manager, d *domain) error {
	return clusterinstall.Setup(mgr, clusterinstall.Options{Kit: d.kit, View: d.view, Nodes: d.ClusterChanged})
}

func addOperation(mgr ctrl.Manager, d *domain) error {
	m, err := operation.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics of operations: %w", err)
	}
	return operation.Setup(mgr, operation.Options{
		Kit: d.kit, View: d.view, Executor: d.Executor, Prober: d.Prober, Runs: d.RunChanged,
		Mirrors: d.Mirrors, MirrorCA: d.MirrorCA, Tasks: d.Tasks, Metrics: m,
	})
}

func addRemoteMachineSet(mgr ctrl.Manager, d *domain) error {
	return remotemachineset.Setup(mgr, remotemachineset.Options{Kit: d.kit, View: d.view, Nodes: d.ClusterChanged})
}

func addAddons(mgr ctrl.Manager, d *domain) error {
	return addons.Setup(mgr, addons.Options{Kit: d.kit, View: d.view, Nodes: d.ClusterChanged, Render: d.RenderAddon})
}
