package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	// ManifestName is the file name of the manifest in a bundle.
	ManifestName = "manifest.json"
	// ArchiveSuffix marks the single-file form of a bundle.
	ArchiveSuffix = ".tar"
)

// Bundle is an open bundle. Its methods may be called from several goroutines.
type Bundle struct {
	path     string
	manifest *Manifest
	raw      []byte
	digest   string
	store    store
}

// store holds the files of a bundle: a directory or an archive.
type store interface {
	// open returns a file of the bundle and its size; the error is fs.ErrNotExist when missing.
	open(name string) (io.ReadSeekCloser, int64, error)
	io.Closer
}

// BlobError says which blob of a bundle is missing or is not what its name says.
type BlobError struct {
	// Content is the name of the role archive; Path is the blob's path in the bundle.
	Content, Path string
	Err           error
}

func (e *BlobError) Error() string {
	return fmt.Sprintf("content %s: blob %s: %v", e.Content, e.Path, e.Err)
}

func (e *BlobError) Unwrap() error { return e.Err }

// Open opens a bundle directory or archive and reads its manifest strictly; it does not read the
// blobs, which Verify does. The caller closes the bundle.
func Open(path string) (*Bundle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening bundle (make one with: slipway bundle build): %w", err)
	}
	var s store
	if info.IsDir() {
		s, err = openDirectory(path)
	} else {
		s, err = openArchive(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening bundle %s: %w", path, err)
	}
	b := &Bundle{path: path, store: s}
	if err := b.readManifest(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening bundle %s: %w", path, err), s.Close())
	}
	return b, nil
}

func (b *Bundle) readManifest() error {
	f, size, err := b.store.open(ManifestName)
	if err != nil {
		return fmt.Errorf("opening manifest: %w", err)
	}
	defer f.Close()
	if size > MaxManifestBytes {
		return fmt.Errorf("reading manifest: %d bytes exceed the limit of %d", size, MaxManifestBytes)
	}
	if b.raw, err = io.ReadAll(io.LimitReader(f, MaxManifestBytes)); err != nil {
		return fmt.Errorf("reading manifest: %w", err)
	}
	b.digest = DigestBytes(b.raw)
	b.manifest, err = DecodeManifest(b.raw)
	return err
}

// Close releases the files of the bundle.
func (b *Bundle) Close() error { return b.store.Close() }

// Path is where the bundle was opened.
func (b *Bundle) Path() string { return b.path }

// Manifest is the decoded manifest; it is shared and must not be changed.
func (b *Bundle) Manifest() *Manifest { return b.manifest }

// ManifestBytes are the bytes whose digest identifies the bundle.
func (b *Bundle) ManifestBytes() []byte { return b.raw }

// Digest is the digest of the manifest, and so of everything in the bundle.
func (b *Bundle) Digest() string { return b.digest }

// Flags returns the flags of a component; false when the bundle does not know the component.
func (b *Bundle) Flags(component string) ([]Flag, bool) { return b.manifest.Flags(component) }

// Schema returns the JSON schema of a configuration kind, such as KubeletConfiguration.
func (b *Bundle) Schema(kind string) (Schema, bool) { return b.manifest.Schema(kind) }

// Blob opens a blob by its digest and returns its size in bytes. The bytes are not checked here:
// whoever fetches a blob by digest checks it.
func (b *Bundle) Blob(digest string) (io.ReadSeekCloser, int64, error) {
	digits, err := ParseDigest(digest)
	if err != nil {
		return nil, 0, err
	}
	f, size, err := b.store.open(blobPath(digits))
	if err != nil {
		return nil, 0, fmt.Errorf("opening blob %s: %w", digest, err)
	}
	return f, size, nil
}

func blobPath(digits string) string { return "blobs/sha256/" + digits }

// Verify reads every blob and compares size, digest and the list of files in it with the
// manifest. All damaged blobs are named: the error joins one BlobError for each.
func (b *Bundle) Verify(ctx context.Context) error {
	var problems []error
	for _, c := range b.manifest.Contents {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verifying bundle: %w", context.Cause(ctx))
		}
		if err := b.verifyContent(ctx, c); err != nil {
			digits := strings.TrimPrefix(c.Digest, digestPrefix)
			problems = append(problems, &BlobError{Content: c.Name, Path: blobPath(digits), Err: err})
		}
	}
	return errors.Join(problems...)
}

func (b *Bundle) verifyContent(ctx context.Context, c Content) error {
	f, size, err := b.Blob(c.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	if size != c.Size {
		return fmt.Errorf("%d bytes long, the manifest says %d", size, c.Size)
	}
	h := sha256.New()
	if _, err := io.Copy(h, &contextReader{ctx: ctx, r: f}); err != nil {
		return fmt.Errorf("reading blob: %w", err)
	}
	if got := digestPrefix + hex.EncodeToString(h.Sum(nil)); got != c.Digest {
		return fmt.Errorf("its bytes have the digest %s", got)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading blob: %w", err)
	}
	return verifyFiles(&contextReader{ctx: ctx, r: f}, c)
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// directoryStore confines all access to the bundle's directory, also through symbolic links.
type directoryStore struct{ root *os.Root }

func openDirectory(path string) (store, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening directory: %w", err)
	}
	return &directoryStore{root: root}, nil
}

func (d *directoryStore) open(name string) (io.ReadSeekCloser, int64, error) {
	f, err := d.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(fmt.Errorf("%s is not a regular file", name), err, f.Close())
	}
	return f, info.Size(), nil
}

func (d *directoryStore) Close() error { return d.root.Close() }
