package migration

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// collector tells what the cache holds when it is asked.
type collector struct {
	reader client.Reader

	phase, since, condition, blocks, bytes, limited, sourceFree, sourceSize, leadsTo, stopped, approval *prometheus.Desc
}

func newCollector(reader client.Reader) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("slipway_migration_"+name, help, append([]string{"namespace", "name"}, labels...), nil)
	}
	return &collector{
		reader:     reader,
		phase:      desc("phase", "1 for the phase that the migration is in.", "phase"),
		since:      desc("phase_since_timestamp_seconds", "When the phase began."),
		condition:  desc("condition", "1 when the condition is True, 0 when it is Unknown, -1 when it is False.", "condition", "reason"),
		blocks:     desc("blocks", "Blocks of the source: total, staged, installed, verified.", "state"),
		bytes:      desc("transfer_bytes", "Bytes that travel: done, total, and per second.", "state"),
		sourceFree: desc("source_free_bytes", "Room on the old server's disk, where its blocks are held."),
		sourceSize: desc("source_size_bytes", "Size of the old server's disk."),
		limited:    desc("transfer_limited", "1 for what slows the copy now.", "by"),
		leadsTo:    desc("endpoint_leads_to", "1 for the server that users reach now; wanted says whether it is the one that they are to reach.", "side", "wanted"),
		stopped:    desc("stopped", "1 while a named rule stops the migration.", "rule"),
		approval:   desc("needs_approval", "1 for each word of a person that the migration waits for.", "approval"),
	}
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.phase, c.since, c.condition, c.blocks, c.bytes, c.limited, c.sourceFree, c.sourceSize, c.leadsTo, c.stopped, c.approval} {
		out <- d
	}
}

// Collect reads all migrations.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var list v1alpha1.PrometheusMigrationList
	if err := c.reader.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		out <- prometheus.NewInvalidMetric(c.phase, err)
		return
	}
	for i := range list.Items {
		c.collect(out, &list.Items[i])
	}
}

func (c *collector) collect(out chan<- prometheus.Metric, m *v1alpha1.PrometheusMigration) {
	s := &m.Status
	tell := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{m.Namespace, m.Name}, labels...)...)
	}
	if s.Phase != "" {
		tell(c.phase, 1, string(s.Phase))
	}
	if s.PhaseSince != nil {
		tell(c.since, float64(s.PhaseSince.Unix()))
	}
	for _, k := range s.Conditions {
		tell(c.condition, map[metav1.ConditionStatus]float64{metav1.ConditionTrue: 1, metav1.ConditionFalse: -1}[k.Status], k.Type, k.Reason)
	}
	c.collectMove(s, tell)
	if e := s.Endpoint; e != nil && e.LeadsTo != "" {
		tell(c.leadsTo, 1, string(e.LeadsTo), map[bool]string{true: "true", false: "false"}[e.LeadsTo == e.Wanted])
	}
	if s.Stop != nil {
		tell(c.stopped, 1, s.Stop.Rule)
	}
	for _, a := range s.NeedsApproval {
		tell(c.approval, 1, string(a))
	}
}

// collectMove tells how far the blocks are.
func (c *collector) collectMove(s *v1alpha1.PrometheusMigrationStatus, tell func(d *prometheus.Desc, value float64, labels ...string)) {
	if b := s.Blocks; b != nil {
		for state, n := range map[string]*int32{"total": b.Total, "staged": b.Staged, "installed": b.Installed, "verified": b.Verified} {
			if n != nil {
				tell(c.blocks, float64(*n), state)
			}
		}
	}
	if t := s.Transfer; t != nil {
		for state, n := range map[string]*int64{"done": t.BytesDone, "total": t.BytesTotal, "per_second": t.BytesPerSecond} {
			if n != nil {
				tell(c.bytes, float64(*n), state)
			}
		}
		if t.SourceFreeBytes != nil && t.SourceSizeBytes != nil {
			tell(c.sourceFree, float64(*t.SourceFreeBytes))
			tell(c.sourceSize, float64(*t.SourceSizeBytes))
		}
		if t.LimitedBy != "" {
			tell(c.limited, 1, t.LimitedBy)
		}
	}
}

// count registers the metrics once per process.
func count(registry prometheus.Registerer, reader client.Reader) error {
	var before prometheus.AlreadyRegisteredError
	if err := registry.Register(newCollector(reader)); err != nil && !errors.As(err, &before) {
		return err
	}
	return nil
}
