package search

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// gatewayModule names the S3 server and all that it is built from, with digests.
//
//go:embed versitygw
var gatewayModule embed.FS

const (
	gatewayPackage = "github.com/versity/versitygw/cmd/versitygw"
	gatewayUser    = "slipway-lab"
	// Bucket holds the snapshots of a cluster whose repository is S3.
	Bucket = "snapshots"
)

// Gateway is an S3 server on loopback that keeps its buckets as folders. Its keys are in the keystores of the nodes alone.
type Gateway struct {
	// URL is as http://127.0.0.1:40009.
	URL string `json:"url"`
	// Folder is the bucket's.
	Folder string `json:"folder"`
}

// buildGateway gives the path of the S3 server's program in the cache; it is compiled once for what the module and the Go version say.
func buildGateway(ctx context.Context, o Options) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "1 %s %s\n", runtime.Version(), runtime.GOARCH)
	files := map[string][]byte{}
	for _, name := range []string{"module.mod", "module.sum"} {
		data, err := gatewayModule.ReadFile("versitygw/" + name)
		if err != nil {
			return "", fmt.Errorf("reading how the S3 server is built: %w", err)
		}
		sum.Write(data)
		files[name] = data
	}
	dir := filepath.Join(o.Cache, "search")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	program := filepath.Join(dir, "versitygw-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(program); err == nil { // it appears by one rename
		return program, nil
	}
	held, err := durable.Lock(ctx, program+".lock")
	if err != nil {
		return "", err
	}
	defer held.Close()
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	o.say("Building the S3 server %s (once, some minutes)", gatewayPackage)
	if err := compileGateway(ctx, files, program); err != nil {
		return "", fmt.Errorf("building %s: %w", gatewayPackage, err)
	}
	return program, nil
}

// compileGateway builds in a module of its own beside the program, and renames what came of it. The caller holds the lock.
func compileGateway(ctx context.Context, files map[string][]byte, program string) error {
	part := program + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	err := errors.Join(os.WriteFile(filepath.Join(part, "go.mod"), files["module.mod"], 0o644), os.WriteFile(filepath.Join(part, "go.sum"), files["module.sum"], 0o644))
	if err != nil {
		return err
	}
	built := filepath.Join(part, "versitygw")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-o", built, gatewayPackage)
	cmd.Dir = part
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=")
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running go build: %w: %s", err, tail(string(out), 1500))
	}
	return os.Rename(built, program)
}

// startGateway starts the S3 server of a cluster in dir and waits until it listens. The secret is told to the process by its environment, which other
// users cannot read.
func startGateway(ctx context.Context, o Options, program, dir, secret string) (*Gateway, error) {
	home := filepath.Join(dir, "s3")
	g := &Gateway{Folder: filepath.Join(home, "buckets", Bucket)}
	if err := os.MkdirAll(g.Folder, 0o755); err != nil {
		return nil, err
	}
	copied := filepath.Join(home, "versitygw") // the user of the servers may not enter the cache
	data, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(copied, data, 0o755)
	}
	if err = errors.Join(err, own(home)); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("finding a free port: %w", err)
	}
	address := l.Addr().String()
	g.URL = "http://" + address
	if err := l.Close(); err != nil {
		return nil, err
	}
	env := []string{"PATH=/usr/bin:/bin", "HOME=" + home, "ROOT_ACCESS_KEY_ID=" + gatewayUser, "ROOT_SECRET_ACCESS_KEY=" + secret, dirVariable + "=" + home}
	if err := launch(copied, env, home, o.WithCreator, "--quiet", "--region", "us-east-1", "--port", address, "posix", filepath.Join(home, "buckets")); err != nil {
		return nil, err
	}
	return g, listens(ctx, dir, home, address)
}

// listens waits until a port answers.
func listens(ctx context.Context, dir, home, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		running, lookErr := processes(dir)
		if lookErr != nil {
			return lookErr
		}
		if len(running[home]) == 0 {
			log, _ := os.ReadFile(filepath.Join(home, "out.log")) // what cannot be read is not shown
			return fmt.Errorf("the S3 server has ended: %s", tail(string(log), 1500))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the S3 server at %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func newSecret() string { return rand.Text() }
