// Package kube is the kit that every controller is built from: phases, one status patch per pass, conditions, kinds
// of error, finalizers, gates and signals. It knows no kind of ours and starts nothing by itself.
//
// How do the pieces meet in a Reconcile?
//
//	get the object → patch := kube.NewPatch(client, obj) → scope → result, err := kube.Run(ctx, scope, phases...)
//	→ set conditions → kube.Finish(ctx, kit, obj, patch, result, err)
//
// Why does nothing here remember what was written a moment ago? The client of the manager is made with read-your-writes
// consistency (see fleet.ManagerOptions): a read waits until the cache has seen the writes of this process. Writes of
// others are caught by the resourceVersion that every patch carries where two controllers share an object.
package kube
