// Package course says what comes next in a move of a Prometheus server into a cluster: from the spec and from what was seen, which
// phase it is in, what is to be done now, what is waited for, and which named rule holds it. It is pure: it looks at nothing, does
// nothing, and reads no clock.
//
// How does it find its place after a crash? Every step asks whether what it is for is there already; the first one that is not is
// the next one. What a job did is told by the job itself: it stays until the end. Only the moment of the cutover is remembered, in
// the status of the migration, because nothing that came before it counts any more.
//
// What does it never do? It restarts the target once, between two proofs, and never after the second; it asks nobody to delete the
// target's claim; it lets nothing pass a gate because of what somebody meant to do, only by what was seen.
package course
