package operation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/executor"
	"github.com/slipway-dev/slipway/fleet/controller/view"
	"github.com/slipway-dev/slipway/kube"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

// Limits of the status.
const (
	// manyHosts is how many hosts an operation may have before only those that run or failed are listed.
	manyHosts = 500
	// writeApart is the least time between two writes of progress; each host adds writePerHost to it.
	writeApart   = 2 * time.Second
	writePerHost = 40 * time.Millisecond
)

// status copies what a pass saw. It returns how long to wait where progress was seen too soon after the last write.
func (r *Reconciler) status(s *scope, err error) time.Duration {
	op := s.op
	switch {
	case view.Finished(op):
		return 0
	case s.end != "":
		r.finish(s, s.end, s.endMessage)
	case s.run == nil:
		waiting(s, err)
	case s.run.Phase.Finished():
		r.copyRun(s)
		r.finish(s, outcome(s), message(s))
	default:
		return r.progress(s)
	}
	return 0
}

// waiting says why an operation has not started.
func waiting(s *scope, err error) {
	op := s.op
	reason, message := s.waitReason, s.waitMessage
	switch {
	case reason == "" && err != nil:
		reason, message = kube.Reason(err, v1alpha1.ReasonPending), err.Error()
	case reason == "":
		reason, message = v1alpha1.ReasonPending, "not started yet"
	}
	if op.Status.Phase == "" {
		op.Status.Phase = v1alpha1.OperationPending
	}
	kube.False(&op.Status.Conditions, op.Generation, v1alpha1.ConditionComplete, reason, message)
}

// progress copies how a run stands, but not too often.
func (r *Reconciler) progress(s *scope) time.Duration {
	op := s.op
	first := op.Status.Phase != v1alpha1.OperationRunning || op.Status.Attempt != s.attempt
	apart := writeApart + time.Duration(len(op.Spec.Machines))*writePerHost
	if !first {
		r.mu.Lock()
		left := apart - r.Kit.Clock.Since(r.wrote[op.UID])
		r.mu.Unlock()
		if left > 0 {
			return left
		}
	}
	r.copyRun(s)
	op.Status.Phase = v1alpha1.OperationRunning
	kube.False(&op.Status.Conditions, op.Generation, v1alpha1.ConditionComplete, v1alpha1.ReasonRunning, runningWords(op))
	return 0
}

// copyRun copies the results of the run into the status.
func (r *Reconciler) copyRun(s *scope) {
	op := s.op
	op.Status.Executor, op.Status.Attempt = r.Executor.Kind(), s.attempt
	if op.Status.StartedAt == nil {
		op.Status.StartedAt = ptr.To(metav1.NewTime(r.Kit.Clock.Now()).Rfc3339Copy())
	}
	refused := map[string]v1alpha1.HostStatus{}
	for _, h := range op.Status.Hosts {
		if _, in := s.run.Hosts[h.Machine]; !in && (h.Result != v1alpha1.HostPending || h.Message != "") {
			refused[h.Machine] = h
		}
	}
	for name, h := range s.refused {
		refused[name] = h
	}
	summary := &v1alpha1.HostSummary{Total: ptr.To(int32(len(op.Spec.Machines))), Succeeded: ptr.To(int32(0)), Failed: ptr.To(int32(0))}
	hosts := make([]v1alpha1.HostStatus, 0, len(op.Spec.Machines))
	for _, name := range op.Spec.Machines {
		h := r.hostStatus(s, name, refused)
		switch h.Result {
		case v1alpha1.HostSucceeded:
			*summary.Succeeded++
		case v1alpha1.HostFailed, v1alpha1.HostUnreachable:
			*summary.Failed++
		}
		hosts = append(hosts, h)
	}
	op.Status.Summary = summary
	op.Status.Hosts = listed(hosts)
	if outputs := s.run.Outputs; len(outputs) > 0 {
		if raw, err := json.Marshal(outputs); err == nil && len(raw) < 64<<10 {
			op.Status.Outputs = &runtime.RawExtension{Raw: raw}
		}
	}
}

// hostStatus is how one host stands. One that is not in the run could not be taken.
func (r *Reconciler) hostStatus(s *scope, name string, refused map[string]v1alpha1.HostStatus) v1alpha1.HostStatus {
	h, in := s.run.Hosts[name]
	if !in {
		if known, ok := refused[name]; ok {
			return known
		}
		if len(s.run.Hosts) == 0 {
			return v1alpha1.HostStatus{Machine: name, Result: v1alpha1.HostPending}
		}
		return v1alpha1.HostStatus{Machine: name, Result: v1alpha1.HostUnreachable, Task: "taking the host", Message: "it could not be taken"}
	}
	out := v1alpha1.HostStatus{
		Machine: name, Result: v1alpha1.HostResult(h.Result), Task: kube.Limit(h.Task, 250), Message: kube.Limit(h.Message, 1000),
	}
	if h.Done > 0 {
		out.Done = ptr.To(int32(h.Done))
	}
	if r.Tasks != nil && s.seen != nil {
		if m := s.seen.Machine(name); m != nil {
			if total := r.Tasks(s.op.Spec.EntryPoint, s.seen.Role(m)); total > 0 {
				out.Total = ptr.To(int32(max(total, h.Done)))
			}
		}
	}
	if out.Total == nil {
		for _, old := range s.was.Hosts {
			if old.Machine == name && old.Total != nil {
				out.Total = ptr.To(max(*old.Total, int32(h.Done)))
			}
		}
	}
	return out
}

