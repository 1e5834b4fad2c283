package plane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipway-dev/slipway/durable"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// writeFile replaces a file whole, readable by its owner only, and returns when it is on the disk.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return fmt.Errorf("making the directory of %s: %w", filepath.Base(path), err)
	}
	return durable.Replace(path, data, fileMode)
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
