package bundle

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Options configures a Builder.
type Options struct {
	// Cache is the cache directory; empty means $SLIPWAY_CACHE or ~/.cache/slipway.
	Cache string
	// Kubernetes is a minor (1.36) or a version that a recipe builds; empty means the newest.
	Kubernetes string
	// Output is where Build writes: a directory, or a file when it ends in .tar. Empty means
	// Cache/bundles/<version>-<arch>.
	Output string
	// Only limits Build to these programs or role archives; they are built into the cache and no
	// bundle is written.
	Only []string
	// Go is the go command; empty means go from PATH.
	Go string
	// Progress is told about each step; it may be called from several goroutines.
	Progress func(Event)
}

// EventState says what happened to a step.
type EventState string

const (
	// StepStarted means that the step does real work now.
	StepStarted EventState = "Started"
	// StepFinished means that the step's result is in the cache now.
	StepFinished EventState = "Finished"
	// StepCached means that the step had nothing to do.
	StepCached EventState = "Cached"
	// StepFailed means that the step ended with an error, which the caller gets as well.
	StepFailed EventState = "Failed"
)

// Event tells about one step of a build.
type Event struct {
	// Step is what is done and to what, such as "compiling kube-apiserver".
	Step    string
	State   EventState
	Elapsed time.Duration
}

// Builder compiles programs and assembles bundles for one Kubernetes version.
type Builder struct {
	options Options
	cache   *cache
	recipe  *recipe
	goTool  string

	once       sync.Once
	goVersion  string
	onceErr    error
	moduleLock sync.Mutex
	// tools holds the entries that this builder has looked up: name -> *entry.
	tools sync.Map
}

// NewBuilder makes a Builder; it looks for the recipe and the cache directory, and builds nothing.
func NewBuilder(o Options) (*Builder, error) {
	r, err := loadRecipe(o.Kubernetes)
	if err != nil {
		return nil, err
	}
	c, err := newCache(o.Cache)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	if o.Go == "" {
		o.Go = "go"
	}
	return &Builder{options: o, cache: c, recipe: r, goTool: o.Go}, nil
}

// KubernetesVersion is the version that the recipe builds, such as v1.36.3.
func (b *Builder) KubernetesVersion() string { return b.recipe.Kubernetes }

// Programs lists the names that Binary takes.
func (b *Builder) Programs() []string { return b.recipe.toolNames() }

// Binary returns the path of a built program, such as kube-apiserver or etcd, in the cache, and
// builds it when it is missing. The first build of a Kubernetes program takes minutes.
func (b *Builder) Binary(ctx context.Context, name string) (string, error) {
	e, err := b.toolEntry(ctx, name)
	if err != nil {
		return "", err
	}
	return e.path(name), nil
}

// step reports and runs one cached step.
func (b *Builder) step(ctx context.Context, key, step string, fill func(ctx context.Context, dir string) (any, error)) (*entry, error) {
	if e, ok := b.cache.get(key); ok {
		b.options.Progress(Event{Step: step, State: StepCached})
		return e, nil
	}
	start := time.Now()
	b.options.Progress(Event{Step: step, State: StepStarted})
	e, err := b.cache.make(ctx, key, step, fill)
	event := Event{Step: step, State: StepFinished, Elapsed: time.Since(start)}
	if err != nil {
		event.State = StepFailed
	}
	b.options.Progress(event)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	return e, nil
}

// toolchain returns the release of the go command, once.
func (b *Builder) toolchain(ctx context.Context) (string, error) {
	b.once.Do(func() {
		out, err := b.run(ctx, "/", goEnvironment(false), b.goTool, "env", "GOVERSION")
		if err != nil {
			b.onceErr = fmt.Errorf("asking the go command for its version (building a bundle needs Go on this machine): %w", err)
			return
		}
		b.goVersion = strings.TrimSpace(string(out))
	})
	return b.goVersion, b.onceErr
}

// compilerVersion identifies the C compiler and the libraries that it links statically; they are
// part of the key of what it compiles.
func compilerVersion(ctx context.Context, m recipeModule) (string, error) {
	out, err := exec.CommandContext(ctx, "gcc", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("asking gcc for its version (runc, flanneld and pause need gcc; on Debian: apt-get install gcc libc6-dev): %w", err)
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	versions := []string{string(line)}
	for _, s := range m.System {
		version, err := systemVersion(ctx, s.Package)
		if err != nil {
			return "", err
		}
		versions = append(versions, s.Package+" "+version)
	}
	return strings.Join(versions, "; "), nil
}

// systemVersion is the version of an installed distribution package.
func systemVersion(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", name).Output()
	version, installed := strings.CutPrefix(string(out), "installed ")
	if err != nil || !installed {
		return "", fmt.Errorf("looking for the package %s, which is linked in: not installed (apt-get install %s)", name, name)
	}
	return version, nil
}

func architecture() string { return runtime.GOARCH }
