package operation

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Metrics are what the controller counts.
type Metrics struct {
	// Ended counts operations by entry point and phase; Seconds is how long they took.
	Ended   *prometheus.CounterVec
	Seconds *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		Ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slipway_operations_total", Help: "Operations that came to their end.",
		}, []string{"entry_point", "phase"}),
		Seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "slipway_operation_duration_seconds", Help: "Time from the start of an operation to its end.",
			Buckets: []float64{1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600},
		}, []string{"entry_point"}),
	}
	for _, c := range []prometheus.Collector{m.Ended, m.Seconds} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (r *Reconciler) observeEnd(op *v1alpha1.Operation) {
	if r.Metrics == nil {
		return
	}
	r.Metrics.Ended.WithLabelValues(string(op.Spec.EntryPoint), string(op.Status.Phase)).Inc()
	if op.Status.StartedAt != nil && op.Status.FinishedAt != nil {
		r.Metrics.Seconds.WithLabelValues(string(op.Spec.EntryPoint)).Observe(op.Status.FinishedAt.Sub(op.Status.StartedAt.Time).Seconds())
	}
}
