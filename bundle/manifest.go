package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

// FormatV1 is the only manifest format that this package reads and writes.
const FormatV1 = "slipway.dev/bundle/v1"

// MaxManifestBytes limits the size of a manifest.json that is read.
const MaxManifestBytes = 16 << 20

// ContentKind says what the files of a role archive are for.
type ContentKind string

const (
	// KindFiles is an archive of programs and their files, ready once unpacked.
	KindFiles ContentKind = "Files"
	// KindImages is an archive of container image archives that the runtime imports.
	KindImages ContentKind = "Images"
	// KindPackages is an archive of distribution packages that the package manager installs.
	KindPackages ContentKind = "Packages"
)

// Manifest describes one bundle. Its digest is the identity of the bundle.
type Manifest struct {
	// Format is FormatV1.
	Format string `json:"format"`
	// Kubernetes is the version that the bundle installs, such as v1.36.3.
	Kubernetes string `json:"kubernetes"`
	// OS and Architecture name the hosts that the bundle is for, in Go's words.
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	// Toolchain is the Go release that compiled the bundle.
	Toolchain string `json:"toolchain"`
	// Recipe is the digest of the recipe's text.
	Recipe string `json:"recipe"`
	// ImageRepository is the prefix of every image reference in the bundle.
	ImageRepository string `json:"imageRepository"`
	// Distribution names the operating system release that the packages belong to.
	Distribution string      `json:"distribution,omitempty"`
	Components   []Component `json:"components"`
	Contents     []Content   `json:"contents"`
	Images       []Image     `json:"images"`
	Packages     []Package   `json:"packages,omitempty"`
	// FlagSets holds the command line flags by component name.
	FlagSets map[string][]Flag `json:"flagSets,omitempty"`
	// Schemas holds JSON schemas by configuration kind, such as KubeletConfiguration.
	Schemas map[string]Schema `json:"schemas,omitempty"`
}

// Component is one program or distribution package set with its origin.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Module is the Go module that the program comes from.
	Module string `json:"module,omitempty"`
	// Licence is the SPDX identifier found in the module's licence file, or NOASSERTION.
	Licence string `json:"licence"`
	// Dependencies are the modules linked into the program.
	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Dependency is a module that a program links.
type Dependency struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Licence string `json:"licence"`
}

// Content is one role archive: a blob and the files in it.
type Content struct {
	Name   string      `json:"name"`
	Kind   ContentKind `json:"kind"`
	Digest string      `json:"digest"`
	// Size is the length of the blob in bytes.
	Size int64 `json:"size"`
	// UnpackedSize is the sum of the file sizes in bytes.
	UnpackedSize int64  `json:"unpackedSize"`
	Files        []File `json:"files"`
}

