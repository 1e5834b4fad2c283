package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// Options say where programs are kept.
type Options struct {
	// Cache is the cache directory; empty: $SLIPWAY_CACHE, else ~/.cache/slipway.
	Cache string
	// Progress receives a line when something has to be made. Nil: nothing is said.
	Progress io.Writer
}

// Make makes what a recipe says, unless it is there, and returns the folder that holds its programs.
func Make(ctx context.Context, name string, o Options) (string, error) {
	r, err := readRecipe(name)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir(o.Cache)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, r.digest)
	if r.whole(dir) {
		return dir, nil
	}
	held, err := durable.Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer held.Close()
	if r.whole(dir) {
		return dir, nil
	}
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "engine: making %s (once; minutes where it is compiled)\n", name)
	}
	started := time.Now()
	if err := r.fill(ctx, dir); err != nil {
		return "", fmt.Errorf("making %s: %w", name, err)
	}
	if o.Progress != nil {
		fmt.Fprintf(o.Progress, "engine: made %s in %s\n", name, time.Since(started).Round(time.Second))
	}
	return dir, nil
}

func cacheDir(dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv("SLIPWAY_CACHE")
	}
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache directory (set SLIPWAY_CACHE): %w", err)
		}
		dir = filepath.Join(home, ".cache", "slipway")
	}
	dir, err := filepath.Abs(filepath.Join(dir, "engines"))
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// whole says whether all that is made is there; the recipe's folder appears by one rename.
func (r *recipe) whole(dir string) bool {
	for _, name := range slices.AppendSeq(r.programs(), maps.Keys(r.Folders)) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// fill makes the programs in a folder beside, and renames it; the caller holds the lock.
func (r *recipe) fill(ctx context.Context, dir string) error {
	part := dir + ".part" // what a killed process left is in the way of nobody
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(filepath.Join(part, "work"), 0o755)); err != nil {
		return fmt.Errorf("making room: %w", err)
	}
	defer os.RemoveAll(part)
	work := filepath.Join(part, "work")
	var err error
	if r.Debian != "" {
		err = r.unpack(ctx, work, part)
	} else {
		err = r.compile(ctx, work, part)
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(work), os.RemoveAll(dir), os.Rename(part, dir))
}

// unpack takes the programs out of a Debian package.
func (r *recipe) unpack(ctx context.Context, work, to string) error {
	if err := download(ctx, work, r.Debian); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("apt-get download left %d packages, want 1", len(found))
	}
	version, err := run(ctx, work, nil, "dpkg-deb", "-f", found[0], "Version")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(version, r.Version) {
		return fmt.Errorf("this machine's %s is %s, want %s (Debian 12)", r.Debian, version, r.Version)
	}
	if _, err := run(ctx, work, nil, "dpkg-deb", "-x", found[0], "tree"); err != nil {
		return err
	}
	for name, path := range r.Programs {
		if err := os.Rename(filepath.Join(work, "tree", path), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("taking %s out of %s: %w", path, r.Debian, err)
		}
	}
	return nil
}

// download brings a package; root has the lists of packages brought where they are missing.
func download(ctx context.Context, to, pkg string) error {
	// As root apt downloads as the user _apt, who may not enter here.
	args := []string{"-o", "APT::Sandbox::User=root", "download", pkg}
	_, err := run(ctx, to, nil, "apt-get", args...)
	if err == nil {
		return nil
	}
	if os.Getuid() != 0 {
		return fmt.Errorf("%w (is there a list of packages? apt-get update as root)", err)
	}
	if _, err := run(ctx, to, nil, "apt-get", "-qq", "update"); err != nil {
		return err
	}
	_, err = run(ctx, to, nil, "apt-get", args...)
	return err
}

// compile builds the programs in a module of its own.
func (r *recipe) compile(ctx context.Context, work, to string) error {
	for from, name := range map[string]string{"module.mod": "go.mod", "module.sum": "go.sum"} {
		if err := os.WriteFile(filepath.Join(work, name), r.files[from], 0o644); err != nil {
			return fmt.Errorf("writing the module: %w", err)
		}
	}
	env := []string{"CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS="}
	if len(r.Without) > 0 {
		if err := r.copyModule(ctx, work, env); err != nil {
			return err
		}
	}
	linker := "-s -w"
	for _, name := range slices.Sorted(maps.Keys(r.Variables)) {
		linker += " -X " + name + "=" + r.Variables[name]
	}
	for _, name := range r.programs() {
		args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=" + linker, "-tags=" + strings.Join(r.Tags, ","),
			"-o", filepath.Join(to, name), r.Programs[name]}
		if _, err := run(ctx, work, env, "go", args...); err != nil {
			return err
		}
	}
	return r.copyFolders(ctx, work, to, env)
}

// copyFolders lays folders of the module beside the programs; go build has held the module against module.sum.
func (r *recipe) copyFolders(ctx context.Context, work, to string, env []string) error {
	if len(r.Folders) == 0 {
		return nil
	}
	dir, err := run(ctx, work, env, "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", r.Module)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Folders)) {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(dir, r.Folders[name]))); err != nil {
			return fmt.Errorf("copying %s of %s: %w", r.Folders[name], r.Module, err)
		}
	}
	return nil
}

// copyModule lays the module into the folder module, which module.mod's replace line names, less some files. A replaced
// module has no line in module.sum: its digest stands in the recipe.
func (r *recipe) copyModule(ctx context.Context, work string, env []string) error {
	text, err := run(ctx, filepath.Dir(work), env, "go", "mod", "download", "-json", r.Module+"@"+r.Version)
	if err != nil {
		return err
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		return fmt.Errorf("reading what go mod download says: %w", err)
	}
	if got.Sum != r.Sum {
		return fmt.Errorf("%s %s has the digest %s, want %s", r.Module, r.Version, got.Sum, r.Sum)
	}
	to := filepath.Join(work, "module")
	if err := os.CopyFS(to, os.DirFS(got.Dir)); err != nil {
		return fmt.Errorf("copying %s: %w", r.Module, err)
	}
	for _, name := range r.Without {
		if err := os.Remove(filepath.Join(to, name)); err != nil {
			return fmt.Errorf("leaving a file of %s out: %w", r.Module, err)
		}
	}
	return nil
}

// run runs a command and returns its output; an error carries the end of what it said.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	// It ends with us, even when we are killed; the kernel ties that to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", name, args[0], err, tail(errs.String(), 2000))
	}
	return strings.TrimSpace(out.String()), nil
}

func tail(text string, n int) string {
	if len(text) > n {
		text = "… " + text[len(text)-n:]
	}
	return strings.TrimSpace(text)
}
