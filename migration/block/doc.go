// Package block reads, judges, pins, cuts and installs the blocks of a Prometheus data directory (2.x and 3.x).
// It knows files, not servers: it starts nothing, asks nobody, and never writes into a data directory that it reads.
//
// Why is what the library checks not enough? Prometheus checks the table of contents, the symbols and the postings table
// when it loads a block, a series or a chunk when a query touches it, and the label index never. So damage shows months
// later, or ends the next start. Scrub reads every byte once, checks every sum, decodes every sample and counts again.
//
// Why does it not use mmap? A bad sector under a mapping is a signal that ends the process; under read(2) it is an error
// with an offset, which is what Scrub is for. Reading also lets it leave the page cache of a busy server as it was.
//
// What is trusted? Nothing in the directory. Names are resolved inside it (os.Root), symbolic links are refused, sizes and
// counts are held against the bytes that are there before memory is taken, and a decoder that panics is damage of one chunk.
package block
