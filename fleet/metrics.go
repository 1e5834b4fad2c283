package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// collector counts what the cache holds when it is asked.
type collector struct {
	reader client.Reader
	freeze kube.Freeze
	// machines and clusters count by phase and state; ill counts machines by condition that is not True; conditions has one
	// value per deployment and condition.
	machines, clusters, ill, conditions, frozen *prometheus.Desc
}

func newCollector(reader client.Reader, freeze kube.Freeze) *collector {
	return &collector{
		reader:     reader,
		freeze:     freeze,
		machines:   prometheus.NewDesc("slipway_machines", "Machines by phase.", []string{"phase"}, nil),
		clusters:   prometheus.NewDesc("slipway_cluster_deployments", "ClusterDeployments by state.", []string{"state"}, nil),
		ill:        prometheus.NewDesc("slipway_machines_ill", "Machines by condition that is False or Unknown.", []string{"condition", "status"}, nil),
		conditions: prometheus.NewDesc("slipway_cluster_deployment_condition", "1 when the condition of the deployment is True, else 0.", []string{"namespace", "name", "condition"}, nil),
		frozen:     prometheus.NewDesc("slipway_frozen", "1 while slipway freeze stops every start of anything, else 0.", nil, nil),
	}
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.machines, c.clusters, c.ill, c.conditions, c.frozen} {
		out <- d
	}
}

// Collect counts.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for desc, collect := range map[*prometheus.Desc]func(context.Context, chan<- prometheus.Metric) error{
		c.machines: c.collectMachines, c.clusters: c.collectDeployments, c.frozen: c.collectFreeze,
	} {
		if err := collect(ctx, out); err != nil {
			out <- prometheus.NewInvalidMetric(desc, err)
		}
	}
}

func (c *collector) collectMachines(ctx context.Context, out chan<- prometheus.Metric) error {
	var machines v1alpha1.MachineList
	if err := c.reader.List(ctx, &machines, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return err
	}
	phases, ill := map[string]int{}, map[[2]string]int{}
	for i := range machines.Items {
		status := &machines.Items[i].Status
		phases[string(status.Phase)]++
		for _, condition := range status.Conditions {
			if condition.Status != metav1.ConditionTrue {
				ill[[2]string{condition.Type, string(condition.Status)}]++
			}
		}
	}
	for phase, n := range phases {
		out <- prometheus.MustNewConstMetric(c.machines, prometheus.GaugeValue, float64(n), phase)
	}
	for kind, n := range ill {
		out <- prometheus.MustNewConstMetric(c.ill, prometheus.GaugeValue, float64(n), kind[0], kind[1])
	}
	return nil
}

func (c *collector) collectDeployments(ctx context.Context, out chan<- prometheus.Metric) error {
	var deployments v1alpha1.ClusterDeploymentList
	if err := c.reader.List(ctx, &deployments, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		return err
	}
	states := map[string]int{}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		states[d.Status.State]++
		for _, condition := range d.Status.Conditions {
			out <- prometheus.MustNewConstMetric(c.conditions, prometheus.GaugeValue, one(condition.Status == metav1.ConditionTrue), d.Namespace, d.Name, condition.Type)
		}
	}
	for state, n := range states {
		out <- prometheus.MustNewConstMetric(c.clusters, prometheus.GaugeValue, float64(n), state)
	}
	return nil
}

func (c *collector) collectFreeze(ctx context.Context, out chan<- prometheus.Metric) error {
	_, frozen, err := c.freeze.Frozen(ctx, c.reader)
	if err != nil {
		return err
	}
	out <- prometheus.MustNewConstMetric(c.frozen, prometheus.GaugeValue, one(frozen))
	return nil
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// count registers the collector. Only the first manager of a process is counted.
func count(registry prometheus.Registerer, reader client.Reader, freeze kube.Freeze) error {
	var before prometheus.AlreadyRegisteredError
	if err := registry.Register(newCollector(reader, freeze)); err != nil && !errors.As(err, &before) {
		return err
	}
	return nil
}
