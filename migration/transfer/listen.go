package transfer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Listen opens host:port with the certificates of a folder, or unix:PATH, which only its owner may enter and which SSH can
// forward: there the user's key says who it is.
func Listen(address, credentials string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenSocket(path)
	}
	if credentials == "" {
		return nil, errors.New("listening: there are no certificates: make them with slipway prometheus agent init")
	}
	config, err := SourceTLS(credentials)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return tls.NewListener(gatherListener{l}, config), nil
}

// listenSocket makes the socket in a folder of its own and renames it: it is never open to others, not for a moment.
func listenSocket(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("listening: %s is there and no socket", path)
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".slipway") // 0700
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	defer os.RemoveAll(private)
	temp := private + "/s"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(temp, 0o600)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listening: %w", err)
	}
	return l, nil
}
