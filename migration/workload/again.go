package workload

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// Roles of jobs that come after a move: RoleProof compares once more, RoleUndo takes back what a move brought.
const (
	RoleProof Role = "proof"
	RoleUndo  Role = "undo"
)

// Proof compares both servers, whose histories meet at seam; its report is one object of JSON. It mounts nothing.
func (w *Workload) Proof(seam time.Time) (*batchv1.Job, error) {
	args := []string{"prometheus", "proof", flag("source", w.o.Source.URL), flag("target", w.o.TargetURL), flag("output", "json"), "--quiet"}
	if !seam.IsZero() {
		args = append(args, flag("seam", seam.UTC().Format(time.RFC3339Nano)))
	}
	return w.job(RoleProof, pod{args: slices.Concat(args, each("left-behind", w.o.Except), number("samples", int64(w.o.Transfer.Samples)))})
}

// Undo takes back what a move brought, and lets go of the blocks on the source.
func (w *Workload) Undo() (*batchv1.Job, error) {
	from, secret, err := w.o.Source.from()
	if err != nil {
		return nil, fmt.Errorf("planning the pods of migration %s: %w", w.o.Name, err)
	}
	args := append([]string{"prometheus", "migrate", "--undo"}, from...)
	args = append(args, flag("source-server", w.o.Source.URL), flag("target", w.o.TargetURL), flag("target-data", DataDir), flag("state", MoveFolder), flag("progress", "json"))
	return w.job(RoleUndo, pod{args: args, volume: true, secrets: []mount{secret}})
}
