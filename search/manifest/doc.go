// Package manifest reads the kinds of the search domain from a plain file, where there is no Kubernetes. What a field may hold is what the generated
// CRDs say, defaults included; the rules that those hold in CEL are held here by hand, and one table of tests holds both. Every error names file, line
// and field.
package manifest
