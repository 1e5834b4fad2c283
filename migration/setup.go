// Package migration is the domain in which servers move into clusters. It is the only thing that the operator's command calls: AddToScheme
// for what it reads and writes, Setup for the controllers.
package migration

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/controller/prometheusendpoint"
	"github.com/slipway-dev/slipway/migration/controller/prometheusmigration"
)

// Options are the seams of the domain.
type Options struct {
	// Controllers are the names of those that run; Choose makes them of what a person said.
	Controllers []string
	// Freeze is the ConfigMap that stops every start.
	Freeze kube.Freeze
	// Logs and Probe reach pods; nil: through the API server of the target's cluster.
	Logs  prometheusmigration.Logs
	Probe prometheusendpoint.Probe
	// Sources asks old servers what they are; nil: over HTTP.
	Sources prometheusmigration.Sources
	// Pace is how often a move is looked at, Steady for how long the target must have answered before it gets users; 0: the defaults.
	Pace, Steady time.Duration
	// Clock tells the time; nil: the machine's.
	Clock clock.Clock
	// Crash is called at each named point at which a death of the process is tested; nil outside of tests.
	Crash func(point string)
}

// The names of the controllers.
const (
	Migrations = "prometheusmigration"
	Endpoints  = "prometheusendpoint"
)

// Controllers names the controllers of the domain.
func Controllers() []string { return []string{Migrations, Endpoints} }

// AddToScheme adds the kinds of the domain.
func AddToScheme(scheme *runtime.Scheme) error { return v1alpha1.AddToScheme(scheme) }

// Setup adds the controllers to a manager whose scheme knows the kinds.
func Setup(mgr ctrl.Manager, o Options) error {
	if len(o.Controllers) == 0 {
		return nil
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Sources == nil {
		o.Sources = prometheusmigration.AskSource
	}
	live, err := client.New(mgr.GetConfig(), client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	kit := kube.Kit{Client: mgr.GetClient(), Live: live, Recorder: mgr.GetEventRecorder("slipway"), Clock: o.Clock, Crash: o.Crash}
	clusters := prometheusmigration.NewClusters(mgr.GetConfig(), live, o.Logs)
	if slices.Contains(o.Controllers, Migrations) {
		err := prometheusmigration.Setup(mgr, prometheusmigration.Options{Kit: kit, Freeze: o.Freeze, Clusters: clusters, Sources: o.Sources, Pace: o.Pace})
		if err != nil {
			return err
		}
	}
	if slices.Contains(o.Controllers, Endpoints) {
		err := prometheusendpoint.Setup(mgr, prometheusendpoint.Options{Kit: kit, Clusters: clusters, Probe: o.Probe, Steady: o.Steady})
		if err != nil {
			return err
		}
	}
	if err := count(metrics.Registry, mgr.GetClient()); err != nil {
		return fmt.Errorf("registering metrics of migrations: %w", err)
	}
	return nil
}
