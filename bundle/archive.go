package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxArchiveEntries limits what is read from a bundle's archive before it is refused.
const maxArchiveEntries = 10_000

// writeArchive writes the single-file form: a plain tar, the manifest first, so that a reader
// finds it without reading the rest. The blobs in it are compressed already.
func writeArchive(ctx context.Context, target string, manifest []byte, blobs map[string]string) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fmt.Errorf("making directory of the bundle: %w", err)
	}
	out, err := os.CreateTemp(filepath.Dir(target), ".partial-bundle-")
	if err != nil {
		return fmt.Errorf("creating bundle: %w", err)
	}
	defer func() { _ = os.Remove(out.Name()) }() // after the rename it is gone already
	defer out.Close()
	archive := tar.NewWriter(out)
	if err := writeArchiveEntry(archive, ManifestName, int64(len(manifest)), strings.NewReader(string(manifest))); err != nil {
		return err
	}
	for _, digest := range slices.Sorted(maps.Keys(blobs)) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("writing bundle: %w", context.Cause(ctx))
		}
		if err := writeArchiveBlob(archive, digest, blobs[digest]); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("writing bundle: %w", err)
	}
	if err := os.Rename(out.Name(), target); err != nil {
		return fmt.Errorf("writing bundle: %w", err)
	}
	return nil
}

func writeArchiveBlob(archive *tar.Writer, digest, from string) error {
	digits, err := ParseDigest(digest)
	if err != nil {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("opening blob: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("opening blob: %w", err)
	}
	return writeArchiveEntry(archive, blobPath(digits), info.Size(), f)
}

func writeArchiveEntry(archive *tar.Writer, name string, size int64, r io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: archiveTime(), Format: tar.FormatUSTAR}
	if size >= 8<<30 {
		header.Format = tar.FormatGNU
	}
	if err := archive.WriteHeader(header); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if _, err := io.Copy(archive, r); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// archiveStore reads blobs in place: a bundle file is never unpacked.
type archiveStore struct {
	file    *os.File
	entries map[string]span
}

type span struct{ offset, size int64 }

type sectionCloser struct{ *io.SectionReader }

func (sectionCloser) Close() error { return nil }

func openArchive(path string) (store, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening archive: %w", err)
	}
	entries, err := indexArchive(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &archiveStore{file: f, entries: entries}, nil
}

// indexArchive finds the places of the manifest and the blobs, and refuses everything else.
func indexArchive(r io.ReadSeeker) (map[string]span, error) {
	end, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	entries := map[string]span{}
	reader := tar.NewReader(r)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading archive: %w", err)
		}
		if err := checkArchiveEntry(header, entries); err != nil {
			return nil, fmt.Errorf("reading archive: %w", err)
		}
		// The tar reader reads whole blocks of 512 bytes, so here begins the data.
		offset, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("reading archive: %w", err)
		}
		if header.Size > end-offset {
			return nil, fmt.Errorf("reading archive: %s: cut off", header.Name)
		}
		entries[header.Name] = span{offset: offset, size: header.Size}
	}
}

func checkArchiveEntry(header *tar.Header, entries map[string]span) error {
	if len(entries) >= maxArchiveEntries {
		return fmt.Errorf("more than %d entries", maxArchiveEntries)
	}
	if header.Typeflag != tar.TypeReg {
		return fmt.Errorf("entry %q: not a regular file", header.Name)
	}
	if _, ok := entries[header.Name]; ok {
		return fmt.Errorf("entry %q: twice in the archive", header.Name)
	}
	if header.Name == ManifestName {
		return nil
	}
	digits, ok := strings.CutPrefix(header.Name, "blobs/sha256/")
	if !ok {
		return fmt.Errorf("entry %q: neither %s nor a blob", header.Name, ManifestName)
	}
	if _, err := ParseDigest(digestPrefix + digits); err != nil {
		return fmt.Errorf("entry %q: %w", header.Name, err)
	}
	return nil
}

func (a *archiveStore) open(name string) (io.ReadSeekCloser, int64, error) {
	s, ok := a.entries[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return sectionCloser{io.NewSectionReader(a.file, s.offset, s.size)}, s.size, nil
}

func (a *archiveStore) Close() error { return a.file.Close() }

// verifyFiles compares the files of a role archive with the manifest's list: same paths, modes,
// sizes and digests, no links, no path that leaves the root.
func verifyFiles(r io.Reader, c Content) error {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("reading role archive: %w", err)
	}
	want := map[string]File{}
	for _, f := range c.Files {
		want[f.Path] = f
	}
	reader := tar.NewReader(zip)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading role archive: %w", err)
		}
		if err := verifyEntry(reader, header, want); err != nil {
			return err
		}
	}
	for name := range want {
		return fmt.Errorf("%q: listed in the manifest, missing in the archive", name)
	}
	return nil
}

// verifyEntry checks one entry and takes it from the files that are wanted.
func verifyEntry(r io.Reader, header *tar.Header, want map[string]File) error {
	if err := checkPath(strings.TrimSuffix(header.Name, "/")); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeDir && header.Mode&0o022 == 0 {
		return nil
	}
	f, ok := want[header.Name]
	if !ok || header.Typeflag != tar.TypeReg {
		return fmt.Errorf("%q: not a file that the manifest lists", header.Name)
	}
	delete(want, header.Name)
	return verifyFile(r, header, f)
}

func verifyFile(r io.Reader, header *tar.Header, want File) error {
	if mode := fmt.Sprintf("%04o", header.Mode); mode != want.Mode || header.Size != want.Size {
		return fmt.Errorf("%q: mode %s and %d bytes, the manifest says %s and %d", header.Name, mode, header.Size, want.Mode, want.Size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("reading %q: %w", header.Name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.SHA256 {
		return fmt.Errorf("%q: its bytes have the sha256 %s", header.Name, got)
	}
	return nil
}
