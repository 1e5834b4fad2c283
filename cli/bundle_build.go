package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/spf13/cobra"
)

// newBundleBuildCommand builds slipway bundle build.
func newBundleBuildCommand() *cobra.Command {
	var o bundle.Options
	var quiet bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build a bundle from source",
		Long: `Build compiles everything that goes on a node from Go modules that the recipe pins, and packs it.

It needs Go, gcc, the headers of libseccomp and, for the distribution packages, a machine of the same
distribution as the nodes. Nothing is fetched but Go modules and distribution packages. Results are kept
in the cache ($SLIPWAY_CACHE, default ~/.cache/slipway): a build that was cut off goes on where it was,
and a second one takes seconds.`,
		Example: `  slipway bundle build --output ./bundle-1.36
  slipway bundle build --output ./bundle-1.36.tar
  slipway bundle build --only kube-apiserver --only container-runtime`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			printer := newBuildPrinter(cmd.ErrOrStderr(), quiet)
			o.Progress = printer.event
			stop := printer.remind(30 * time.Second)
			result, err := bundle.Build(cmd.Context(), o)
			stop()
			if err != nil {
				return err
			}
			printBuildResult(cmd.OutOrStdout(), result)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Kubernetes, "kubernetes", "", "Kubernetes minor or version to build (default: the newest that this slipway knows)")
	cmd.Flags().StringVar(&o.Output, "output", "", "directory of the bundle, or its file if it ends in .tar (default: in the cache)")
	cmd.Flags().StringVar(&o.Cache, "cache", "", "cache directory (default: $SLIPWAY_CACHE or ~/.cache/slipway)")
	cmd.Flags().StringArrayVar(&o.Only, "only", nil, "build only this program or role archive, into the cache (repeatable)")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print no progress")
	return cmd
}

func printBuildResult(w io.Writer, result bundle.Result) {
	for _, name := range slices.Sorted(maps.Keys(result.Built)) {
		fmt.Fprintf(w, "%s\t%s\n", name, result.Built[name])
	}
	if result.Path != "" {
		fmt.Fprintf(w, "bundle  %s\ndigest  %s\nbuilt in %s\n", result.Path, result.Digest, result.Elapsed.Round(time.Millisecond))
	}
}

// buildPrinter prints what a build does: a line when a step ends, and a reminder while one is long.
type buildPrinter struct {
	mu      sync.Mutex
	w       io.Writer
	quiet   bool
	start   time.Time
	running map[string]time.Time
	cached  int
}

func newBuildPrinter(w io.Writer, quiet bool) *buildPrinter {
	return &buildPrinter{w: w, quiet: quiet, start: time.Now(), running: map[string]time.Time{}}
}

func (p *buildPrinter) event(e bundle.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.State {
	case bundle.StepCached:
		p.cached++
		return
	case bundle.StepStarted:
		p.running[e.Step] = time.Now()
		p.line("%s …", e.Step)
	case bundle.StepFinished:
		delete(p.running, e.Step)
		p.line("%s: done in %s", e.Step, e.Elapsed.Round(100*time.Millisecond))
	case bundle.StepFailed:
		delete(p.running, e.Step)
		p.line("%s: failed after %s", e.Step, e.Elapsed.Round(100*time.Millisecond))
	}
}

func (p *buildPrinter) line(format string, args ...any) {
	if p.quiet {
		return
	}
	elapsed := time.Since(p.start).Round(time.Second)
	fmt.Fprintf(p.w, "[%02d:%02d] ", int(elapsed.Minutes()), int(elapsed.Seconds())%60)
	fmt.Fprintf(p.w, format+"\n", args...)
}

// remind says every interval what is still being done; the returned function ends that.
func (p *buildPrinter) remind(interval time.Duration) func() {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.printRunning()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.cached > 0 {
			p.line("%d steps were in the cache", p.cached)
		}
	}
}

func (p *buildPrinter) printRunning() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, step := range slices.Sorted(maps.Keys(p.running)) {
		p.line("still %s, %s so far", step, time.Since(p.running[step]).Round(time.Second))
	}
}
