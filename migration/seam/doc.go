// Package seam decides how the blocks of a running source become blocks of a running target, so that the target has every
// sample of the source before S' exactly once, and behind it those alone that it lacks. It is pure: it looks at nothing
// and changes nothing.
//
// What is S'? The target's own first head minimum: from there on the target scrapes for itself.
//
// Why pieces? A block that ends inside the target's head makes the target drop its own samples at its next restart, and a
// block that both servers scraped would give every series two samples of one scrape. So the block over S' is cut: piece A
// ends at S' and goes in at once; piece B holds, per series, what the target lacks, and goes in when the target has
// cut its own head behind it.
//
// What if the target is down later? Then what it missed is brought in a further round: a range from before the end of the
// last one to a moment when both scrape the same again, with pieces of its own. Rounds are not undone by later ones, and each
// finds what the earlier ones brought as samples that the target has.
//
// How is "exactly once" kept while both servers compact? By the blocks that a block was made of (compaction.sources): the
// source's and the target's lists of them are compared, never names. What is in two blocks is taken from one.
//
// What does it not do? It does not look at retention, damage inside of blocks, or space.
package seam
