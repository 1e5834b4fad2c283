package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Result is what a build made.
type Result struct {
	// Path is the bundle's directory or file; empty when the build was limited by Only.
	Path string
	// Digest is that of the manifest; empty when the build was limited by Only.
	Digest string
	// Built maps each name of Only to its path in the cache.
	Built map[string]string
	// Elapsed is the time of the whole build.
	Elapsed time.Duration
}

// assembly collects the parts of a manifest with the blobs that it names.
type assembly struct {
	manifest Manifest
	blobs    map[string]string // digest -> file in the cache
}

// Build makes a whole bundle, or only some of its parts, as the options say.
func Build(ctx context.Context, o Options) (Result, error) {
	b, err := NewBuilder(o)
	if err != nil {
		return Result{}, err
	}
	return b.Build(ctx)
}

// Build makes a whole bundle, or only some of its parts, as the builder's options say. What is in
// the cache is not built again; a build that was cut off goes on where it was.
func (b *Builder) Build(ctx context.Context) (Result, error) {
	start := time.Now()
	if len(b.options.Only) > 0 {
		built, err := b.buildOnly(ctx)
		return Result{Built: built, Elapsed: time.Since(start)}, err
	}
	a, err := b.assemble(ctx)
	if err != nil {
		return Result{}, err
	}
	data, err := a.manifest.Encode()
	if err != nil {
		return Result{}, err
	}
	output := b.options.Output
	if output == "" {
		output = filepath.Join(b.cache.dir, "..", "bundles", b.recipe.Kubernetes+"-"+architecture())
	}
	if output, err = filepath.Abs(output); err != nil {
		return Result{}, fmt.Errorf("resolving output: %w", err)
	}
	if strings.HasSuffix(output, ArchiveSuffix) {
		err = writeArchive(ctx, output, data, a.blobs)
	} else {
		err = writeDirectory(ctx, output, data, a.blobs)
	}
	if err != nil {
		return Result{}, err
	}
	return Result{Path: output, Digest: DigestBytes(data), Elapsed: time.Since(start)}, nil
}

func (b *Builder) buildOnly(ctx context.Context) (map[string]string, error) {
	built := map[string]string{}
	for _, name := range b.options.Only {
		var target string
		var err error
		// A role archive and its main program may share a name (etcd): the program comes with it.
		if slices.Contains(b.recipe.contentNames(), name) {
			var blob *entry
			if _, blob, err = b.contentByName(ctx, name); err == nil {
				target = blob.path(blobFile)
			}
		} else {
			target, err = b.Binary(ctx, name)
		}
		if err != nil {
			return built, err
		}
		built[name] = target
	}
	return built, nil
}

func (b *Builder) contentByName(ctx context.Context, name string) (Content, *entry, error) {
	switch name {
	case contentPackages:
		content, blob, _, err := b.packagesContent(ctx)
		return content, blob, err
	case contentLicences:
		content, blob, _, err := b.licencesContent(ctx)
		return content, blob, err
	}
	if content, blob, _, err := b.imagesContent(ctx, name); blob != nil || err != nil {
		return content, blob, err
	}
	for _, c := range b.recipe.Contents {
		if c.Name == name {
			return b.programsContent(ctx, c)
		}
	}
	return Content{}, nil, fmt.Errorf("recipe %s has no content %q", b.recipe.minor, name)
}

func (b *Builder) assemble(ctx context.Context) (*assembly, error) {
	toolchain, err := b.toolchain(ctx)
	if err != nil {
		return nil, err
	}
	recipeDigest, err := b.recipe.digest()
	if err != nil {
		return nil, err
	}
	a := &assembly{blobs: map[string]string{}, manifest: Manifest{
		Format: FormatV1, Kubernetes: b.recipe.Kubernetes, OS: "linux", Architecture: architecture(), Toolchain: toolchain,
		Recipe: recipeDigest, ImageRepository: b.recipe.ImageRepository, Distribution: b.recipe.Distribution,
	}}
	if err := b.compileAll(ctx); err != nil {
		return nil, err
	}
	for _, fill := range []func(context.Context, *assembly) error{b.addPrograms, b.addImages, b.addPackages, b.addLicences, b.addDescription} {
		if err := fill(ctx, a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// compileAll compiles two modules at a time: the programs of one module share packages, which two
// go commands would both compile, while linking alone leaves a core idle.
func (b *Builder) compileAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	modules := make(chan recipeModule)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for m := range modules {
				for _, t := range m.Tools {
					if _, err := b.Binary(ctx, t.Name); err != nil {
						cancel(err)
						break
					}
				}
			}
		})
	}
	for _, m := range b.recipe.Modules {
		modules <- m
	}
	close(modules)
	group.Wait()
	return context.Cause(ctx)
}

func (a *assembly) add(content Content, blob *entry) {
	a.manifest.Contents = append(a.manifest.Contents, content)
	a.blobs[content.Digest] = blob.path(blobFile)
}

