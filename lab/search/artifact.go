package search

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// copyPlugin copies an artifact out of Maven's repositories, with the settings of whoever runs it.
const copyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

// fetch gives the path of a server's zip in the cache; Maven brings it when it is not there.
func fetch(ctx context.Context, o Options, s Server) (string, error) {
	dir := filepath.Join(o.Cache, "search")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	zip := filepath.Join(dir, s.SHA256+".zip")
	if isWhole(zip, s.SHA256) {
		return zip, nil
	}
	held, err := durable.Lock(ctx, zip+".lock")
	if err != nil {
		return "", err
	}
	defer held.Close()
	if isWhole(zip, s.SHA256) {
		return zip, nil
	}
	o.say("Bringing %s with Maven (once)", s)
	if err := bring(ctx, s, zip); err != nil {
		return "", fmt.Errorf("bringing %s: %w", s.Artifact(), err)
	}
	return zip, nil
}

// bring has Maven copy the zip beside its place in the cache, and renames it when its digest is right. The caller holds the lock.
func bring(ctx context.Context, s Server, zip string) error {
	part := zip + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("there is no Maven (mvn) on this machine; on Debian: apt-get install maven")
	}
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", copyPlugin, "-Dartifact="+s.Artifact(), "-DoutputDirectory="+part)
	cmd.Dir = part
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running mvn: %w: %s", err, tail(string(out), 600))
	}
	got := filepath.Join(part, fmt.Sprintf("%s-%s.zip", s.Product, s.Version))
	sum, err := digest(got)
	if err != nil {
		return err
	}
	if sum != s.SHA256 {
		return fmt.Errorf("its digest is %s, want %s", sum, s.SHA256)
	}
	return os.Rename(got, zip)
}

func isWhole(path, want string) bool {
	sum, err := digest(path)
	return err == nil && sum == want
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unpack lays the files of a zip into dir, less the folder that stands around them. The zip's digest is known.
func unpack(files fs.FS, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		_, rest, inside := strings.Cut(path, "/")
		switch {
		case !inside:
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, rest), 0o755)
		}
		return copyOut(files, path, filepath.Join(dir, rest))
	})
}

func copyOut(files fs.FS, path, to string) error {
	from, err := files.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was read
	info, err := from.Stat()
	if err != nil {
		return err
	}
	mode := 0o644 | info.Mode().Perm()&0o111
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}

func tail(text string, n int) string {
	text = strings.TrimSpace(text)
	if len(text) > n {
		text = "… " + text[len(text)-n:]
	}
	return text
}
