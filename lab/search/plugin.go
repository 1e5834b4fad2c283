package search

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/durable"
)

// copyDependencies copies what a project stands on out of Maven's repositories.
const copyDependencies = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// s3Digests are those of the S3 plugin with all that it stands on, by version of OpenSearch. Maven Central has the plugin from 3.1 on.
func s3Digests() map[string]string {
	return map[string]string{"3.3.0": "f3aca8cda8883c39e1f580b976be335d29b21f253d6da55a70aa6f7de4d16600"}
}

// checkRepository refuses a repository that the server cannot have.
func checkRepository(r Repository, s Server) error {
	switch r {
	case NoRepository, SharedFolder:
		return nil
	case S3:
		if s.Product != OpenSearch || s3Digests()[s.Version] == "" {
			return fmt.Errorf("%s has no S3 plugin that Maven Central serves; opensearch 3.3 has one, and the repository fs is there on every server", s)
		}
		return nil
	}
	return fmt.Errorf("repository %q: want %s or %s", r, SharedFolder, S3)
}

// fetchPlugin gives the folder in the cache that holds the jars of the S3 plugin; Maven brings them when they are not there.
func fetchPlugin(ctx context.Context, o Options, s Server) (string, error) {
	want := s3Digests()[s.Version]
	dir := filepath.Join(o.Cache, "search", want+".s3")
	if got, err := digestAll(dir); err == nil && got == want {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	held, err := durable.Lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer held.Close()
	if got, err := digestAll(dir); err == nil && got == want {
		return dir, nil
	}
	o.say("Bringing the S3 plugin of %s with Maven (once)", s)
	if err := bringPlugin(ctx, s, dir, want); err != nil {
		return "", fmt.Errorf("bringing the S3 plugin of %s: %w", s, err)
	}
	return dir, nil
}

// bringPlugin has Maven copy the jars beside their place, and renames the folder when the digest of all is right. The caller holds the lock.
func bringPlugin(ctx context.Context, s Server, dir, want string) error {
	part := dir + ".part"
	jars := filepath.Join(part, "jars")
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(jars, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(part)
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("there is no Maven (mvn) on this machine; on Debian: apt-get install maven")
	}
	project := fmt.Sprintf(`<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>dev.slipway.lab</groupId><artifactId>s3</artifactId><version>1</version>
<dependencies><dependency><groupId>org.opensearch.plugin</groupId><artifactId>repository-s3</artifactId><version>%s</version></dependency></dependencies></project>
`, s.Version)
	if err := os.WriteFile(filepath.Join(part, "pom.xml"), []byte(project), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", copyDependencies, "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	cmd.Dir = part
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running mvn: %w: %s", err, tail(string(out), 600))
	}
	got, err := digestAll(jars)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the digest of its jars is %s, want %s", got, want)
	}
	return errors.Join(os.RemoveAll(dir), os.Rename(jars, dir))
}

// digestAll is one digest over the names and digests of all files of a folder.
func digestAll(dir string) (string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, e := range entries {
		sum, err := digest(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s  %s\n", sum, e.Name())
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// jarVersion is what follows the name in netty-buffer-4.1.125.Final.jar.
var jarVersion = regexp.MustCompile(`-[0-9][^/]*\.jar$`)

// layPlugin lays the S3 plugin into an unpacked server. A jar that the server has itself is left out: it refuses to load a class twice.
func layPlugin(jars, server string, s Server) error {
	to := filepath.Join(server, "plugins", "repository-s3")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	libraries, err := os.ReadDir(filepath.Join(server, "lib"))
	if err != nil {
		return err
	}
	var there []string
	for _, e := range libraries {
		there = append(there, jarVersion.ReplaceAllString(e.Name(), ""))
	}
	entries, err := os.ReadDir(jars)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(there, jarVersion.ReplaceAllString(e.Name(), "")) {
			continue
		}
		if err := copyOut(os.DirFS(jars), e.Name(), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	descriptor := fmt.Sprintf("name=repository-s3\ndescription=Snapshots in S3\nversion=%[1]s\nopensearch.version=%[1]s\njava.version=%[2]d\n"+
		"classname=org.opensearch.repositories.s3.S3RepositoryPlugin\n", s.Version, s.JavaMin)
	policy := `grant {
  permission java.lang.RuntimePermission "accessDeclaredMembers";
  permission java.lang.RuntimePermission "getClassLoader";
  permission java.lang.reflect.ReflectPermission "suppressAccessChecks";
  permission java.net.SocketPermission "*", "connect,resolve";
  permission java.util.PropertyPermission "*", "read,write";
};
`
	return errors.Join(os.WriteFile(filepath.Join(to, "plugin-descriptor.properties"), []byte(descriptor), 0o644),
		os.WriteFile(filepath.Join(to, "plugin-security.policy"), []byte(policy), 0o644))
}

// layKeys puts the keys of the S3 server into the keystore of each node. The program reads them from its standard input.
func layKeys(ctx context.Context, s Server, c *Cluster, dir, java, secret string) error {
	var made string
	for _, n := range c.Nodes {
		config := filepath.Join(dir, "nodes", n.Name, "config")
		file := filepath.Join(config, string(s.Product)+".keystore")
		if made == "" {
			cmd := exec.CommandContext(ctx, filepath.Join(dir, "server", "bin", string(s.Product)+"-keystore"),
				"add", "--force", "--stdin", "s3.client.default.access_key", "s3.client.default.secret_key")
			cmd.Env = environment(s, n, dir, java, minHeapMiB, true)
			cmd.Stdin = strings.NewReader(gatewayUser + "\n" + secret + "\n")
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("filling the keystore of %s: %w: %s", n.Name, err, strings.ReplaceAll(tail(said.String(), 600), secret, "…"))
			}
			made = file
		} else if err := copyKeys(made, file); err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(file, 0o600), own(config)); err != nil {
			return err
		}
	}
	return nil
}

func copyKeys(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return durable.Replace(to, data, 0o600)
}