// listed leaves out the hosts about which there is nothing to say when there are many.
func listed(hosts []v1alpha1.HostStatus) []v1alpha1.HostStatus {
	if len(hosts) <= manyHosts {
		return hosts
	}
	return slices.DeleteFunc(hosts, func(h v1alpha1.HostStatus) bool {
		return h.Result == v1alpha1.HostSucceeded || h.Result == v1alpha1.HostPending
	})
}

// outcome is the phase in which an operation ends with its run.
func outcome(s *scope) v1alpha1.OperationPhase {
	switch s.run.Phase {
	case executor.Succeeded:
		if ptr.Deref(s.op.Status.Summary.Failed, 0) > 0 || len(s.run.Hosts) < len(s.op.Spec.Machines) {
			return v1alpha1.OperationFailed
		}
		return v1alpha1.OperationSucceeded
	case executor.Cancelled:
		return v1alpha1.OperationCancelled
	}
	return v1alpha1.OperationFailed
}

// message says in one sentence how an operation ended.
func message(s *scope) string {
	op := s.op
	total, good := len(op.Spec.Machines), ptr.Deref(op.Status.Summary.Succeeded, 0)
	if s.run.Phase == executor.Succeeded && int(good) == total {
		return fmt.Sprintf("succeeded on %d of %d machines", good, total)
	}
	var parts []string
	for _, h := range op.Status.Hosts {
		if h.Result == v1alpha1.HostSucceeded || h.Message == "" && h.Result != v1alpha1.HostFailed && h.Result != v1alpha1.HostUnreachable {
			continue
		}
		if len(parts) == 3 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", h.Machine, worded(h.Task, string(h.Result)), kube.Limit(h.Message, 250)), ": "))
	}
	if len(parts) == 0 && s.run.Message != "" {
		parts = append(parts, s.run.Message)
	}
	words := fmt.Sprintf("succeeded on %d of %d machines", good, total)
	if len(parts) > 0 {
		words += "; " + strings.Join(parts, "; ")
	}
	return words
}

// finish ends an operation.
func (r *Reconciler) finish(s *scope, phase v1alpha1.OperationPhase, message string) {
	op := s.op
	op.Status.Phase = phase
	op.Status.FinishedAt = ptr.To(metav1.NewTime(r.Kit.Clock.Now()).Rfc3339Copy())
	for name, h := range s.refused {
		if !slices.ContainsFunc(op.Status.Hosts, func(o v1alpha1.HostStatus) bool { return o.Machine == name }) {
			op.Status.Hosts = append(op.Status.Hosts, h)
		}
	}
	slices.SortFunc(op.Status.Hosts, func(a, b v1alpha1.HostStatus) int { return strings.Compare(a.Machine, b.Machine) })
	kind, reason, status := corev1.EventTypeNormal, v1alpha1.ReasonSucceeded, metav1.ConditionTrue
	switch phase {
	case v1alpha1.OperationFailed:
		kind, reason = corev1.EventTypeWarning, v1alpha1.ReasonFailed
	case v1alpha1.OperationCancelled:
		reason = v1alpha1.ReasonCancelled
	}
	if kube.Set(&op.Status.Conditions, op.Generation, v1alpha1.ConditionComplete, status, reason, message) && phase != v1alpha1.OperationSucceeded {
		r.Kit.Event(op, kind, "Operation"+reason, "Run", message)
	}
}

// runningWords say how far a run is.
func runningWords(op *v1alpha1.Operation) string {
	if len(op.Spec.Machines) == 1 && len(op.Status.Hosts) == 1 && op.Status.Hosts[0].Done != nil {
		h := op.Status.Hosts[0]
		if h.Total != nil {
			return fmt.Sprintf("%s: %d of %d tasks, %s", h.Machine, *h.Done, *h.Total, h.Task)
		}
		return fmt.Sprintf("%s: %d tasks, %s", h.Machine, *h.Done, h.Task)
	}
	words := fmt.Sprintf("%d of %d machines done", ptr.Deref(op.Status.Summary.Succeeded, 0), len(op.Spec.Machines))
	if failed := ptr.Deref(op.Status.Summary.Failed, 0); failed > 0 {
		words += fmt.Sprintf(", %d failed", failed)
	}
	return words
}

// noted is called after a write: it remembers the time, and gives the machines free when the operation has ended.
func (r *Reconciler) noted(s *scope) {
	if view.Finished(s.op) {
		r.free(s.op)
		r.observeEnd(s.op)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if view.Finished(s.op) {
		delete(r.wrote, s.op.UID)
		return
	}
	r.wrote[s.op.UID] = r.Kit.Clock.Now()
}

func worded(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
