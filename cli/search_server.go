package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-dev/slipway/search/client"
	"github.com/spf13/cobra"
)

// searchServer are the flags that say how a search cluster is reached, but for its addresses.
type searchServer struct {
	client.Options
	most bytesValue
}

func (s *searchServer) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	s.most = 256 << 20
	f.StringVar(&s.User, "user", "", "user for basic authentication")
	f.StringVar(&s.PasswordFile, "password-file", "", "file with the password")
	f.StringVar(&s.APIKeyFile, "api-key-file", "", "file with an API key, as id:key or as the server encoded it")
	f.StringVar(&s.CAFile, "ca-file", "", "file with the authorities of the certificate (default: those of this host)")
	f.DurationVar(&s.Timeout, "timeout", 30*time.Second, "longest that the cluster may take for one answer; it is waited ten seconds longer for")
	f.Var(&s.most, "max-answer", "largest answer that is read; 256MiB hold some 500,000 indices")
}

// open reads the files that the flags name. Flags that do not fit together are wrong usage.
func (s *searchServer) open(urls []string) (*client.Client, error) {
	if s.most < 1<<20 || s.Timeout <= 0 {
		return nil, &usageError{errors.New("--timeout must be more than 0, and --max-answer 1MiB or more")}
	}
	o := s.Options
	o.Endpoints, o.MaxBytes = urls, int64(s.most)
	switch {
	case s.APIKeyFile != "" && (s.User != "" || s.PasswordFile != ""):
		return nil, &usageError{errors.New("--api-key-file and --user are two ways to say who asks: give one of them")}
	case (s.User == "") != (s.PasswordFile == ""):
		return nil, &usageError{errors.New("--user and --password-file go together")}
	}
	return client.New(o)
}

// curl is how the same server is asked by hand: words behind curl, without secrets.
func (s *searchServer) curl() (words []string) {
	if s.CAFile != "" {
		words = append(words, "--cacert", s.CAFile)
	}
	if s.User != "" {
		words = append(words, "-u", s.User) // it asks for the password
	}
	if s.APIKeyFile != "" {
		words = append(words, "-H", "@header") // a file; a key on the command line is seen by everybody on the host
	}
	return words
}

// searchHelp says what a person can do about an error of the client; empty where the error says all.
func searchHelp(err error) string {
	var server *client.ServerError
	var name *net.DNSError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &server):
		return helpForAnswer(server)
	case errors.As(err, &name):
		return "No such host: is the name right, and does this host know it?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens there: is it the port for HTTP (9200, not 9300), and does the node listen on more than loopback?"
	case errors.As(err, &untrusted):
		return "The certificate is not trusted: give the file of its authority with --ca-file, and the name that it was made for as address."
	case errors.Is(err, http.ErrSchemeMismatch):
		return "The server speaks plain HTTP: begin the address with http://."
	case errors.Is(err, client.ErrTooLarge):
		return "If it is a search cluster of that size, allow more with --max-answer."
	case errors.Is(err, client.ErrBroken):
		return "What came is not what a search server says, or not all of it: does a proxy or a login page answer, or end the connection early?"
	case errors.Is(err, context.DeadlineExceeded):
		return "It took too long: give it more time with --timeout, or ask another node."
	case strings.Contains(err.Error(), "EOF"):
		return "The connection was closed without an answer: does the server want https://?"
	}
	return ""
}

func helpForAnswer(e *client.ServerError) string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "User, password or API key are wrong or missing: --user with --password-file, or --api-key-file."
	case e.Status == http.StatusForbidden:
		return "The user may not look: it needs the privilege monitor on the cluster, and monitor and view_index_metadata on its indices."
	case e.Status/100 == 3:
		return "Another address is meant, and it is not gone to by itself: a password would be sent there."
	case e.Type == "" && (strings.Contains(e.Reason, "HTTP request to an HTTPS") || strings.Contains(e.Reason, "HTTP request was sent to HTTPS")): // Go's servers, nginx
		return "The server wants TLS: begin the address with https://."
	case e.Type == "" && strings.HasPrefix(e.Reason, "<"):
		return "A web page answers, no search server: is the address right, with its port and path?"
	}
	return ""
}

// searchFailed is an error of the client with what to do about it. Where two calls met the same, one is told.
func searchFailed(err error) error {
	var both interface{ Unwrap() []error }
	var call *client.CallError
	if errors.As(err, &both) && errors.As(both.Unwrap()[len(both.Unwrap())-1], &call) {
		err = call
	}
	if help := searchHelp(err); help != "" {
		return fmt.Errorf("%w\n%s", err, help)
	}
	return err
}
