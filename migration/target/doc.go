// Package target says what the new server of a migration is to be: its configuration, its flags, its size and its manifests. All
// of it follows from what the old server is and from a spec; nothing is asked and nothing is written.
//
// Why is every change listed? The new server has to scrape, record and answer as the old one does, or the proof of the move
// compares two different things. So it gets the old one's configuration byte for byte, but for changes that have a name and a reason.
//
// What stops a plan? Findings that refuse. Each has a name, and can be let pass by it, but for those without which nothing can be
// written at all; these are errors.
package target
