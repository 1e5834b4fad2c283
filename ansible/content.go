// Package ansible is the content that Slipway runs on hosts: playbooks, roles, modules and the fence, embedded in the
// binary, written out by version, and the virtual environment that runs it. It starts nothing on hosts itself.
package ansible

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Release is the version of Slipway that the content belongs to.
const Release = "0.1.0"

//go:embed ansible.cfg requirements.txt fence playbooks roles library module_utils plugins releases
var embedded embed.FS

// Tree is one version of the content.
type Tree struct {
	// Version is Release, a hyphen and eight hexadecimal digits of the digest of all files.
	Version string
	// Files holds ansible.cfg, playbooks/, roles/, library/, module_utils/, plugins/, releases/, fence/ and requirements.txt.
	Files fs.FS
}

// treeDigest hashes the embedded files once; they cannot change.
var treeDigest = sync.OnceValues(func() (string, error) { return digest(embedded) })

// Content is the content in this binary.
func Content() (Tree, error) {
	sum, err := treeDigest()
	if err != nil {
		return Tree{}, err
	}
	return Tree{Version: Release + "-" + sum[:8], Files: embedded}, nil
}

// Fence is the shell program that guards a host; it is installed as /var/lib/slipway/fence with mode 0755.
func Fence() ([]byte, error) {
	b, err := embedded.ReadFile("fence/fence")
	if err != nil {
		return nil, fmt.Errorf("reading the embedded fence: %w", err)
	}
	return b, nil
}

// Extract writes the content of this binary to <dir>/<version> and returns that path. Older versions beside it stay. A
// directory that is there already is used as it is when its files are the right ones, and is an error when they are not.
func Extract(dir string) (string, error) {
	tree, err := Content()
	if err != nil {
		return "", err
	}
	target := filepath.Join(dir, tree.Version)
	if _, err := os.Stat(target); err == nil {
		return target, tree.matches(target)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", dir, err)
	}
	fresh, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return "", fmt.Errorf("extracting content %s: %w", tree.Version, err)
	}
	defer os.RemoveAll(fresh)
	if err := tree.write(fresh); err != nil {
		return "", fmt.Errorf("extracting content %s: %w", tree.Version, err)
	}
	// Somebody else may have been faster: then theirs is used.
	if err := os.Rename(fresh, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("extracting content %s: %w", tree.Version, err)
	}
	return target, tree.matches(target)
}

func (t Tree) write(dir string) error {
	if err := os.CopyFS(dir, t.Files); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(dir, "fence", "fence"), 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// matches says what is wrong with extracted content: edited content would run under the name of the original.
func (t Tree) matches(dir string) error {
	sum, err := digest(os.DirFS(dir))
	if err != nil {
		return err
	}
	if Release+"-"+sum[:8] != t.Version {
		return fmt.Errorf("content in %s was changed after it was extracted: move it away, it is made again", dir)
	}
	return nil
}

// digest hashes names and bytes of all files in lexical order; what Python caches beside them does not count.
func digest(files fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "__pycache__":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("hashing content: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
