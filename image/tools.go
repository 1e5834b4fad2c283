package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ToolsOptions say what the tools image of slipway is made of.
type ToolsOptions struct {
	// Reference is the image's name with its tag.
	Reference string
	// Version is that of the programs.
	Version string
	// Slipway and Agent are the programs.
	Slipway, Agent string
	// Authorities is a file with the certificates of authorities, as PEM; empty: none, and no server with TLS is believed by its name alone.
	Authorities string
}

// NewTools makes the image whose pods do the work of a migration: /slipway, which is the entry point, and /slipway-agent.
func NewTools(o ToolsOptions) (*Image, error) {
	architecture, err := Program(o.Slipway)
	if err != nil {
		return nil, err
	}
	other, err := Program(o.Agent)
	if err != nil {
		return nil, err
	}
	if architecture != other {
		return nil, fmt.Errorf("%s is a program for %s, and %s for %s: give programs of one architecture", o.Slipway, architecture, o.Agent, other)
	}
	files := []File{{Path: "slipway", Source: o.Slipway, Mode: 0o755}, {Path: "slipway-agent", Source: o.Agent, Mode: 0o755}}
	if o.Authorities != "" {
		files = append(files, File{Path: authorities, Source: o.Authorities, Mode: 0o644})
	}
	return New(Options{
		Reference: o.Reference, Files: files, Entrypoint: []string{"/slipway"}, User: "65532:65532", Architecture: architecture,
		CreatedBy: "slipway image build", Compress: true,
		Labels: map[string]string{
			"org.opencontainers.image.title": "slipway", "org.opencontainers.image.version": o.Version, "org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.description": "slipway and slipway-agent, for the pods of a migration",
		},
	})
}

// authorities is where Go programs look first (crypto/x509, root_linux.go).
const authorities = "etc/ssl/certs/ca-certificates.crt"

// Authorities is the file with the certificates that this machine believes; empty if there is none where distributions have it.
func Authorities() (string, error) {
	for _, file := range []string{"/" + authorities, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"} {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("looking for certificates of authorities: %w", err)
		}
	}
	return "", nil
}

// AgentBeside is where slipway-agent is expected: beside the program that runs.
func AgentBeside(program string) string { return filepath.Join(filepath.Dir(program), "slipway-agent") }
