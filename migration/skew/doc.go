// Package skew says what a newer Prometheus does differently with the configuration, rules, dashboards and flags of an older
// one. It reads files and knows versions; it asks no server and changes nothing.
//
// Where do the rules come from? The migration guide of Prometheus 3.0 and the changelog, each held against the source of the
// versions before and after. A change that cannot be seen in a file is told once, for the move as a whole.
//
// Why is nothing searched by pattern? A label value in an alert, in a comment and in a legend look the same. Expressions are
// parsed by Prometheus' own parser, and the configuration is read as a tree with line numbers. What cannot be parsed is a
// finding, so silence means that something was looked at.
//
// Why not the library's own config package? It brings every service discovery with it, and the new version's reader refuses
// the old version's file at the first difference, where a list of all of them is wanted.
package skew
