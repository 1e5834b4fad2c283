package image

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Options say what an image is.
type Options struct {
	// Reference is its name with a tag, as in registry.example/slipway:0.1.0. A name without a registry is one of Docker Hub's library for
	// containerd, as it is everywhere.
	Reference string
	Files     []File
	// Entrypoint is the program with its first arguments, by its path in the image.
	Entrypoint []string
	// User is uid:gid in numbers: there is no /etc/passwd.
	User   string
	Labels map[string]string
	// CreatedBy is what the history of the image says.
	CreatedBy string
	// Architecture is that of the programs, as Go names it; default: this machine's.
	Architecture string
	// Compress makes an image that is small in a registry; without it, it is unpacked fastest.
	Compress bool
}

// File is one file of an image.
type File struct {
	// Path is where it lies, without the slash at the beginning. Folders above it are made.
	Path string
	// Source is the file on this machine; empty: Data is what is in it.
	Source string
	Data   []byte
	Mode   int64
}

// Image is what was made; nothing is written yet.
type Image struct {
	// Reference is the name, for pods to use.
	Reference string
	// ID is the digest of the configuration, as docker images shows it; Digest is that of the manifest, by which a registry knows an image
	// that is compressed.
	ID, Digest string

	tag   name.Tag
	image v1.Image
}

// Epoch is the time of every file, so that the same files make the same image.
func Epoch() time.Time { return time.Unix(1_577_836_800, 0).UTC() }

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// New makes an image; the files have to stay as they are until it is written.
func New(o Options) (*Image, error) {
	tag, err := name.NewTag(o.Reference)
	if err != nil {
		return nil, fmt.Errorf("naming image %q: want a name with a tag as in registry.example/slipway:0.1.0", o.Reference)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("making image %s: %w", o.Reference, err)
	}
	files := slices.SortedFunc(slices.Values(o.Files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	layer, err := newLayer(files, o.Compress)
	if err != nil {
		return nil, fmt.Errorf("making image %s: %w", o.Reference, err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("making image %s: adding the layer: %w", o.Reference, err)
	}
	if image, err = o.configure(image); err != nil {
		return nil, fmt.Errorf("making image %s: %w", o.Reference, err)
	}
	i := &Image{Reference: tag.String(), tag: tag, image: image}
	id, err := image.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("making image %s: %w", o.Reference, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, fmt.Errorf("making image %s: %w", o.Reference, err)
	}
	i.ID, i.Digest = id.String(), digest.String()
	return i, nil
}

func (o *Options) check() error {
	if len(o.Files) == 0 {
		return errors.New("it has no files")
	}
	seen := map[string]bool{}
	for _, f := range o.Files {
		if f.Path == "" || path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || strings.HasPrefix(f.Path, "..") {
			return fmt.Errorf("file %q: want a clean path without a slash at the beginning", f.Path)
		}
		if seen[f.Path] {
			return fmt.Errorf("file %s is there twice", f.Path)
		}
		seen[f.Path] = true
	}
	return nil
}

func (o *Options) configure(image v1.Image) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("configuring: %w", err)
	}
	created := v1.Time{Time: Epoch()}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", o.Architecture, created
	if config.Architecture == "" {
		config.Architecture = runtime.GOARCH
	}
	config.History = []v1.History{{Created: created, CreatedBy: o.CreatedBy}}
	config.Config = v1.Config{Entrypoint: o.Entrypoint, Env: []string{searchPath}, User: o.User, WorkingDir: "/", Labels: maps.Clone(o.Labels)}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, fmt.Errorf("configuring: %w", err)
	}
	return image, nil
}

// Write writes the archive. A file that was there is replaced when all of the new one is.
func (i *Image) Write(target string) error {
	tmp, err := os.CreateTemp(filepath.Dir(target), ".slipway-image-*")
	if err != nil {
		return fmt.Errorf("writing image %s: %w", i.Reference, err)
	}
	defer os.Remove(tmp.Name())
	err = tarball.Write(i.tag, i.image, tmp)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("writing image %s: %w", i.Reference, err)
	}
	return nil
}
