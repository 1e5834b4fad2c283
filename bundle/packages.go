package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	contentPackages   = "os-packages"
	packagesDirectory = "var/lib/slipway/packages"
)

// aptPackage is one line of apt-get download --print-uris.
type aptPackage struct {
	Name    string
	Version string
	File    string
	SHA256  string
}

// packages downloads the distribution packages that a bare host lacks. A mirror keeps only the
// newest versions, so a recipe cannot pin them: those of the package lists are taken, which are
// fetched into the cache once, and the manifest records them. When the mirror has moved on since
// then, the lists are fetched again.
func (b *Builder) packages(ctx context.Context) ([]aptPackage, *entry, error) {
	if err := checkDistribution("/etc/os-release", b.recipe.Distribution); err != nil {
		return nil, nil, err
	}
	unlock, err := b.cache.lock(ctx, "package-lists")
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	releases, err := b.listReleases()
	if err != nil {
		return nil, nil, err
	}
	var stale error
	if len(releases) > 0 {
		list, e, err := b.listedPackages(ctx, releases)
		if err == nil || ctx.Err() != nil {
			return list, e, err
		}
		stale = err
	}
	if err := b.fetchLists(ctx); err != nil {
		return nil, nil, errors.Join(stale, err)
	}
	if releases, err = b.listReleases(); err != nil {
		return nil, nil, err
	}
	return b.listedPackages(ctx, releases)
}

// listReleases identifies the fetched package lists by the digests of their signed releases.
func (b *Builder) listReleases() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(b.aptLists(), "*InRelease"))
	if err != nil {
		return nil, fmt.Errorf("reading package lists: %w", err)
	}
	var releases []string
	for _, file := range files {
		sum, _, err := digestFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading package lists: %w", err)
		}
		releases = append(releases, filepath.Base(file)+" "+sum)
	}
	return releases, nil
}

// listedPackages takes what the fetched package lists name.
func (b *Builder) listedPackages(ctx context.Context, releases []string) ([]aptPackage, *entry, error) {
	key, err := contentKey([]any{"packages/2", b.recipe.Distribution, b.recipe.Packages, architecture(), releases})
	if err != nil {
		return nil, nil, err
	}
	e, err := b.step(ctx, key, "downloading distribution packages", func(ctx context.Context, dir string) (any, error) {
		wanted, err := b.packageNames(ctx)
		if err != nil {
			return nil, err
		}
		out, err := b.apt(ctx, "/", "apt-get", append([]string{"download", "--print-uris", "-qq"}, wanted...)...)
		if err != nil {
			return nil, fmt.Errorf("looking up distribution packages: %w", err)
		}
		list, err := parseURIs(string(out))
		if err != nil {
			return nil, err
		}
		return list, b.downloadPackages(ctx, dir, list)
	})
	if err != nil {
		return nil, nil, err
	}
	var list []aptPackage
	if err := json.Unmarshal(e.Note, &list); err != nil {
		return nil, nil, fmt.Errorf("reading cache entry of the packages: %w", err)
	}
	return list, e, nil
}

func (b *Builder) aptLists() string { return filepath.Join(b.cache.dir, "apt", "lists") }

