// Command probe is the program of the verify image: it proves the network of a cluster.
//
// As a server (probe serve) it answers GET /hostname with the name of its pod. As a client
// (probe check) it resolves names and fetches URLs until all succeed or the deadline passes,
// prints one JSON line per target, leaves a summary for Kubernetes in the termination log, and
// exits with 1 if a target failed. It uses the standard library only, because it is compiled in
// a module without requirements.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `usage: probe serve [-listen ADDRESS]
       probe check [-deadline DURATION] [-resolve NAME]... [-get URL]... [-termination-log FILE]
`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "serve":
		err = runServe(ctx, args[1:], stderr)
	case "check":
		err = runCheck(ctx, args[1:], stdout, stderr)
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "probe:", err)
		return 1
	}
	return 0
}

func runServe(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", ":8080", "address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server := &http.Server{Addr: *listen, Handler: handler(os.Hostname), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	finished := make(chan error, 1)
	go func() { finished <- server.ListenAndServe() }()
	select {
	case err := <-finished:
		return fmt.Errorf("serving on %s: %w", *listen, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return nil
}

// handler answers /hostname with the name of the host and /healthz with ok.
func handler(hostname func() (string, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) {
		name, err := hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, name)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var c checker
	deadline := flags.Duration("deadline", time.Minute, "give up after this time")
	log := flags.String("termination-log", "/dev/termination-log", "file for the summary; left out if it does not exist")
	flags.Func("resolve", "host name that must resolve (repeatable)", c.add("resolve"))
	flags.Func("get", "URL that must answer 200 (repeatable)", c.add("get"))
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(c.targets) == 0 {
		return errors.New("nothing to check: give -resolve or -get")
	}
	ctx, cancel := context.WithTimeout(ctx, *deadline)
	defer cancel()
	results := c.run(ctx)
	return report(results, stdout, *log)
}
