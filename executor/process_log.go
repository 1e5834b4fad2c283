package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// RunLogs reads what process runs printed, from any process that may read their files. It runs and watches nothing.
type RunLogs struct {
	// Dir is that of ProcessOptions.
	Dir string
}

// Logs opens the text of a run; with follow the reader ends when the run has a result or is removed.
func (l RunLogs) Logs(ctx context.Context, name string, follow bool) (io.ReadCloser, error) {
	dir := filepath.Join(l.Dir, "runs", filepath.Base(name))
	file, err := os.Open(filepath.Join(dir, fileLog))
	if errors.Is(err, os.ErrNotExist) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("opening the log of run %s: %w", name, err)
	}
	if !follow {
		return file, nil
	}
	return &follower{file: file, ctx: ctx, finished: func() bool {
		_, result := os.Stat(filepath.Join(dir, fileResult))
		_, run := os.Stat(dir)
		return result == nil || errors.Is(run, os.ErrNotExist)
	}}, nil
}
