package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

type seedFile struct {
	path string
	mode os.FileMode
	text string
}

// seedFiles are the files that make a machine different from its image. Pure.
func seedFiles(index int, bastion bool, m Machine, machineID, authorizedKey string) []seedFile {
	login := fmt.Sprintf("Port %d\n", m.Port)
	if bastion && !m.Bastion {
		login += "# Only the bastion gets in.\nAllowUsers *@" + hostAddress(index, bastionOctet) + "\n"
	}
	hosts := "127.0.0.1 localhost\n::1 localhost\n" + m.Address + " " + m.Hostname + "\n"
	// Nothing answers there; programs that insist on a name server find a well-formed file.
	resolver := "nameserver " + gatewayAddress(index) + "\n"
	network := fmt.Sprintf("MAC=%s\nADDRESS=%s/24\nGATEWAY=%s\n", m.MAC, m.Address, gatewayAddress(index))
	return []seedFile{
		{"etc/hostname", 0o644, m.Hostname + "\n"},
		{"etc/hosts", 0o644, hosts},
		{"etc/resolv.conf", 0o644, resolver},
		{"etc/machine-id", 0o444, machineID + "\n"},
		{"etc/slipway-lab/network", 0o644, network},
		{"etc/ssh/sshd_config.d/machine.conf", 0o644, login},
		{"root/.ssh/authorized_keys", 0o600, authorizedKey},
		{"home/ops/.ssh/authorized_keys", 0o600, authorizedKey},
	}
}

// writeSeed writes a machine's own files below dir and notes its host key.
func (l *Lab) writeSeed(ctx context.Context, m *Machine, dir string) error {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("making a machine-id: %w", err)
	}
	authorized, err := os.ReadFile(l.keyPath() + ".pub")
	if err != nil {
		return fmt.Errorf("reading the lab's public key: %w", err)
	}
	for _, file := range seedFiles(l.state.Index, l.state.Spec.Bastion, *m, hex.EncodeToString(id), string(authorized)) {
		path := filepath.Join(dir, file.path)
		parent := os.FileMode(0o755)
		if strings.HasSuffix(filepath.Dir(path), ".ssh") {
			parent = 0o700
		}
		if err := os.MkdirAll(filepath.Dir(path), parent); err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(path, []byte(file.text), file.mode), os.Chmod(path, file.mode)); err != nil {
			return err
		}
	}
	m.HostKey, err = l.makeKey(ctx, m.Name, filepath.Join(dir, "etc/ssh/ssh_host_ed25519_key"), m.Hostname)
	return err
}

// makeKey makes an ed25519 key pair without passphrase and returns the public half as in known_hosts.
func (l *Lab) makeKey(ctx context.Context, member, path, comment string) (string, error) {
	if _, err := l.runIn(ctx, member, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path); err != nil {
		return "", fmt.Errorf("making key: %w", err)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		return "", fmt.Errorf("reading key: %w", err)
	}
	fields := strings.Fields(string(public))
	if len(fields) < 2 {
		return "", fmt.Errorf("reading key %s: no key in it", path)
	}
	return fields[0] + " " + fields[1], nil
}
