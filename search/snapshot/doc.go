// Package snapshot takes snapshots of indices, proves that they hold them whole, drops replicas that a proof stands in for, and brings lost indices
// back. It decides when nothing about policies: which indices, and when, is told to it.
//
// Each step looks first (observe), decides from what it saw and the journal alone (decide, pure), and sends the requests that it told before (act). So a
// run that was killed anywhere goes on by looking again.
//
// How is a snapshot known to be of this very index, and not of another of the same name? No server tells the UUID of an index within a snapshot. An
// index's UUID never comes back once the index was deleted. So the UUID, the highest sequence numbers and the write block are looked at before the
// snapshot is begun and after it has ended: if all three are the same, what was taken between is this index, with these documents. The name of the
// snapshot is made of the UUIDs and is noted before it is asked for; a snapshot of that name which we did not ask for is never taken for ours. Where
// the server keeps metadata with a snapshot (all but 6.8) the UUIDs stand in there too, and are compared.
//
// What does a proof not say? Bytes of indices that were not read back were written and are listed, but nobody has read them again: a bit that turned
// over in the repository since is found by reading back alone.
package snapshot
