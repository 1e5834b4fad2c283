// Package server asks one Prometheus server over HTTP: with its secrets from files, within limits of time and size, gently, and without
// changing anything. It knows the envelope of the JSON API and the text of /metrics, and nothing of what the answers mean. It stays small:
// programs that land on other people's servers hold it.
package server
