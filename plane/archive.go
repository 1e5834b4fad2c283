package plane

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

const (
	manifestName    = "manifest.json"
	checksumName    = "manifest.sha256"
	archiveVersion  = 1
	maxManifestSize = 16 << 20
)

// ErrCorrupt says that a backup is not what was written.
var ErrCorrupt = errors.New("the backup is damaged")

// Manifest is the first file of a backup: what is in it.
type Manifest struct {
	Version int `json:"version"`
	// ID is that of the plane.
	ID string `json:"id"`
	// Created is when the snapshot was taken.
	Created time.Time `json:"created"`
	// Slipway is the version of the program that made it.
	Slipway string `json:"slipway,omitempty"`
	// Etcd is the version of etcd that gave the snapshot.
	Etcd string `json:"etcd"`
	// Files are in the order in which they follow.
	Files []ArchiveFile `json:"files"`
}

// ArchiveFile is one file of a backup. Names start with plane/, etcd/ or the name of something extra.
type ArchiveFile struct {
	Name   string      `json:"name"`
	Mode   fs.FileMode `json:"mode"`
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
}

// source is a file that goes into a backup.
type source struct{ name, path string }

// sourcesBelow lists the regular files below a directory as name/<relative path>.
func sourcesBelow(name, dir string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == dir {
			return fs.SkipAll
		}
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		out = append(out, source{path.Join(name, filepath.ToSlash(relative)), file})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the files of %s: %w", dir, err)
	}
	return out, nil
}

// writeArchive writes the manifest, its checksum and the files to path, which must not exist.
func writeArchive(target string, m Manifest, sources []source) error {
	for _, s := range sources {
		described, err := describe(s)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, described)
	}
	file, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*") // has mode 0600
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	defer os.Remove(file.Name())
	err = writeEntries(file, m, sources)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Link(file.Name(), target) // unlike a rename it never replaces
	}
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return durable.SyncDir(filepath.Dir(target))
}

func describe(s source) (ArchiveFile, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return ArchiveFile{}, fmt.Errorf("reading %s: %w", s.name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ArchiveFile{}, fmt.Errorf("reading %s: %w", s.name, err)
	}
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return ArchiveFile{}, fmt.Errorf("reading %s: %w", s.name, err)
	}
	return ArchiveFile{Name: s.name, Mode: info.Mode().Perm(), Size: size, SHA256: hex.EncodeToString(hash.Sum(nil))}, nil
}

func writeEntries(w io.Writer, m Manifest, sources []source) error {
	compressed, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	sum := sha256.Sum256(manifest)
	if err := writeSmall(archive, manifestName, manifest); err != nil {
		return err
	}
	if err := writeSmall(archive, checksumName, []byte(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	for i, s := range sources {
		if err := copyEntry(archive, m.Files[i], s.path); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func writeSmall(archive *tar.Writer, name string, data []byte) error {
	return writeEntry(archive, ArchiveFile{Name: name, Mode: fileMode, Size: int64(len(data))}, bytes.NewReader(data))
}

func copyEntry(archive *tar.Writer, described ArchiveFile, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("reading %s: %w", described.Name, err)
	}
	defer file.Close()
	return writeEntry(archive, described, file)
}

func writeEntry(archive *tar.Writer, f ArchiveFile, content io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: int64(f.Mode.Perm()), Size: f.Size, Format: tar.FormatPAX}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, err)
	}
	if _, err := io.Copy(archive, content); err != nil {
		return fmt.Errorf("writing %s: %w", f.Name, err)
	}
	return nil
}

// Verify reads a backup from end to end and compares every byte with its checksums. ErrCorrupt names what is wrong.
func Verify(file string) (Manifest, error) {
	return readArchive(file, func(ArchiveFile, io.Reader) error { return nil })
}

// readArchive calls use for every file of a backup, in order. What use read is only to be trusted once readArchive has
// returned without error.
func readArchive(file string, use func(f ArchiveFile, content io.Reader) error) (Manifest, error) {
	opened, err := os.Open(file)
	if err != nil {
		return Manifest{}, fmt.Errorf("opening the backup: %w", err)
	}
	defer opened.Close()
	compressed, err := gzip.NewReader(opened)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w: %w", file, ErrCorrupt, err)
	}
	archive := tar.NewReader(compressed)
	m, err := readManifest(archive)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w", file, err)
	}
	for _, f := range m.Files {
		if err := readEntry(archive, f, use); err != nil {
			return m, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("reading %s: %w: there is more in it than its manifest names", file, ErrCorrupt)
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil { // the checksum of the compression is at its end
		return m, fmt.Errorf("reading %s: %w: at its end: %w", file, ErrCorrupt, err)
	}
	return m, nil
}

func readManifest(archive *tar.Reader) (Manifest, error) {
	manifest, err := readSmall(archive, manifestName)
	if err != nil {
		return Manifest{}, err
	}
	checksum, err := readSmall(archive, checksumName)
	if err != nil {
		return Manifest{}, err
	}
	if sum := sha256.Sum256(manifest); hex.EncodeToString(sum[:]) != string(checksum) {
		return Manifest{}, fmt.Errorf("%w: its manifest has another checksum", ErrCorrupt)
	}
	var m Manifest
	if err := decodeStrict(manifest, &m); err != nil {
		return Manifest{}, fmt.Errorf("reading its manifest: %w", err)
	}
	return m, m.validate()
}

func (m Manifest) validate() error {
	if m.Version != archiveVersion {
		return fmt.Errorf("the backup has format %d, this slipway reads format %d", m.Version, archiveVersion)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Name) || f.Name != path.Clean(f.Name) {
			return fmt.Errorf("%w: it holds a file outside of it, %q", ErrCorrupt, f.Name)
		}
	}
	if !slices.ContainsFunc(m.Files, func(f ArchiveFile) bool { return f.Name == snapshotName }) {
		return fmt.Errorf("%w: it holds no %s", ErrCorrupt, snapshotName)
	}
	return nil
}

func readSmall(archive *tar.Reader, name string) ([]byte, error) {
	header, err := archive.Next()
	if err != nil {
		return nil, fmt.Errorf("%w: at %s: %w", ErrCorrupt, name, err)
	}
	if header.Name != name || header.Size > maxManifestSize {
		return nil, fmt.Errorf("%w: %s is not where it should be (is this a backup of `slipway plane backup`?)", ErrCorrupt, name)
	}
	data, err := io.ReadAll(archive)
	if err != nil {
		return nil, fmt.Errorf("%w: at %s: %w", ErrCorrupt, name, err)
	}
	return data, nil
}

func readEntry(archive *tar.Reader, f ArchiveFile, use func(ArchiveFile, io.Reader) error) error {
	header, err := archive.Next()
	if err != nil {
		return fmt.Errorf("%w: at %s: %w", ErrCorrupt, f.Name, err)
	}
	if header.Name != f.Name || header.Size != f.Size || header.Typeflag != tar.TypeReg {
		return fmt.Errorf("%w: %s is not where it should be", ErrCorrupt, f.Name)
	}
	hash := sha256.New()
	content := io.TeeReader(archive, hash)
	if err := use(f, content); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return fmt.Errorf("%w: at %s: %w", ErrCorrupt, f.Name, err)
	}
	if hex.EncodeToString(hash.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%w: %s has another checksum", ErrCorrupt, f.Name)
	}
	return nil
}
