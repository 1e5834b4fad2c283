package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// plain is a layer that is not compressed; it is made anew each time that it is read, so that programs of hundreds of MB stay on disk.
type plain struct {
	open   func() (io.ReadCloser, error)
	digest v1.Hash
	size   int64
}

func newLayer(files []File, compress bool) (v1.Layer, error) {
	open := func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { _ = w.CloseWithError(pack(w, files)) }() // the reader gets the error
		return r, nil
	}
	if compress {
		l, err := tarball.LayerFromOpener(open)
		if err != nil {
			return nil, fmt.Errorf("packing: %w", err)
		}
		return l, nil
	}
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p := &plain{open: open}
	if p.digest, p.size, err = v1.SHA256(r); err != nil {
		return nil, fmt.Errorf("packing: %w", err)
	}
	return p, nil
}

// Digest is that of the layer as it travels; DiffID is the same without compression.
func (p *plain) Digest() (v1.Hash, error) { return p.digest, nil }

// DiffID is the digest of the unpacked layer.
func (p *plain) DiffID() (v1.Hash, error) { return p.digest, nil }

// Compressed is the layer as it travels.
func (p *plain) Compressed() (io.ReadCloser, error) { return p.open() }

// Uncompressed is the unpacked layer.
func (p *plain) Uncompressed() (io.ReadCloser, error) { return p.open() }

// Size is that of the layer as it travels, in bytes.
func (p *plain) Size() (int64, error) { return p.size, nil }

// MediaType says that it is not compressed.
func (p *plain) MediaType() (types.MediaType, error) { return types.DockerUncompressedLayer, nil }

// pack writes the files as a tar archive.
func pack(w io.Writer, files []File) error {
	archive := tar.NewWriter(w)
	made := map[string]bool{}
	for _, f := range files {
		if err := packFolder(archive, path.Dir(f.Path), made); err != nil {
			return err
		}
		if err := packFile(archive, f); err != nil {
			return fmt.Errorf("packing %s: %w", f.Path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("packing: %w", err)
	}
	return nil
}

func packFolder(archive *tar.Writer, dir string, made map[string]bool) error {
	if dir == "." || made[dir] {
		return nil
	}
	if err := packFolder(archive, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	header := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: Epoch(), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("packing folder %s: %w", dir, err)
	}
	return nil
}

func packFile(archive *tar.Writer, f File) error {
	var from io.Reader = bytes.NewReader(f.Data)
	size := int64(len(f.Data))
	if f.Source != "" {
		file, err := os.Open(f.Source)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		from, size = file, info.Size()
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Mode: f.Mode, Size: size, ModTime: Epoch(), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, from)
	return err
}
