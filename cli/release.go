package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/bundle"
)

// binaries finds the programs of the plane: in $SLIPWAY_BINARIES when it is set, otherwise in the cache of bundles, where
// they are built when they are missing.
func binaries(report io.Writer) func(ctx context.Context, name string) (string, error) {
	return func(ctx context.Context, name string) (string, error) {
		if dir := os.Getenv("SLIPWAY_BINARIES"); dir != "" {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err != nil {
				return "", fmt.Errorf("looking in SLIPWAY_BINARIES: %w", err)
			}
			return filepath.Abs(path)
		}
		printer := newBuildPrinter(report, false)
		builder, err := bundle.NewBuilder(bundle.Options{Progress: printer.onlyWork})
		if err != nil {
			return "", err
		}
		return builder.Binary(ctx, name)
	}
}

// onlyWork is event without the count of what was cached.
func (p *buildPrinter) onlyWork(e bundle.Event) {
	if e.State != bundle.StepCached {
		p.event(e)
	}
}

// openBundles opens the bundles that clusters are installed from: those that are named, or the one in the cache, which is
// built when it is missing; and all that this home used before, because clusters keep what they were built with.
func openBundles(ctx context.Context, home upHome, named []string, build bool, report io.Writer) ([]*bundle.Bundle, error) {
	if len(named) == 0 && build {
		path, err := buildBundle(ctx, report)
		if err != nil {
			return nil, err
		}
		named = []string{path}
	}
	if err := removeUnfinished(home.bundles()); err != nil {
		return nil, err
	}
	var first []string
	for _, path := range named {
		kept, err := keepBundle(home, path)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(first, kept) {
			first = append(first, kept)
		}
	}
	return openKept(home, first)
}

func buildBundle(ctx context.Context, report io.Writer) (string, error) {
	printer := newBuildPrinter(report, false)
	stop := printer.remind(30 * time.Second)
	result, err := bundle.Build(ctx, bundle.Options{Progress: printer.onlyWork})
	stop()
	if err != nil {
		return "", fmt.Errorf("building the bundle: %w", err)
	}
	return result.Path, nil
}

// keepBundle links a bundle into the home, under its digest, and returns its name there. The links cost no space, and
// stay when the cache moves on.
func keepBundle(home upHome, path string) (string, error) {
	b, err := bundle.Open(path)
	if err != nil {
		return "", err
	}
	digest, err := strings.TrimPrefix(b.Digest(), "sha256:"), b.Close()
	if err != nil {
		return "", fmt.Errorf("closing bundle %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("looking at bundle %s: %w", path, err)
	}
	target := filepath.Join(home.bundles(), digest)
	if !info.IsDir() {
		target += ".tar"
	}
	if fileExists(target) {
		return filepath.Base(target), nil
	}
	if err := os.MkdirAll(home.bundles(), 0o700); err != nil {
		return "", fmt.Errorf("keeping bundle %s: %w", path, err)
	}
	staging, err := os.MkdirTemp(home.bundles(), ".new-")
	if err != nil {
		return "", fmt.Errorf("keeping bundle %s: %w", path, err)
	}
	defer os.RemoveAll(staging)
	whole := filepath.Join(staging, "bundle")
	if err := linkTree(path, whole); err != nil {
		return "", fmt.Errorf("keeping bundle %s: %w", path, err)
	}
	if err := os.Rename(whole, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keeping bundle %s: %w", path, err)
	}
	return filepath.Base(target), nil
}

// removeUnfinished removes what a slipway that was killed while it kept a bundle has left.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		return fmt.Errorf("tidying the bundles: %w", err)
	}
	return nil
}

// linkTree makes hard links of all files of a tree, or copies where links cannot be.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		// A manifest is small, and is the one file of a bundle that its builder may write anew.
		if entry.Name() != "manifest.json" && os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// openKept opens all bundles of a home, those that are named first: new clusters take the first that fits.
func openKept(home upHome, first []string) ([]*bundle.Bundle, error) {
	entries, err := os.ReadDir(home.bundles())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the bundles: %w", err)
	}
	names := slices.Clone(first)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && !slices.Contains(names, entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	var open []*bundle.Bundle
	for _, name := range names {
		b, err := bundle.Open(filepath.Join(home.bundles(), name))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w (delete it if no cluster was built with it)", err), closeBundles(open))
		}
		open = append(open, b)
	}
	return open, nil
}

func closeBundles(open []*bundle.Bundle) error {
	var all []error
	for _, b := range open {
		all = append(all, b.Close())
	}
	return errors.Join(all...)
}
