package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// archiveTime is the modification time of every file in every archive, so that the same files
// make the same bytes.
func archiveTime() time.Time { return time.Unix(1_577_836_800, 0).UTC() }

// source is one file that goes into a role archive.
type source struct {
	path   string // in the archive
	from   string // on this machine
	mode   int64
	sha256 string
	size   int64
}

// roleNote is what a cache entry of a role archive records beside the blob.
type roleNote struct {
	Content Content `json:"content"`
}

const blobFile = "blob"

// roleArchive packs sources into one compressed archive.
func (b *Builder) roleArchive(ctx context.Context, name string, kind ContentKind, sources []source) (Content, *entry, error) {
	slices.SortFunc(sources, func(x, y source) int { return strings.Compare(x.path, y.path) })
	toolchain, err := b.toolchain(ctx)
	if err != nil {
		return Content{}, nil, err
	}
	inputs := []any{"role/1", name, kind, toolchain}
	for _, s := range sources {
		inputs = append(inputs, s.path, s.mode, s.sha256)
	}
	key, err := contentKey(inputs)
	if err != nil {
		return Content{}, nil, err
	}
	e, err := b.step(ctx, key, "packing "+name, func(ctx context.Context, dir string) (any, error) {
		content := Content{Name: name, Kind: kind}
		err := packFile(ctx, filepath.Join(dir, blobFile), sources, &content)
		return roleNote{Content: content}, err
	})
	if err != nil {
		return Content{}, nil, err
	}
	var note roleNote
	if err := json.Unmarshal(e.Note, &note); err != nil {
		return Content{}, nil, fmt.Errorf("reading cache entry of %s: %w", name, err)
	}
	return note.Content, e, nil
}

func packFile(ctx context.Context, target string, sources []source, content *Content) error {
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("creating blob: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	counter := &countingWriter{w: io.MultiWriter(f, h)}
	if err := pack(ctx, counter, sources, content); err != nil {
		return err
	}
	content.Digest, content.Size = digestPrefix+hex.EncodeToString(h.Sum(nil)), counter.n
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing blob: %w", err)
	}
	return nil
}

// pack writes the archive and fills content.Files. The fastest compression level keeps the time
// of a node, not the size of the bundle, small.
func pack(ctx context.Context, w io.Writer, sources []source, content *Content) error {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("compressing: %w", err)
	}
	archive := tar.NewWriter(zip)
	made := map[string]bool{}
	for _, s := range sources {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("packing: %w", context.Cause(ctx))
		}
		if err := packDirectories(archive, path.Dir(s.path), made); err != nil {
			return err
		}
		if err := packOne(archive, s); err != nil {
			return err
		}
		content.UnpackedSize += s.size
		content.Files = append(content.Files, File{Path: s.path, Mode: fmt.Sprintf("%04o", s.mode), Size: s.size, SHA256: s.sha256})
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("finishing archive: %w", err)
	}
	if err := zip.Close(); err != nil {
		return fmt.Errorf("finishing archive: %w", err)
	}
	return nil
}

func packDirectories(archive *tar.Writer, dir string, made map[string]bool) error {
	if dir == "." || made[dir] {
		return nil
	}
	if err := packDirectories(archive, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	header := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: archiveTime(), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("packing directory %s: %w", dir, err)
	}
	return nil
}

func packOne(archive *tar.Writer, s source) error {
	f, err := os.Open(s.from)
	if err != nil {
		return fmt.Errorf("packing %s: %w", s.path, err)
	}
	defer f.Close()
	header := &tar.Header{Typeflag: tar.TypeReg, Name: s.path, Mode: s.mode, Size: s.size, ModTime: archiveTime(), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("packing %s: %w", s.path, err)
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(archive, h), f); err != nil {
		return fmt.Errorf("packing %s: %w", s.path, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != s.sha256 {
		return fmt.Errorf("packing %s: %s was changed after it was built (remove its directory from the cache)", s.path, s.from)
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// toolSource is a program of the recipe at a path of the host.
func (b *Builder) toolSource(ctx context.Context, tool, target string) (source, error) {
	e, err := b.toolEntry(ctx, tool)
	if err != nil {
		return source{}, err
	}
	return e.source(tool, target, 0o755), nil
}

func (e *entry) source(name, target string, mode int64) source {
	f := e.Files[name]
	return source{path: target, from: e.path(name), mode: mode, sha256: f.SHA256, size: f.Size}
}
