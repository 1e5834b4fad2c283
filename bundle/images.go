package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	imageDirectory = "var/lib/slipway/images"
	imagePath      = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

type imageNote struct {
	ID string `json:"id"`
}

// image builds the archive of one image: a single static program, no distribution, no shell.
func (b *Builder) image(ctx context.Context, r recipeImage) (Image, source, error) {
	tool, err := b.toolEntry(ctx, r.Tool)
	if err != nil {
		return Image{}, source{}, err
	}
	reference := b.recipe.ImageRepository + "/" + r.Name + ":" + r.Tag
	key, err := contentKey([]any{"image/1", reference, r.Path, r.User, architecture(), tool.Files[r.Tool].SHA256})
	if err != nil {
		return Image{}, source{}, err
	}
	file := r.Name + ".tar"
	e, err := b.step(ctx, key, "making image "+r.Name, func(_ context.Context, dir string) (any, error) {
		id, err := writeImage(filepath.Join(dir, file), reference, tool.path(r.Tool), r)
		return imageNote{ID: id}, err
	})
	if err != nil {
		return Image{}, source{}, err
	}
	var note imageNote
	if err := json.Unmarshal(e.Note, &note); err != nil {
		return Image{}, source{}, fmt.Errorf("reading cache entry of image %s: %w", r.Name, err)
	}
	target := path.Join(imageDirectory, file)
	image := Image{Name: r.Name, Reference: reference, Content: r.Content, Path: target, ID: note.ID, User: r.User}
	return image, e.source(file, target, 0o644), nil
}

// writeImage writes a docker archive whose one layer is not compressed: the role archive around
// it is, and the runtime unpacks a plain layer fastest.
func writeImage(target, reference, program string, r recipeImage) (id string, err error) {
	layer, err := programLayer(program, r.Path)
	if err != nil {
		return "", err
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer, types.DockerUncompressedLayer))
	if err != nil {
		return "", fmt.Errorf("adding layer: %w", err)
	}
	created := v1.Time{Time: archiveTime()}
	config, err := image.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("configuring image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", architecture(), created
	config.History = []v1.History{{Created: created, CreatedBy: "slipway bundle build"}}
	config.Config = v1.Config{Entrypoint: []string{"/" + r.Path}, Env: []string{imagePath}, User: r.User, WorkingDir: "/"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return "", fmt.Errorf("configuring image: %w", err)
	}
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("naming image: %w", err)
	}
	if err := tarball.WriteToFile(target, tag, image); err != nil {
		return "", fmt.Errorf("writing image: %w", err)
	}
	if err := os.Chmod(target, 0o644); err != nil {
		return "", fmt.Errorf("writing image: %w", err)
	}
	digest, err := image.ConfigName()
	if err != nil {
		return "", fmt.Errorf("naming image: %w", err)
	}
	return digest.String(), nil
}

func programLayer(program, target string) ([]byte, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("reading program: %w", err)
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	if err := packDirectories(archive, path.Dir(target), map[string]bool{}); err != nil {
		return nil, err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: target, Mode: 0o755, Size: int64(len(data)), ModTime: archiveTime(), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return nil, fmt.Errorf("packing %s: %w", target, err)
	}
	if _, err := archive.Write(data); err != nil {
		return nil, fmt.Errorf("packing %s: %w", target, err)
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("packing %s: %w", target, err)
	}
	return buffer.Bytes(), nil
}
