package course

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
)

// Limits of the kind's status; what a job tells is cut to them.
const (
	maxList    = 32
	maxText    = 1024
	maxSummary = 2048
	maxStop    = 4096
	maxDiff    = 16384
	maxWord    = 64
)

// Write puts a decision into the status of a migration. Its conditions are for the caller, who keeps their times.
func (d *Decision) Write(status *v1alpha1.PrometheusMigrationStatus, now time.Time) {
	if status.Phase != d.Phase {
		status.Phase, status.PhaseSince = d.Phase, &metav1.Time{Time: now}
	}
	if d.CutOver && status.CutOverAt == nil {
		status.CutOverAt = &metav1.Time{Time: now}
	}
	if d.Phase == v1alpha1.PhaseRolledBack {
		status.CutOverAt = nil
	}
	d.writeWords(status)
	d.writeMove(status)
	d.writeEnd(status)
	if d.Grafana != nil || !d.asked || d.Phase == v1alpha1.PhaseRolledBack {
		status.Grafana = d.Grafana
	}
	wanted := v1alpha1.SideSource
	if slices.Contains([]v1alpha1.Phase{v1alpha1.PhaseObserve, v1alpha1.PhaseFinalize, v1alpha1.PhaseFinalized}, d.Phase) {
		wanted = v1alpha1.SideTarget
	}
	if status.Endpoint == nil {
		status.Endpoint = &v1alpha1.EndpointStatus{}
	}
	status.Endpoint.Wanted = wanted
}

// writeWords tells what is done, waited for and stopped by.
func (d *Decision) writeWords(status *v1alpha1.PrometheusMigrationStatus) {
	status.Waits, status.NeedsApproval, status.Diff = texts(d.Waits), slices.Clone(d.NeedsApproval), cut(d.Diff, maxDiff)
	status.Stop = nil
	if s := d.Stop; s != nil && s.Rule != "" && s.Text != "" {
		status.Stop = &v1alpha1.Stop{Rule: cut(s.Rule, maxWord), Text: cut(s.Text, maxStop)}
	}
	status.Steps = nil
	if d.Line != nil {
		status.Steps = texts(d.Line.Steps)
	}
	if d.Proof != nil {
		status.Proof = d.Proof
	}
}

// writeEnd notes what can be switched off.
func (d *Decision) writeEnd(status *v1alpha1.PrometheusMigrationStatus) {
	off := slices.Clone(d.Off)
	if d.Line != nil {
		off = append(slices.Clone(d.Line.SwitchOff), off...)
	}
	for _, o := range off {
		if note := cut("can be switched off: "+o.What+": "+o.How, maxText); !slices.Contains(status.Notes, note) && len(status.Notes) < 2*maxList {
			status.Notes = append(status.Notes, note)
		}
	}
}

func (d *Decision) writeMove(status *v1alpha1.PrometheusMigrationStatus) {
	l := d.Move
	if l == nil {
		return
	}
	status.Notes = texts(l.Notes)
	status.Seam, status.End = instant(l.Seam), instant(l.End)
	if b := l.Blocks; b != nil {
		status.Blocks = &v1alpha1.BlockCounts{Total: count(b.Total), Staged: count(b.Staged), Installed: count(b.Installed), Verified: count(b.Verified),
			Text: fmt.Sprintf("%d/%d/%d", max(b.Staged, 0), max(b.Installed, 0), max(b.Total, 0))}
	}
	if x := l.Transfer; x != nil {
		t := &v1alpha1.TransferStatus{BytesDone: size(x.BytesDone), BytesTotal: size(x.BytesTotal), BytesPerSecond: size(x.BytesPerSecond), LimitedBy: cut(x.LimitedBy, maxWord)}
		if x.ETASeconds >= 0 {
			t.ETASeconds = ptr.To(x.ETASeconds)
			t.ETA = cut((time.Duration(min(x.ETASeconds, 1<<32)) * time.Second).String(), maxWord/2)
		}
		if disk := x.SourceDisk; disk != nil && disk.SizeBytes > 0 {
			t.SourceFreeBytes, t.SourceSizeBytes = size(disk.FreeBytes), size(disk.SizeBytes)
		}
		for _, s := range x.Signals {
			if s = cut(s, maxWord); s != "" && !slices.Contains(t.Signals, s) && len(t.Signals) < 16 {
				t.Signals = append(t.Signals, s)
			}
		}
		status.Transfer = t
	}
}

func count(n int32) *int32 { return ptr.To(max(n, 0)) }

func size(n int64) *int64 { return ptr.To(max(n, 0)) }

// instant keeps whole seconds, as the API does: the same moment must not look like a change.
func instant(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

// texts are the first of a list that say something, each cut.
func texts(all []string) (kept []string) {
	for _, t := range all {
		if t = cut(t, maxText); t != "" && len(kept) < maxList {
			kept = append(kept, t)
		}
	}
	return kept
}

// cut keeps a text within n bytes and whole characters.
func cut(text string, n int) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, ""))
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n-len("…")], "") + "…"
}

func proofOf(p *Proof, after v1alpha1.AfterRestart) *v1alpha1.Proof {
	return &v1alpha1.Proof{Verdict: first(cut(p.Verdict, maxWord), "Unknown"), Summary: cut(p.Summary, maxSummary),
		Seed: ptr.To(int64(min(p.Seed, 1<<53))), At: instant(&p.At), AfterRestart: after}
}
