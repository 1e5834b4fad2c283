package block

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// FileDigest is one file of a block.
type FileDigest struct {
	Name   string `json:"name"` // inside the block, with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Digest is what a block holds, byte by byte: meta.json, index, tombstones and the segments, by name. Files that are not
// part of a block do not count.
type Digest struct {
	Files  []FileDigest `json:"files"`
	SHA256 string       `json:"sha256"` // over the lines "sha256 bytes name\n"
}

// Digest reads every file of a block. Links and special files are a *Damage.
func (d *Dir) Digest(ctx context.Context, name string, p func(ctx context.Context, bytes int) error) (*Digest, error) {
	b, err := d.openBlock(name)
	if err != nil {
		return nil, fmt.Errorf("taking the digest of block %s: %w", name, err)
	}
	defer b.close()
	if len(b.damage) > 0 {
		return nil, fmt.Errorf("taking the digest of block %s: %w", name, b.damage[0])
	}
	var digest Digest
	whole := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(b.files)) {
		one, err := digestFile(b.root, file, pacer(ctx, p, func(int) {}))
		if err != nil {
			return nil, fmt.Errorf("taking the digest of block %s: reading %s: %w", name, file, err)
		}
		digest.Files = append(digest.Files, one)
		fmt.Fprintf(whole, "%s %d %s\n", one.SHA256, one.Bytes, one.Name)
	}
	digest.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return &digest, nil
}

func digestFile(root *os.Root, name string, p pace) (FileDigest, error) {
	f, err := openRegular(root, name)
	if err != nil {
		return FileDigest{}, err
	}
	defer f.Close()
	w, err := newWindow(f, stepWide, p)
	if err != nil {
		return FileDigest{}, err
	}
	defer w.close()
	sum := sha256.New()
	if err := w.copyTo(sum); err != nil {
		return FileDigest{}, err
	}
	return FileDigest{Name: name, Bytes: w.size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// copyTo writes the whole file.
func (w *window) copyTo(to io.Writer) error {
	for off := int64(0); off < w.size; {
		b, err := w.upTo(off, w.step)
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
