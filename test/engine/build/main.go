// Command build makes the programs of all recipes of tests, or of those that are named, so that tests find them.
//
//	go run ./test/engine/build
//	go run ./test/engine/build prometheus-2.42
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/slipway-dev/slipway/test/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := build(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, names []string) (err error) {
	if len(names) == 0 {
		if names, err = engine.Recipes(); err != nil {
			return err
		}
		// What benchmarks alone compare with is made when one asks for it.
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "bench-") })
	}
	for _, name := range names {
		dir, err := engine.Make(ctx, name, engine.Options{Progress: os.Stderr})
		if err != nil {
			return err
		}
		fmt.Println(name, dir)
	}
	return nil
}
