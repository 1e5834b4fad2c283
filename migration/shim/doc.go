// Package shim answers the remote read of a new Prometheus server from the old one, up to a boundary: the first sample of the new
// server's own head. What is older comes from the old server, what is younger never does, so no query and no rule of the new
// server reads two scrapes of one series.
//
// Why not remote_read straight to the old server? With read_recent: false a server that has no block of its own asks for everything
// up to now and some hours (cmd/prometheus/main.go, readyStorage.StartTime), and both servers scrape.
//
// Why does a failed answer begin with a good frame? Prometheus takes an error of the first Next of a remote read as a warning and
// goes on with what it has: rules record partial values (storage/secondary.go). An error of a later Next fails the query. So a
// streamed answer that cannot be given is one frame and a connection that breaks.
//
// The shim changes nothing on either server and holds no data. Memory is bounded by the largest series that is asked for.
package shim
