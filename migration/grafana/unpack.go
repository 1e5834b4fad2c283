package grafana

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// maxEntries is far above what plugins have.
const maxEntries = 500_000

// unpack writes the files and folders of a tar below dir, and nothing else. The tar is not trusted: a name that leads out of dir is an error,
// and what is neither file nor folder is left out.
func unpack(from io.Reader, dir string) (files int, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, fmt.Errorf("making a folder for what comes: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("opening the folder for what comes: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	in := tar.NewReader(from)
	for n := 0; ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, from) // what stands behind its end
			return files, err
		}
		if err != nil {
			return files, fmt.Errorf("reading what the host sends: %w", err)
		}
		if n == maxEntries {
			return files, fmt.Errorf("reading what the host sends: more than %d files", maxEntries)
		}
		name := path.Clean(h.Name)
		if !filepath.IsLocal(name) {
			return files, fmt.Errorf("reading what the host sends: the name %.100q leads out of its folder", h.Name)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o750)
		case tar.TypeReg:
			files++
			err = unpackFile(root, name, fs.FileMode(h.Mode)&0o110|0o640, in) //nolint:gosec // of its bits two are taken
		}
		if err != nil {
			return files, fmt.Errorf("writing %.100q: %w", name, err)
		}
	}
}

func unpackFile(root *os.Root, name string, mode fs.FileMode, from io.Reader) (err error) {
	if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Sync()
}