// File is one regular file of a role archive; Path is relative to the root of the host.
type File struct {
	Path   string `json:"path"`
	Mode   string `json:"mode"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Image is one container image and the file of a content that holds it.
type Image struct {
	Name      string `json:"name"`
	Reference string `json:"reference"`
	Content   string `json:"content"`
	Path      string `json:"path"`
	// ID is the digest of the image's configuration, by which a runtime knows the image.
	ID   string `json:"id"`
	User string `json:"user,omitempty"`
}

// Package is one distribution package and the file of a content that holds it.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Content string `json:"content"`
	Path    string `json:"path"`
}

// Flag is one command line flag of a component, without its dashes.
type Flag struct {
	Name       string `json:"name"`
	Type       string `json:"type,omitempty"`
	Deprecated string `json:"deprecated,omitempty"`
}

// Schema is the JSON schema of one configuration kind in one API version.
type Schema struct {
	APIVersion string          `json:"apiVersion"`
	Document   json.RawMessage `json:"document"`
}

// DecodeManifest reads a manifest strictly: unknown fields, trailing data and a manifest that
// does not hold together are errors.
func DecodeManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifestBytes {
		return nil, fmt.Errorf("reading manifest: %d bytes exceed the limit of %d", len(data), MaxManifestBytes)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	m := &Manifest{}
	if err := decoder.Decode(m); err != nil {
		return nil, fmt.Errorf("decoding manifest: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("decoding manifest: data after the manifest")
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("checking manifest: %w", err)
	}
	return m, nil
}

// Encode writes the manifest in the one form whose digest identifies the bundle.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("checking manifest: %w", err)
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding manifest: %w", err)
	}
	return append(data, '\n'), nil
}

// Content returns the role archive of that name.
func (m *Manifest) Content(name string) (Content, bool) {
	i := slices.IndexFunc(m.Contents, func(c Content) bool { return c.Name == name })
	if i < 0 {
		return Content{}, false
	}
	return m.Contents[i], true
}

// Component returns the component of that name.
func (m *Manifest) Component(name string) (Component, bool) {
	i := slices.IndexFunc(m.Components, func(c Component) bool { return c.Name == name })
	if i < 0 {
		return Component{}, false
	}
	return m.Components[i], true
}

// Image returns the image of that short name, such as pause.
func (m *Manifest) Image(name string) (Image, bool) {
	i := slices.IndexFunc(m.Images, func(c Image) bool { return c.Name == name })
	if i < 0 {
		return Image{}, false
	}
	return m.Images[i], true
}

// Flags returns the flags of a component; false when the bundle does not know the component.
func (m *Manifest) Flags(component string) ([]Flag, bool) {
	flags, ok := m.FlagSets[component]
	return flags, ok
}

// Schema returns the JSON schema of a configuration kind, such as KubeletConfiguration.
func (m *Manifest) Schema(kind string) (Schema, bool) {
	schema, ok := m.Schemas[kind]
	return schema, ok
}

var (
	versionPattern = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	namePattern    = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	modePattern    = regexp.MustCompile(`^0[0-7]{3}$`)
)

func (m *Manifest) validate() error {
	if m.Format != FormatV1 {
		return fmt.Errorf("format: %q is not %q; use the slipway release that wrote this bundle", m.Format, FormatV1)
	}
	if !versionPattern.MatchString(m.Kubernetes) {
		return fmt.Errorf("kubernetes: %q is not a version such as v1.36.3", m.Kubernetes)
	}
	if m.OS == "" || m.Architecture == "" {
		return fmt.Errorf("os, architecture: both must be set")
	}
	if _, err := ParseDigest(m.Recipe); err != nil {
		return fmt.Errorf("recipe: %w", err)
	}
	files, err := m.validateContents()
	if err != nil {
		return err
	}
	for i, image := range m.Images {
		if !files[image.Content+"\x00"+image.Path] {
			return fmt.Errorf("images[%d]: %s: no file %q in content %q", i, image.Name, image.Path, image.Content)
		}
	}
	for i, p := range m.Packages {
		if !files[p.Content+"\x00"+p.Path] {
			return fmt.Errorf("packages[%d]: %s: no file %q in content %q", i, p.Name, p.Path, p.Content)
		}
	}
	return nil
}

// validateContents returns the set of content NUL path that exist.
func (m *Manifest) validateContents() (map[string]bool, error) {
	names, files := map[string]bool{}, map[string]bool{}
	for i, c := range m.Contents {
		at := fmt.Sprintf("contents[%d] (%s)", i, c.Name)
		if !namePattern.MatchString(c.Name) || names[c.Name] {
			return nil, fmt.Errorf("%s: name is empty, malformed or used twice", at)
		}
		names[c.Name] = true
		if !slices.Contains([]ContentKind{KindFiles, KindImages, KindPackages}, c.Kind) {
			return nil, fmt.Errorf("%s: unknown kind %q", at, c.Kind)
		}
		if _, err := ParseDigest(c.Digest); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if c.Size < 0 || len(c.Files) == 0 {
			return nil, fmt.Errorf("%s: no files or a negative size", at)
		}
		for _, f := range c.Files {
			if err := f.validate(); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			key := c.Name + "\x00" + f.Path
			if files[key] {
				return nil, fmt.Errorf("%s: file %q is listed twice", at, f.Path)
			}
			files[key] = true
		}
	}
	return files, nil
}

func (f File) validate() error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	if !modePattern.MatchString(f.Mode) {
		return fmt.Errorf("file %q: mode %q is not four octal digits such as 0755", f.Path, f.Mode)
	}
	if f.Mode[3]&2 != 0 {
		return fmt.Errorf("file %q: mode %s is writable by everyone", f.Path, f.Mode)
	}
	if _, err := ParseDigest("sha256:" + f.SHA256); err != nil {
		return fmt.Errorf("file %q: %w", f.Path, err)
	}
	if f.Size < 0 {
		return fmt.Errorf("file %q: negative size", f.Path)
	}
	return nil
}

// checkPath refuses paths that would leave the directory into which an archive is unpacked.
func checkPath(p string) error {
	switch {
	case p == "" || p == "." || len(p) > 4096:
		return fmt.Errorf("path %q: empty or too long", p)
	case strings.ContainsAny(p, "\\\x00\n"):
		return fmt.Errorf("path %q: forbidden character", p)
	case path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return fmt.Errorf("path %q: not a clean relative path", p)
	}
	return nil
}
