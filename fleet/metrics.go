package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// collector counts what the cache holds when it is asked.
type collector struct {
	reader             client.Reader
	machines, clusters *prometheus.Desc
}

func newCollector(reader client.Reader) *collector {
	return &collector{
		reader:   reader,
		machines: prometheus.NewDesc("slipway_machines", "Machines by phase.", []string{"phase"}, nil),
		clusters: prometheus.NewDesc("slipway_cluster_deployments", "ClusterDeployments by state.", []string{"state"}, nil),
	}
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.machines
	out <- c.clusters
}

// Collect counts.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var machines v1alpha1.MachineList
	if err := c.reader.List(ctx, &machines, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(c.machines, err)
		return
	}
	phases := map[string]int{}
	for i := range machines.Items {
		phases[string(machines.Items[i].Status.Phase)]++
	}
	for phase, n := range phases {
		out <- prometheus.MustNewConstMetric(c.machines, prometheus.GaugeValue, float64(n), phase)
	}
	var deployments v1alpha1.ClusterDeploymentList
	if err := c.reader.List(ctx, &deployments, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(c.clusters, err)
		return
	}
	states := map[string]int{}
	for i := range deployments.Items {
		states[deployments.Items[i].Status.State]++
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(c.clusters, prometheus.GaugeValue, float64(n), state)
	}
}

// count registers the collector. Only the first manager of a process is counted.
func count(registry prometheus.Registerer, reader client.Reader) error {
	var before prometheus.AlreadyRegisteredError
	if err := registry.Register(newCollector(reader)); err != nil && !errors.As(err, &before) {
		return err
	}
	return nil
}
