// Package proof compares two Prometheus servers and says whether the target holds what the source holds: the blocks, the series,
// the samples bit by bit, the seam where the target began to scrape itself, and the answers to the queries that people use.
// It reads only, through the servers' own HTTP API. It knows no Kubernetes, and changes nothing on either side.
//
// What counts as proved? A check that saw both sides whole. A warning in an answer, an answer that was cut off, a server that went
// away: each makes a check unknown, and an unknown check is not a proved one. What was not looked at is listed in the report.
//
// Why raw samples by remote read, and not a range selector? The JSON of the query API writes every NaN as "NaN" and leaves stale
// markers out. Remote read carries the chunks as they are stored: NaN payloads, stale markers and native histograms included.
//
// Why an engine of our own for queries? Two versions of Prometheus may answer one query differently over the same data (ranges
// are open to the left since 3.0). One engine over both storages leaves the data as the only difference. What each server
// answers itself is compared too, but listed apart.
//
// What does it cost the servers? One request at a time, a pause after each, and a longer one after a slow answer
// (server.Options). What does it cost here? One series of one side, and what a list of one metric's series takes (docs/design).
package proof