func (b *Builder) programsContent(ctx context.Context, c recipeContent) (Content, *entry, error) {
	var sources []source
	for dir, tools := range c.Directories {
		for _, tool := range tools {
			s, err := b.toolSource(ctx, tool, path.Join(dir, tool))
			if err != nil {
				return Content{}, nil, err
			}
			sources = append(sources, s)
		}
	}
	return b.roleArchive(ctx, c.Name, KindFiles, sources)
}

func (b *Builder) addPrograms(ctx context.Context, a *assembly) error {
	for _, c := range b.recipe.Contents {
		content, blob, err := b.programsContent(ctx, c)
		if err != nil {
			return err
		}
		a.add(content, blob)
	}
	return nil
}

// imagesContent returns a nil entry when no image belongs to the content of that name.
func (b *Builder) imagesContent(ctx context.Context, name string) (Content, *entry, []Image, error) {
	var sources []source
	var images []Image
	for _, r := range b.recipe.Images {
		if r.Content != name {
			continue
		}
		image, s, err := b.image(ctx, r)
		if err != nil {
			return Content{}, nil, nil, err
		}
		images, sources = append(images, image), append(sources, s)
	}
	if len(images) == 0 {
		return Content{}, nil, nil, nil
	}
	content, blob, err := b.roleArchive(ctx, name, KindImages, sources)
	return content, blob, images, err
}

func (b *Builder) addImages(ctx context.Context, a *assembly) error {
	var done []string
	for _, r := range b.recipe.Images {
		if slices.Contains(done, r.Content) {
			continue
		}
		done = append(done, r.Content)
		content, blob, images, err := b.imagesContent(ctx, r.Content)
		if err != nil {
			return err
		}
		a.add(content, blob)
		a.manifest.Images = append(a.manifest.Images, images...)
	}
	return nil
}

func (b *Builder) addPackages(ctx context.Context, a *assembly) error {
	content, blob, packages, err := b.packagesContent(ctx)
	if err != nil {
		return err
	}
	a.add(content, blob)
	a.manifest.Packages = packages
	return nil
}

// writeDirectory writes the bundle into a directory. The manifest comes last and by rename: a
// directory whose manifest is there is whole. Blobs of an older manifest are removed after that.
func writeDirectory(ctx context.Context, dir string, manifest []byte, blobs map[string]string) error {
	blobDir := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobDir, 0o755); err != nil {
		return fmt.Errorf("making bundle directory: %w", err)
	}
	for digest, from := range blobs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("writing bundle: %w", context.Cause(ctx))
		}
		if err := placeBlob(from, filepath.Join(blobDir, strings.TrimPrefix(digest, digestPrefix))); err != nil {
			return err
		}
	}
	temp := filepath.Join(dir, "."+ManifestName+".new")
	if err := writeFileSync(temp, manifest, 0o644); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, ManifestName)); err != nil {
		return fmt.Errorf("writing manifest: %w", err)
	}
	return removeOtherBlobs(blobDir, blobs)
}

func removeOtherBlobs(dir string, blobs map[string]string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("removing old blobs: %w", err)
	}
	for _, e := range entries {
		if _, ok := blobs[digestPrefix+e.Name()]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("removing old blob: %w", err)
		}
	}
	return nil
}

// placeBlob copies a blob by rename. It is not linked to the cache: whoever damages a bundle
// must not damage the cache with it.
func placeBlob(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("placing blob: %w", err)
	}
	if old, err := os.Stat(to); err == nil && old.Size() == info.Size() {
		if sum, _, err := digestFile(to); err == nil && sum == filepath.Base(to) {
			return nil
		}
	}
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("placing blob: %w", err)
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".partial-")
	if err != nil {
		return fmt.Errorf("placing blob: %w", err)
	}
	defer func() { _ = os.Remove(out.Name()) }() // after the rename it is gone already
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("placing blob: %w", err)
	}
	if err := os.Rename(out.Name(), to); err != nil {
		return fmt.Errorf("placing blob: %w", err)
	}
	return nil
}

// digest identifies the whole text of the recipe.
func (r *recipe) digest() (string, error) {
	names := []string{"recipe.yaml"}
	for _, m := range r.Modules {
		if !m.own() {
			names = append(names, m.Name+".mod", m.Name+".sum")
		}
		for _, t := range m.Tools {
			if t.Language == languageRecipe {
				names = append(names, t.Source)
			}
		}
	}
	texts := map[string]string{}
	for _, name := range names {
		data, err := r.text(name)
		if err != nil {
			return "", err
		}
		texts[name] = string(data)
	}
	for _, dir := range []string{"probe", "schemagen"} {
		sources, err := embeddedSources(dir, dir)
		if err != nil {
			return "", err
		}
		for name, text := range sources {
			texts[name] = text
		}
	}
	data, err := json.Marshal(texts)
	if err != nil {
		return "", fmt.Errorf("encoding recipe: %w", err)
	}
	return DigestBytes(data), nil
}

// own says that the module is Slipway's own source, embedded, without requirements.
func (m recipeModule) own() bool {
	return slices.ContainsFunc(m.Tools, func(t recipeTool) bool { return t.Language == languageOwn })
}
