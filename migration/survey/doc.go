// Package survey looks at a Prometheus server that is to be moved, and at the one that is to take its place, and says by named rules
// what speaks against the move and what to do about it. It reads through the servers' HTTP API alone and changes nothing.
//
// Observe makes plain structs of what a server tells; Judge, NewPlan and Compare are pure functions of them. Coverage is the gate that
// asks both servers whether they scrape the same targets with the same result.
package survey