// fetchLists asks the sources of this machine for their package lists; it changes nothing of the
// machine's own and needs no root.
func (b *Builder) fetchLists(ctx context.Context) error {
	const step = "fetching package lists"
	start := time.Now()
	b.options.Progress(Event{Step: step, State: StepStarted})
	for _, dir := range []string{b.aptLists(), filepath.Join(b.cache.dir, "apt", "cache")} {
		if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	_, err := b.apt(ctx, "/", "apt-get", "update", "-qq", "--error-on=any")
	event := Event{Step: step, State: StepFinished, Elapsed: time.Since(start)}
	if err != nil {
		event.State = StepFailed
		// Half a list must not be taken for a whole one by the next build.
		err = errors.Join(fmt.Errorf("%s: %w", step, err), os.RemoveAll(b.aptLists()))
	}
	b.options.Progress(event)
	return err
}

// apt runs an apt program on lists and a cache of our own.
func (b *Builder) apt(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	args = append(args, "-o", "Dir::State::lists="+b.aptLists(), "-o", "Dir::Cache="+filepath.Join(b.cache.dir, "apt", "cache"),
		"-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true")
	return b.run(ctx, dir, []string{"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}, program, args...)
}

func (b *Builder) downloadPackages(ctx context.Context, dir string, list []aptPackage) error {
	args := []string{"download", "-qq"}
	for _, p := range list {
		args = append(args, p.Name+"="+p.Version)
	}
	if _, err := b.apt(ctx, dir, "apt-get", args...); err != nil {
		return err
	}
	for _, p := range list {
		file := filepath.Join(dir, p.File)
		sum, _, err := digestFile(file)
		if err != nil {
			return fmt.Errorf("checking package %s: %w", p.Name, err)
		}
		if sum != p.SHA256 {
			return fmt.Errorf("checking package %s: sha256 is %s, the package list says %s", p.Name, sum, p.SHA256)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			return fmt.Errorf("storing package %s: %w", p.Name, err)
		}
	}
	return nil
}

// packageNames is the closure of what is to be installed, less that of what is there.
func (b *Builder) packageNames(ctx context.Context) ([]string, error) {
	install, err := b.packageClosure(ctx, b.recipe.Packages.Install)
	if err != nil {
		return nil, err
	}
	present, err := b.packageClosure(ctx, b.recipe.Packages.Present)
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(install, func(name string) bool {
		return slices.Contains(present, name) && !slices.Contains(b.recipe.Packages.Install, name)
	})
	slices.Sort(names)
	return names, nil
}

func (b *Builder) packageClosure(ctx context.Context, names []string) ([]string, error) {
	args := append([]string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
		"--no-breaks", "--no-replaces", "--no-enhances"}, names...)
	out, err := b.apt(ctx, "/", "apt-cache", args...)
	if err != nil {
		return nil, fmt.Errorf("resolving distribution packages: %w", err)
	}
	return parseDepends(string(out)), nil
}

// parseDepends keeps the lines that name a real package: those of relations are indented, and
// virtual packages stand in angle brackets.
func parseDepends(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		name := strings.TrimRight(line, "\n")
		if name != "" && !strings.ContainsAny(name, " <:") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var uriPattern = regexp.MustCompile(`^'[^']+' (([a-z0-9.+-]+)_([^_ ]+)_[a-z0-9]+\.deb) [0-9]+ SHA256:([0-9a-f]{64})$`)

// parseURIs reads the lines 'URI' FILE SIZE SHA256:HEX; an epoch's colon is written %3a in FILE.
func parseURIs(out string) ([]aptPackage, error) {
	var list []aptPackage
	for line := range strings.Lines(out) {
		m := uriPattern.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			return nil, fmt.Errorf("reading the answer of apt-get: unexpected line %q", line)
		}
		list = append(list, aptPackage{Name: m[2], Version: strings.ReplaceAll(m[3], "%3a", ":"), File: m[1], SHA256: m[4]})
	}
	slices.SortFunc(list, func(a, b aptPackage) int { return strings.Compare(a.File, b.File) })
	return list, nil
}

// packageFileName has no percent sign in it, which shells and templates treat with care.
func packageFileName(file string) string { return strings.ReplaceAll(file, "%3a", "-") }

// checkDistribution compares ID and VERSION_ID of os-release with "debian 12".
func checkDistribution(file, want string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the distribution of this machine: %w", err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = strings.Trim(value, `"`)
		}
	}
	if got := values["ID"] + " " + values["VERSION_ID"]; got != want {
		return fmt.Errorf("fetching the packages of %s: this machine is %s; build the bundle on %s", want, got, want)
	}
	return nil
}

// packagesContent packs the packages and lists them for the manifest.
func (b *Builder) packagesContent(ctx context.Context) (Content, *entry, []Package, error) {
	list, e, err := b.packages(ctx)
	if err != nil {
		return Content{}, nil, nil, err
	}
	var sources []source
	var packages []Package
	for _, p := range list {
		target := path.Join(packagesDirectory, packageFileName(p.File))
		sources = append(sources, e.source(p.File, target, 0o644))
		packages = append(packages, Package{Name: p.Name, Version: p.Version, Content: contentPackages, Path: target})
	}
	content, blob, err := b.roleArchive(ctx, contentPackages, KindPackages, sources)
	return content, blob, packages, err
}
