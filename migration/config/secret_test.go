package config

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSecretsAndMasks(t *testing.T) {
	cases := []struct {
		name, text      string
		secrets, masked string
	}{
		{"passwords, tokens and URLs are secrets", odd,
			"[{27 scrape_configs[1].basic_auth.password} {34 remote_write[0].url} {36 remote_write[0].authorization.credentials}]", "[]"},
		{"what a server told is masked", "a:\n  password: <secret>\n  url: http://u:xxxxx@host\n", "[{2 a.password} {3 a.url}]", "[{2 a.password} {3 a.url}]"},
		{"files and other words are none", "a: {password_file: /x, credentials_file: /y, key_file: /z, token_url: http://t, follow_tokens: true, url: http://u@h}\n", "[]", "[]"},
		{"headers are secrets", "a: {headers: {X-Scope: tenant}, http_headers: {X: {values: [a], files: [f]}}}\n", "[{1 a.headers.X-Scope} {1 a.http_headers.X.values[0]}]", "[]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := parse(t, c.text)
			if diff := cmp.Diff(c.secrets, fmt.Sprint(f.Secrets())); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.masked, fmt.Sprint(f.Masked())); diff != "" {
				t.Error(diff)
			}
		})
	}
}
