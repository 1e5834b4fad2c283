// Package move brings the history of a running Prometheus under another one that runs already, from host to host or from
// directory to directory, and loses nothing: Pin, Coverage, Stage, Seam, Install, Verify. It ends before anybody's queries
// or alerts are moved.
//
// How does it go on after a kill? Every step looks at the world again: the source's blocks, the target's disk, both
// servers. A plan is made from that (Decide, which is pure), and one step of it is done. What the world cannot tell is in one
// small file: the blocks as they were found, S' as it was frozen, what was cut from what.
//
// What does it never do? It starts, stops and configures no server. On the source it makes a folder of hard links and
// removes it again. On the target it touches its own staging folder, and blocks by one rename.
package move
