package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// compileInputs is everything that the bytes of a program depend on.
type compileInputs struct {
	Step         string
	Module       string
	ModText      string
	SumText      string
	Tool         recipeTool
	Sources      map[string]string
	Arguments    []string
	Environment  []string
	Toolchain    string
	CCompiler    string
	Architecture string
}

// toolEntry returns the cache entry of a program; the file in it has the program's name.
func (b *Builder) toolEntry(ctx context.Context, name string) (*entry, error) {
	if e, ok := b.tools.Load(name); ok {
		return e.(*entry), nil
	}
	e, err := b.compileTool(ctx, name)
	if err != nil {
		return nil, err
	}
	b.tools.Store(name, e)
	return e, nil
}

func (b *Builder) compileTool(ctx context.Context, name string) (*entry, error) {
	module, tool, err := b.recipe.tool(name)
	if err != nil {
		return nil, err
	}
	in, err := b.compileInputs(ctx, module, tool)
	if err != nil {
		return nil, err
	}
	key, err := contentKey(in)
	if err != nil {
		return nil, err
	}
	return b.step(ctx, key, "compiling "+name, func(ctx context.Context, dir string) (any, error) {
		scratch, err := b.scratch(module, in)
		if err != nil {
			return nil, err
		}
		if tool.Language == languageC {
			return nil, b.compileC(ctx, scratch, module, tool, dir)
		}
		return nil, b.compileGo(ctx, scratch, in, filepath.Join(dir, tool.Name))
	})
}

func (b *Builder) compileInputs(ctx context.Context, m recipeModule, t recipeTool) (in compileInputs, err error) {
	in = compileInputs{Step: "compile/1", Module: m.Name, Tool: t, Architecture: architecture()}
	if in.Toolchain, err = b.toolchain(ctx); err != nil {
		return in, err
	}
	if m.CGO || t.Language == languageC {
		if in.CCompiler, err = compilerVersion(ctx, m); err != nil {
			return in, err
		}
	}
	if err = b.compileSources(m, t, &in); err != nil {
		return in, err
	}
	in.Arguments, in.Environment = goArguments(m), goEnvironment(m.CGO)
	return in, nil
}

// compileSources adds the text of the scratch module.
func (b *Builder) compileSources(m recipeModule, t recipeTool, in *compileInputs) (err error) {
	switch t.Language {
	case languageOwn:
		in.ModText = ownModule(m.Name)
		in.Sources, err = embeddedSources(t.Source, "")
		return err
	case languageRecipe:
		if in.Sources, err = embeddedSources("schemagen", "schemagen"); err != nil {
			return err
		}
		text, err := b.recipe.text(t.Source)
		if err != nil {
			return err
		}
		in.Sources["main.go"] = string(text)
	}
	return b.moduleText(m, in)
}

func (b *Builder) moduleText(m recipeModule, in *compileInputs) error {
	mod, err := b.recipe.text(m.Name + ".mod")
	if err != nil {
		return err
	}
	sum, err := b.recipe.text(m.Name + ".sum")
	if err != nil {
		return err
	}
	in.ModText, in.SumText = string(mod), string(sum)
	return nil
}

// ownModule is the go.mod of programs of our own: the standard library only.
func ownModule(name string) string { return "module slipway.dev/recipe/" + name + "\n\ngo 1.26.0\n" }

// embeddedSources reads the Go files of an embedded directory, tests left out, for a directory of
// the scratch module.
func embeddedSources(dir, to string) (map[string]string, error) {
	names, err := fs.Glob(embedded, path.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("listing sources of %s: %w", dir, err)
	}
	sources := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := fs.ReadFile(embedded, name)
		if err != nil {
			return nil, fmt.Errorf("reading source %s: %w", name, err)
		}
		sources[path.Join(to, path.Base(name))] = string(data)
	}
	return sources, nil
}

