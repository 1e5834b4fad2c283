package remote

import (
	"errors"
	"regexp"
	"strings"
)

// The form of a bootstrap token: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
var tokenForm = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// splitToken gives the id and the secret of a token; its error never shows the token.
func splitToken(token string) (id, secret string, err error) {
	if !tokenForm.MatchString(token) {
		return "", "", errors.New("the bootstrap token is not of the form id.secret with 6 and 16 of [a-z0-9]")
	}
	id, secret, _ = strings.Cut(token, ".")
	return id, secret, nil
}
