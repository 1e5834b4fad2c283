// Package view reads the objects of the fleet for its controllers: field indexes, what there is of one cluster as the
// plan wants it, and how to reach hosts and clusters. It writes nothing.
//
// Lists come from the cache without deep copies, because the pool may have tens of thousands of machines: what a View
// hands out must not be changed; copy an object before writing it.
package view
