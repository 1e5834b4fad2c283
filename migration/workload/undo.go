package workload

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
)

// RoleUndo takes back what a move brought.
const RoleUndo Role = "undo"

// Undo takes out of the target what a move brought, empties what it staged, and lets go of the blocks on the source.
func (w *Workload) Undo() (*batchv1.Job, error) {
	from, secret, err := w.o.Source.from()
	if err != nil {
		return nil, fmt.Errorf("planning the pods of migration %s: %w", w.o.Name, err)
	}
	args := append([]string{"prometheus", "migrate", "--undo"}, from...)
	args = append(args, flag("source-server", w.o.Source.URL), flag("target", w.o.TargetURL), flag("target-data", DataDir), flag("state", MoveFolder), flag("progress", "json"))
	return w.job(RoleUndo, pod{args: args, volume: true, secrets: []mount{secret}})
}
