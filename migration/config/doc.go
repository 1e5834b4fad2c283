// Package config edits the configuration file of a Prometheus server and keeps every byte that is not meant: comments, order,
// indentation, line ends. It knows YAML and the names of sections; what a server makes of them it does not know.
//
// How is an edit made? YAML is parsed for the places of its nodes, bytes are cut out or put in at whole lines, and the result is
// parsed again. Both are compared as trees with aliases followed: an edit that does anything but what was asked is refused.
// So what is odd (flow style, anchors over sections, tabs) need not all be understood: it works, or it is refused with line and why.
//
// Secrets: Taken, Bytes and the values of edits may hold passwords. Diff does not.
package config
