// Package replica makes one source of two replicas of a server: two that scraped the same, each with holes of its own. For
// each range of blocks one of them is chosen, and samples of both are never put together.
//
// What is a range? Blocks of both that overlap, and all that these overlap with. Servers with blocks of one length end them at
// the same times, and compact them into multiples of it, so a range ends where blocks of both end: nothing has to be cut.
//
// Who is chosen? The one with more samples there. The other one is taken where a block is damaged, or its replica is gone, if it
// holds the range whole. What is chosen once stays chosen: it is written down before it is offered, because the target may have it.
//
// What does it not do? It moves nothing (move does), and it does not look into blocks: it believes the counts of their meta.json.
package replica