// goArguments are those of go build; the results do not depend on where they are built.
func goArguments(m recipeModule) []string {
	flags := []string{"-s", "-w"}
	for _, name := range slices.Sorted(maps.Keys(m.Variables)) {
		flags = append(flags, "-X", name+"="+m.Variables[name])
	}
	if m.CGO {
		flags = append(flags, "-extldflags", "-static")
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", strings.Join(flags, " ")}
	if len(m.Tags) > 0 {
		args = append(args, "-tags", strings.Join(m.Tags, ","))
	}
	return args
}

func goEnvironment(cgo bool) []string {
	enabled := "0"
	if cgo {
		enabled = "1"
	}
	return []string{"CGO_ENABLED=" + enabled, "GOOS=linux", "GOARCH=" + architecture(), "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1"}
}

// scratch writes the module of a recipe into a directory of its own under the cache.
func (b *Builder) scratch(m recipeModule, in compileInputs) (string, error) {
	key, err := contentKey([]any{in.ModText, in.SumText, in.Sources})
	if err != nil {
		return "", err
	}
	b.moduleLock.Lock()
	defer b.moduleLock.Unlock()
	dir := filepath.Join(b.cache.dir, "scratch", m.Name+"-"+key[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making scratch module: %w", err)
	}
	files := map[string]string{"go.mod": in.ModText, "go.sum": in.SumText}
	maps.Copy(files, in.Sources)
	for name, text := range files {
		target := filepath.Join(dir, name)
		if old, err := os.ReadFile(target); err == nil && string(old) == text {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return "", fmt.Errorf("writing scratch module: %w", err)
		}
		temp := fmt.Sprintf("%s.%d", target, os.Getpid())
		if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("writing scratch module: %w", err)
		}
		if err := os.Rename(temp, target); err != nil {
			return "", fmt.Errorf("writing scratch module: %w", err)
		}
	}
	return dir, nil
}

func (b *Builder) compileGo(ctx context.Context, scratch string, in compileInputs, output string) error {
	pkg := in.Tool.Package
	if pkg == "" {
		pkg = "."
	}
	args := append(slices.Clone(in.Arguments), "-o", output, pkg)
	_, err := b.run(ctx, scratch, in.Environment, b.goTool, args...)
	return err
}

// compileC compiles one C file that a module carries into a static program.
func (b *Builder) compileC(ctx context.Context, scratch string, m recipeModule, t recipeTool, dir string) error {
	module, err := b.moduleDir(ctx, scratch, m.Module)
	if err != nil {
		return err
	}
	_, err = b.run(ctx, scratch, nil, "gcc", "-Os", "-Wall", "-Werror", "-static", "-s", "-Wl,--build-id=none",
		"-DVERSION="+t.version(m), "-o", filepath.Join(dir, t.Name), filepath.Join(module, t.Source))
	return err
}

// moduleDir downloads a module of the scratch graph, verified by go.sum, and returns its directory.
func (b *Builder) moduleDir(ctx context.Context, scratch, module string) (string, error) {
	env := goEnvironment(false)
	if _, err := b.run(ctx, scratch, env, b.goTool, "mod", "download", module); err != nil {
		return "", err
	}
	out, err := b.run(ctx, scratch, env, b.goTool, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// run executes a build command and puts the end of its output into the error.
func (b *Builder) run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	// An interrupt lets the go command remove its work directory; a kill follows if it hangs.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	// It ends with us even when we are killed: it would write into an entry that the next build
	// owns. The kernel ties that to the thread that starts it, so the thread has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("running %s %s: %w", filepath.Base(name), args[0], context.Cause(ctx))
		}
		return nil, fmt.Errorf("running %s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, tail(stderr.Bytes(), 2000))
	}
	return stdout.Bytes(), nil
}

func tail(data []byte, n int) string {
	if len(data) > n {
		data = data[len(data)-n:]
	}
	return strings.TrimSpace(string(data))
}
