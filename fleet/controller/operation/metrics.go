package operation

import (
	"errors"

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
	var err error
	if m.Ended, err = register(registry, m.Ended); err != nil {
		return nil, err
	}
	m.Seconds, err = register(registry, m.Seconds)
	return m, err
}

// register gives the collector that is registered already when there is one: a second manager in one process counts on.
func register[C prometheus.Collector](registry prometheus.Registerer, c C) (C, error) {
	err := registry.Register(c)
	var before prometheus.AlreadyRegisteredError
	if errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	return c, err
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
