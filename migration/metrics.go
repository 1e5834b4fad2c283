// Package migration is what the operator needs of the domain of moves: the rest lies in packages of their own.
package migration

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// collector tells of each PrometheusMigration that the cache holds when it is asked.
type collector struct {
	reader client.Reader

	phase, since, conditions, stopped, approval, onSource, blocks, bytes, rate, limited *prometheus.Desc
}

func newCollector(reader client.Reader) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("slipway_migration_"+name, help, append([]string{"namespace", "name"}, labels...), nil)
	}
	return &collector{
		reader:     reader,
		phase:      desc("phase", "1 for the phase of the migration.", "phase"),
		since:      desc("phase_since_seconds", "When the phase began, in seconds since 1970."),
		conditions: desc("condition", "1 when the condition of the migration is True, else 0.", "condition"),
		stopped:    desc("stopped", "1 while the migration cannot go on by itself, by the rule that stopped it.", "rule"),
		approval:   desc("waits_for_approval", "1 while a person has to approve this.", "approval"),
		onSource:   desc("served_by_source", "1 while users are led to the old server although the cutover is done, else 0."),
		blocks:     desc("blocks", "Blocks of the old server: total, staged, verified, installed.", "state"),
		bytes:      desc("transfer_bytes", "Bytes of the blocks: total, done.", "state"),
		rate:       desc("transfer_bytes_per_second", "How fast blocks travel now."),
		limited:    desc("transfer_limited", "1 for what slows the copy now.", "by"),
	}
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.phase, c.since, c.conditions, c.stopped, c.approval, c.onSource, c.blocks, c.bytes, c.rate, c.limited} {
		out <- d
	}
}

// Collect tells.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var list v1alpha1.PrometheusMigrationList
	if err := c.reader.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(c.phase, err)
		return
	}
	for i := range list.Items {
		c.tell(&list.Items[i], out)
	}
}

func (c *collector) tell(m *v1alpha1.PrometheusMigration, out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{m.Namespace, m.Name}, labels...)...)
	}
	s := &m.Status
	gauge(c.phase, 1, string(s.Phase))
	if s.PhaseSince != nil {
		gauge(c.since, float64(s.PhaseSince.Unix()))
	}
	for _, condition := range s.Conditions {
		gauge(c.conditions, one(condition.Status == metav1.ConditionTrue), condition.Type)
	}
	if s.Stop != nil {
		gauge(c.stopped, 1, s.Stop.Rule)
	}
	for _, a := range s.NeedsApproval {
		gauge(c.approval, 1, string(a))
	}
	if e := s.Endpoint; e != nil {
		gauge(c.onSource, one(e.Wanted == v1alpha1.SideTarget && e.LeadsTo == v1alpha1.SideSource))
	}
	if b := s.Blocks; b != nil {
		for state, n := range map[string]*int32{"total": b.Total, "staged": b.Staged, "verified": b.Verified, "installed": b.Installed} {
			if n != nil {
				gauge(c.blocks, float64(*n), state)
			}
		}
	}
	if t := s.Transfer; t != nil {
		for state, n := range map[string]*int64{"total": t.BytesTotal, "done": t.BytesDone} {
			if n != nil {
				gauge(c.bytes, float64(*n), state)
			}
		}
		if t.BytesPerSecond != nil {
			gauge(c.rate, float64(*t.BytesPerSecond))
		}
		if t.LimitedBy != "" {
			gauge(c.limited, 1, t.LimitedBy)
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// Count registers the metrics of all migrations that the reader knows. Only the first manager of a process is counted.
func Count(registry prometheus.Registerer, reader client.Reader) error {
	var before prometheus.AlreadyRegisteredError
	if err := registry.Register(newCollector(reader)); err != nil && !errors.As(err, &before) {
		return err
	}
	return nil
}
