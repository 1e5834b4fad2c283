package cutover

import (
	"context"
	"fmt"
)

func (r *runner) remoteWriteSteps() []step {
	const why = "have the target write remotely too; until the source stops, the receiver gets every series twice, at different times"
	settled := func(ctx context.Context, _ *Record) error { return r.writesRemotely(ctx) }
	var target step = &edit{r: r, step: StepTargetRemoteWrite, server: r.target, section: sectionRemoteWrite, on: true,
		sectionFile: r.Spec.RemoteWrite.SectionFile, why: why, settled: settled}
	if r.target.spec.ReloadBy == ReloadDeclared {
		target = &declared{r: r, step: StepTargetRemoteWrite, server: r.target, section: sectionRemoteWrite, wants: WantsRemoteWriteOn, why: why, settled: settled}
	}
	return []step{
		target,
		&edit{r: r, step: StepSourceRemoteWrite, server: r.source, section: sectionRemoteWrite, ofSource: true,
			why:   "end remote_write of the source; what it has not sent by then is sent within its flush deadline",
			ready: func(ctx context.Context, _ *Record) error { return r.writesRemotely(ctx) }},
	}
}

// The counters of remote write (Prometheus, storage/remote/queue_manager.go). The first name of each is of 2.x before 2.23.
const (
	metricWritten = "prometheus_remote_storage_samples_total"
	metricFailed  = "prometheus_remote_storage_samples_failed_total"
	metricBytes   = "prometheus_remote_storage_bytes_total"
)

// writesRemotely waits until every queue of the target has sent bytes and samples, and none failed meanwhile.
func (r *runner) writesRemotely(ctx context.Context) error {
	if r.Spec.overridden(RuleWritesRemotely) {
		return nil
	}
	begin, err := r.target.samples(ctx, metricFailed)
	if err != nil {
		return err
	}
	err = r.until(ctx, StepTargetRemoteWrite, "the target's remote_write", min(2*loadTime, r.Patience), func() error {
		now, err := r.target.samples(ctx, metricWritten, metricFailed, metricBytes)
		if err != nil {
			return err
		}
		queues := 0
		for _, s := range now {
			if s.name != metricWritten {
				continue
			}
			if queues++; s.value == 0 {
				return fmt.Errorf("the queue for %s has sent nothing", s.labels["url"])
			}
		}
		if failed := sum(now, metricFailed) - sum(begin, metricFailed); failed > 0 {
			begin = now
			return fmt.Errorf("%g samples were refused for good", failed)
		}
		if queues == 0 || sum(now, metricBytes) == 0 {
			return fmt.Errorf("no queue has sent anything")
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return refuse(RuleWritesRemotely, "%v", err)
	}
	return err
}
