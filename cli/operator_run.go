package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/slipway-dev/slipway/ansible"
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/fleet"
	"github.com/slipway-dev/slipway/migration"
)

// operatorParts is all that an operator works with beside the API.
type operatorParts struct {
	options    operatorOptions
	home       upHome
	logger     logr.Logger
	bundles    []*bundle.Bundle
	mirror     *mirror // nil: none is needed
	venv       string
	content    string // the newest content version
	metricsURL string
	closers    []func() error
}

// prepare makes what is missing: the bundle, the virtual environment, the content; and opens the mirror.
func (o operatorOptions) prepare(ctx context.Context, home upHome, report, log io.Writer) (*operatorParts, error) {
	p := &operatorParts{options: o, home: home, logger: newLogger(log, o.logLevel)}
	ctrl.SetLogger(p.logger)
	klog.SetLogger(p.logger)
	err := p.prepare(ctx, report)
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *operatorParts) prepare(ctx context.Context, report io.Writer) error {
	real := p.options.executor != executorSimulated
	var err error
	if p.bundles, err = openBundles(ctx, p.home, p.options.bundles, real, report); err != nil {
		return err
	}
	p.closers = append(p.closers, func() error { return closeBundles(p.bundles) })
	path, err := ansible.Extract(p.home.content())
	if err != nil {
		return err
	}
	p.content = filepath.Base(path)
	if p.options.executor == executorProcess {
		if err := p.makeVenv(ctx, report); err != nil {
			return err
		}
	}
	if !real && p.options.mirrorListen == "" {
		return nil
	}
	p.mirror, err = newMirror(p.home.mirror(), p.options.mirrorListen, p.options.mirrorURLs, p.bundles, slog.New(logr.ToSlogHandler(p.logger)))
	return err
}

func (p *operatorParts) makeVenv(ctx context.Context, report io.Writer) error {
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	said := false
	p.venv, err = ansible.EnsureVenv(ctx, filepath.Join(cache, "venv"), func(line string) {
		if !said { // the first line says what is done, the others are those of pip
			fmt.Fprintln(report, line)
		}
		said = true
	})
	return err
}

// cacheDir is where what can be made again is kept: $SLIPWAY_CACHE, else ~/.cache/slipway.
func cacheDir() (string, error) {
	if dir := os.Getenv("SLIPWAY_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding the home directory (set SLIPWAY_CACHE): %w", err)
	}
	return filepath.Join(home, ".cache", "slipway"), nil
}

func (p *operatorParts) mirrorURLs() []string {
	if p.mirror == nil {
		return p.options.mirrorURLs
	}
	return p.mirror.urls()
}

func (p *operatorParts) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		if err := p.closers[i](); err != nil {
			p.logger.Error(err, "Stopping")
		}
	}
	p.closers = nil
}

// run runs the controllers and the mirror until the context ends; ready is called once the operator works.
func (p *operatorParts) run(ctx context.Context, config *rest.Config, ready func() error) error {
	mgr, err := p.newManager(ctx, config)
	if err != nil {
		return err
	}
	if err := p.setup(mgr); err != nil {
		return fmt.Errorf("setting up the controllers: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	if p.mirror != nil {
		group.Go(func() error { return p.mirror.serve(ctx) })
	}
	group.Go(func() error {
		if err := mgr.Start(ctx); err != nil {
			return fmt.Errorf("running the operator: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-mgr.Elected():
		}
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return nil // the end of the manager says why
		}
		return ready()
	})
	return group.Wait()
}

// garbage is how much may be allocated beside what is in use before it is collected, in percent. The caches of a large fleet
// live as long as the operator, so Go's 100 would double them; docs/benchmarks/scale.md has what it costs.
const garbage = 50

func (p *operatorParts) newManager(ctx context.Context, config *rest.Config) (ctrl.Manager, error) {
	metrics, err := p.metricsAddress()
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	scheme, err := fleet.Scheme()
	if err == nil {
		err = migration.AddToScheme(scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("building the scheme: %w", err)
	}
	options, err := fleet.ManagerOptions(ctrl.Options{
		Scheme:                        scheme,
		Logger:                        p.logger,
		Metrics:                       metricsserver.Options{BindAddress: metrics},
		LeaderElection:                p.options.leaderElection,
		LeaderElectionID:              "slipway-operator",
		LeaderElectionNamespace:       v1alpha1.FreezeNamespace,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, err
	}
	for _, namespace := range p.namespaces() {
		if err := ensureNamespace(ctx, config, namespace); err != nil {
			return nil, err
		}
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("connecting the operator to %s: %w", config.Host, err)
	}
	return mgr, nil
}

// namespaces are those that must exist before the controllers start.
func (p *operatorParts) namespaces() []string {
	var names []string
	if p.options.leaderElection {
		names = append(names, v1alpha1.FreezeNamespace)
	}
	if p.options.executor == executorJob {
		names = append(names, p.options.jobNamespace)
	}
	return names
}

// metricsAddress takes a free port where none is named, so that two operators can live side by side.
func (p *operatorParts) metricsAddress() (string, error) {
	if p.options.metricsListen == "off" {
		return "0", nil
	}
	listener, err := net.Listen("tcp", p.options.metricsListen)
	if err != nil {
		return "", fmt.Errorf("opening the metrics (--metrics-listen): %w", err)
	}
	address := listener.Addr().String()
	p.metricsURL = "http://" + address + "/metrics"
	return address, listener.Close()
}

func ensureNamespace(ctx context.Context, config *rest.Config, name string) error {
	cl, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("opening the management cluster at %s: %w", config.Host, err)
	}
	err = cl.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making namespace %s: %w", name, err)
	}
	return nil
}

func newLogger(w io.Writer, level string) logr.Logger {
	parsed, err := parseLogLevel(level)
	if err != nil {
		parsed = slog.LevelInfo
	}
	text := slog.NewTextHandler(w, &slog.HandlerOptions{Level: parsed})
	if parsed < slog.LevelInfo {
		return logr.FromSlogHandler(text)
	}
	return logr.FromSlogHandler(withoutMachinery{text})
}

// withoutMachinery is a log without what controller-runtime tells about its own start and end: a hundred lines that are the
// same each time. They are there at the debug level.
type withoutMachinery struct{ slog.Handler }

// Handle leaves them out.
func (h withoutMachinery) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo {
		for _, beginning := range []string{
			"Starting EventSource", "Starting Controller", "Starting workers", "Starting metrics server", "Serving metrics server",
			"Stopping and waiting for ", "Shutdown signal received", "All workers finished", "Wait completed", "Shutting down metrics server",
		} {
			if strings.HasPrefix(r.Message, beginning) {
				return nil
			}
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is slog's.
func (h withoutMachinery) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withoutMachinery{h.Handler.WithAttrs(attrs)}
}

// WithGroup is slog's.
func (h withoutMachinery) WithGroup(name string) slog.Handler {
	return withoutMachinery{h.Handler.WithGroup(name)}
}

// parseLogLevel takes a word or, as Kubernetes does, a number that grows with the detail.
func parseLogLevel(level string) (slog.Level, error) {
	switch level {
	case "error":
		return slog.LevelError, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	}
	number, err := strconv.Atoi(level)
	if err != nil || number < 0 || number > 10 {
		return 0, fmt.Errorf("--log-level %q: it must be error, info, debug or a number from 0 to 10", level)
	}
	return slog.Level(-number), nil
}
