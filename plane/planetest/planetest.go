// Package planetest runs one plane for the tests of a package. Its etcd does not wait for the disk, its data is in a
// temporary directory, and nothing of it outlives the test process, also not when that is killed.
package planetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/slipway-dev/slipway/bundle"
	"github.com/slipway-dev/slipway/charts"
	"github.com/slipway-dev/slipway/plane"
	"k8s.io/client-go/rest"
)

const timeout = 3 * time.Minute

// Binaries finds a program of the plane: in $SLIPWAY_BINARIES when it is set, otherwise in the cache of bundles, where
// it is built when it is missing.
func Binaries(ctx context.Context, name string) (string, error) {
	if dir := os.Getenv("SLIPWAY_BINARIES"); dir != "" {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		return path, err
	}
	builder, err := bundle.NewBuilder(bundle.Options{})
	if err != nil {
		return "", err
	}
	return builder.Binary(ctx, name)
}

// Main is for TestMain: it starts a plane with the CRDs, lets use keep its configuration, runs the tests and stops the
// plane. It returns the exit code.
func Main(m *testing.M, use func(config *rest.Config)) int {
	code, err := run(m, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, "planetest:", err)
		return 1
	}
	return code
}

func run(m *testing.M, use func(*rest.Config)) (code int, err error) {
	dir, err := os.MkdirTemp("", "planetest-")
	if err != nil {
		return 1, fmt.Errorf("making a directory for the plane: %w", err)
	}
	defer os.RemoveAll(dir)
	p, err := start(dir)
	if err != nil {
		return 1, err
	}
	use(p.Config())
	code = m.Run()
	return code, stop(p)
}

// Start starts a plane with the CRDs for one test and stops it at the test's end.
func Start(t testing.TB) *plane.Plane {
	t.Helper()
	p, err := start(t.TempDir())
	if err != nil {
		t.Fatalf("starting a plane for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(p); err != nil {
			t.Errorf("stopping the plane of the test: %v", err)
		}
	})
	return p
}

func start(dir string) (*plane.Plane, error) {
	for _, name := range []string{plane.Etcd, plane.APIServer, plane.ControllerManager} {
		if _, err := Binaries(context.Background(), name); err != nil { // building may take long, starting must not
			return nil, fmt.Errorf("getting %s: %w", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return plane.Start(ctx, plane.Options{Dir: dir, Binaries: Binaries, CRDs: charts.CRDs, Volatile: true})
}

func stop(p *plane.Plane) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.Stop(ctx)
}
