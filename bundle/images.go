package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"

	"github.com/slipway-dev/slipway/image"
)

const imageDirectory = "var/lib/slipway/images"

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
	made, err := image.New(image.Options{
		Reference: reference, Files: []image.File{{Path: r.Path, Source: program, Mode: 0o755}}, Entrypoint: []string{"/" + r.Path}, User: r.User,
		CreatedBy: "slipway bundle build", Architecture: architecture(),
	})
	if err != nil {
		return "", err
	}
	return made.ID, made.Write(target)
}
