package cutover

import (
	"context"
	"fmt"
	"time"
)

// The counters of sending (Prometheus, notifier/metric.go).
const (
	metricSent    = "prometheus_notifications_sent_total"
	metricErrors  = "prometheus_notifications_errors_total"
	metricDropped = "prometheus_notifications_dropped_total"
)

// listener follows what one server tells its Alertmanagers. Clocks of other hosts are not compared with ours: all is told by what changed.
type listener struct {
	r                  *runner
	p                  *prometheus
	send               sender
	resend, evaluation time.Duration
	begin              time.Time
	before             []sample
	// told holds, per Alertmanager, when each alert was told last as we began.
	told []map[string]heldAlert
	// heard are the alerts that were told again, per Alertmanager.
	heard []map[string]bool
}

func (r *runner) newListener(ctx context.Context, p *prometheus) (*listener, error) {
	if err := r.preferManagers(ctx); err != nil {
		return nil, err
	}
	l := &listener{r: r, p: p, begin: r.now()}
	from, to, slack, err := r.senders(ctx)
	if err != nil {
		return nil, err
	}
	l.evaluation, l.send = slack, to
	if p == r.source {
		l.send = from
	}
	if l.resend, err = p.resendDelay(ctx); err != nil {
		return nil, err
	}
	if l.before, err = l.counters(ctx); err != nil {
		return nil, err
	}
	for _, m := range r.managers {
		held, err := m.held(ctx)
		if err != nil {
			return nil, err
		}
		l.told, l.heard = append(l.told, held), append(l.heard, map[string]bool{})
	}
	return l, nil
}

func (l *listener) counters(ctx context.Context) ([]sample, error) {
	return l.p.samples(ctx, metricSent, metricErrors, metricDropped)
}

// listen is nil when all was heard.
func (l *listener) listen(ctx context.Context) error {
	alerts, err := l.p.alerts(ctx)
	if err != nil {
		return err
	}
	firingNow := map[string]bool{}
	for name, a := range bySent(alerts, l.send) {
		if a.State == firing {
			firingNow[name] = true
		}
	}
	if err := l.sent(ctx, len(firingNow)); err != nil {
		return err
	}
	for i, m := range l.r.managers {
		held, err := m.held(ctx)
		if err != nil {
			return err
		}
		for name := range firingNow {
			now, ok := held[name]
			if !ok {
				return fmt.Errorf("%s does not hold %s", m.Name(), name)
			}
			if now.UpdatedAt.After(l.told[i][name].UpdatedAt) {
				l.heard[i][name] = true
			}
			if !l.heard[i][name] {
				return fmt.Errorf("%s was not told again of %s", m.Name(), name)
			}
		}
	}
	return nil
}

// sent looks at the server's own counters: an alert that is told again counts once more for every Alertmanager. In the time of one
// resend each alert is told once, so a count that is too early may be of the same alert twice.
func (l *listener) sent(ctx context.Context, fires int) error {
	now, err := l.counters(ctx)
	if err != nil {
		return err
	}
	active, err := l.p.alertmanagers(ctx)
	if err != nil {
		return err
	}
	if len(active) == 0 {
		return fmt.Errorf("the %s sends to no Alertmanager", l.p.Name())
	}
	if failed := sum(now, metricErrors) + sum(now, metricDropped) - sum(l.before, metricErrors) - sum(l.before, metricDropped); failed > 0 {
		l.before, l.begin = now, l.r.now() // what comes after must be without
		return fmt.Errorf("%g sends of the %s failed", failed, l.p.Name())
	}
	if fires == 0 {
		return nil
	}
	for _, manager := range active {
		if grown := sentTo(now, manager) - sentTo(l.before, manager); grown < float64(fires) {
			return fmt.Errorf("the %s sent %g alerts to %s, and %d fire", l.p.Name(), grown, manager, fires)
		}
	}
	if left := l.resend + l.evaluation - l.r.now().Sub(l.begin); left > 0 {
		return fmt.Errorf("the %s tells every alert once in %s; %s left", l.p.Name(), l.resend+l.evaluation, left.Round(time.Second))
	}
	return nil
}

// sentTo counts what was sent to one Alertmanager; the label is its address with the path of its API.
func sentTo(found []sample, manager string) (total float64) {
	for _, s := range found {
		if at, err := managerURL(s.labels["alertmanager"]); s.name == metricSent && err == nil && at == manager {
			total += s.value
		}
	}
	return total
}
