// Package agent puts slipway-agent on the host of an old Prometheus server over SSH, starts it, speaks to it through the same
// connection and takes it away again.
//
// What does the host see? One private folder of the user who logs in, with the program, its socket and its log; one process under
// the uid of the data directory's owner; and, once blocks are pinned, slipway-pin in the data directory. Nothing else.
//
// What if we are killed? The next run finds the folder by its name and the process by what it executes, and takes both over. If
// nobody comes back, the agent ends by itself; the folder and the pin stay, and Remove cleans the first and names the second.
package agent
