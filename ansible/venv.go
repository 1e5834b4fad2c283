package ansible

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// pythons are looked for in this order; ansible-core 2.19 needs 3.11 to 3.13.
var pythons = []string{"python3.13", "python3.12", "python3.11", "python3"}

const venvComplete = ".complete"

// EnsureVenv returns a virtual environment with exactly the pinned requirements (ansible-core, ansible-runner) below dir,
// which is made when it is missing: <dir>/<key>, the key telling Python and requirements. Its programs are in bin/. It
// is safe to call from several processes; one that was cut off is made anew. progress gets lines for people; it may be nil.
func EnsureVenv(ctx context.Context, dir string, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	requirements, err := embedded.ReadFile("requirements.txt")
	if err != nil {
		return "", fmt.Errorf("reading the embedded requirements: %w", err)
	}
	python, version, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(version+"\n"), requirements...))
	venv := filepath.Join(dir, hex.EncodeToString(sum[:6]))
	if complete(venv) {
		return venv, nil
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(venv) {
		return venv, nil
	}
	if err := os.RemoveAll(venv); err != nil {
		return "", fmt.Errorf("removing the unfinished %s: %w", venv, err)
	}
	progress("Making a virtual environment for Ansible with " + version)
	if err := makeVenv(ctx, python, venv, requirements, progress); err != nil {
		return "", fmt.Errorf("making the virtual environment %s: %w", venv, err)
	}
	return venv, nil
}

// makeVenv works in place, because scripts in an environment name its path; a mark written last says that it is whole.
func makeVenv(ctx context.Context, python, venv string, requirements []byte, progress func(string)) error {
	if err := run(ctx, progress, python, "-m", "venv", venv); err != nil {
		return fmt.Errorf("%w (on Debian and Ubuntu: apt-get install python3-venv)", err)
	}
	list := filepath.Join(venv, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return err
	}
	err := run(ctx, progress, filepath.Join(venv, "bin", "python"), "-m", "pip", "install", "--no-input",
		"--disable-pip-version-check", "--progress-bar=off", "--require-hashes", "--only-binary=:all:", "-r", list)
	if err != nil {
		return fmt.Errorf("installing the pinned requirements (pip needs an index or a directory of wheels, see PIP_INDEX_URL and PIP_FIND_LINKS): %w", err)
	}
	return os.WriteFile(filepath.Join(venv, venvComplete), nil, 0o644)
}

func complete(venv string) bool {
	_, err := os.Stat(filepath.Join(venv, venvComplete))
	return err == nil
}

// findPython picks the interpreter and tells its version, such as "Python 3.11.2".
func findPython(ctx context.Context) (path, version string, err error) {
	for _, name := range pythons {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		script := "import sys, platform; print('Python', platform.python_version()); sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
		out, err := exec.CommandContext(ctx, path, "-c", script).Output()
		if err == nil {
			return path, strings.TrimSpace(string(out)), nil
		}
	}
	return "", "", fmt.Errorf("looking for Python 3.11, 3.12 or 3.13: none is in PATH (on Debian and Ubuntu: apt-get install python3-venv)")
}

// run reports the output line by line and puts the last lines into the error.
func run(ctx context.Context, progress func(string), name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=", "VIRTUAL_ENV=")
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", filepath.Base(name), err)
	}
	var tail []string
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, bytes.MinRead*2048)
	for lines.Scan() {
		progress(lines.Text())
		tail = append(tail, lines.Text())
		tail = tail[max(0, len(tail)-5):]
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("running %s %s: %w: %s", filepath.Base(name), strings.Join(args[:min(2, len(args))], " "), err, strings.Join(tail, " / "))
	}
	return nil
}

// lock keeps other processes from making an environment in the same directory until unlock is called.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
