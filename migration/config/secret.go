package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Place is a value in the file.
type Place struct {
	// Line counts from 1.
	Line int    `json:"line"`
	Path string `json:"path"`
}

// mask is what Prometheus writes for a secret when it tells its configuration (prometheus/common/config, secretToken); the
// password of a URL becomes xxxxx (net/url, URL.Redacted).
const (
	mask    = "<secret>"
	maskURL = "xxxxx"
)

// Masked lists where the file has a mask for a secret: then it was told by a server and is not the server's file.
func (f *File) Masked() []Place {
	var all []Place
	f.scalars(func(n *yaml.Node, at Path) {
		u := userinfo(n.Value)
		password, _ := u.Password()
		if n.Value == mask || password == maskURL {
			all = append(all, Place{n.Line, at.String()})
		}
	})
	return all
}

// Secrets lists the secrets that stand in the file itself: passwords, tokens, keys, and those in URLs and headers.
func (f *File) Secrets() []Place {
	var all []Place
	f.scalars(func(n *yaml.Node, at Path) {
		if isSecret(n, at) {
			all = append(all, Place{n.Line, at.String()})
		}
	})
	return all
}

// isSecret goes by the name of the key: the fields of type Secret in Prometheus' configuration and its discoveries all have
// one of these words in their names, and so do most parameters and headers that hold one.
func isSecret(n *yaml.Node, at Path) bool {
	if n.Value == "" || n.Tag == "!!null" || n.Tag == "!!bool" {
		return false
	}
	if _, has := userinfo(n.Value).Password(); has {
		return true
	}
	header := slices.ContainsFunc(at, func(step any) bool {
		return slices.Contains([]any{"headers", "http_headers", "proxy_connect_header"}, step)
	})
	if header {
		return last(at) != "files"
	}
	return isSecretName(strings.ToLower(last(at)), n.Value)
}

func isSecretName(name, value string) bool {
	if strings.HasSuffix(name, "_file") || strings.HasSuffix(name, "_url") || strings.HasSuffix(name, "_ref") {
		return false
	}
	for _, word := range []string{"password", "secret", "token", "credentials", "private_key", "access_key", "api_key", "apikey"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "key" && strings.Contains(value, "PRIVATE KEY")
}

// last is the last name in a path.
func last(at Path) string {
	for _, step := range slices.Backward(at) {
		if name, ok := step.(string); ok {
			return name
		}
	}
	return ""
}

func userinfo(text string) *url.Userinfo {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return nil
	}
	if u, err := url.Parse(text); err == nil {
		return u.User
	}
	// What no program can read as a URL, a person still may.
	_, rest, _ := strings.Cut(text, "://")
	user, _, _ := strings.Cut(rest, "@")
	name, password, has := strings.Cut(user, ":")
	if !has {
		return nil
	}
	return url.UserPassword(name, password)
}

// scalars visits every value that stands in the file, each once.
func (f *File) scalars(visit func(*yaml.Node, Path)) {
	var below func(n *yaml.Node, at Path)
	below = func(n *yaml.Node, at Path) {
		switch n.Kind {
		case yaml.ScalarNode:
			visit(n, at)
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				below(n.Content[i+1], append(slices.Clone(at), n.Content[i].Value))
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				below(c, append(slices.Clone(at), i))
			}
		}
	}
	below(f.root, nil)
}

// shown is the file with its secrets masked.
func (f *File) shown() string {
	type cut struct{ from, to int }
	var cuts []cut
	f.scalars(func(n *yaml.Node, at Path) {
		if !isSecret(n, at) {
			return
		}
		from, to := f.extent(n)
		if to < 0 { // it has several lines
			to = f.blockEnd(at, f.keyIndent(at))
			to -= len(f.data[from:to]) - len(strings.TrimRight(string(f.data[from:to]), "\r\n"))
		}
		cuts = append(cuts, cut{from, max(from, to)})
	})
	var b strings.Builder
	at := 0
	for _, c := range cuts {
		if c.from >= at {
			b.Write(f.data[at:c.from])
			b.WriteString(mask)
			at = c.to
		}
	}
	b.Write(f.data[at:])
	return commented.ReplaceAllString(b.String(), "${1}"+mask)
}

// keyIndent is the indentation of the key at the end of a path, 0 where it ends in a list.
func (f *File) keyIndent(at Path) int {
	name, _ := at[len(at)-1].(string)
	if key := keyOf(f.Node(at[:len(at)-1]...), name); key != nil {
		return key.Column - 1
	}
	return 0
}

// commented is a secret in a comment: a line that somebody switched off.
var commented = regexp.MustCompile(`(?im)^([ \t]*#.*(?:password|secret|token|credentials)[a-z_]*[ \t]*[:=][ \t]*)[^\r\n]+`)
