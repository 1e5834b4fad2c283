package remote

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The form of a bootstrap token: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
var tokenForm = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// joinGroup is the group that kubeadm lets join as nodes.
const joinGroup = "system:bootstrappers:kubeadm:default-node-token"

// splitToken gives the id and the secret of a token; its error never shows the token.
func splitToken(token string) (id, secret string, err error) {
	if !tokenForm.MatchString(token) {
		return "", "", errors.New("the bootstrap token is not of the form id.secret with 6 and 16 of [a-z0-9]")
	}
	id, secret, _ = strings.Cut(token, ".")
	return id, secret, nil
}

// EnsureBootstrapToken makes or prolongs the token's Secret. It lives half as long again as asked for, so that asking
// often does not write often.
func (c *connection) EnsureBootstrapToken(ctx context.Context, token string, ttlSeconds int) error {
	id, secret, err := splitToken(token)
	if err != nil {
		return err
	}
	ctx, cancel := c.begin(ctx)
	defer cancel()
	doing := "making bootstrap token " + id
	ttl := time.Duration(ttlSeconds) * time.Second
	wanted := tokenSecret(id, secret, time.Now().Add(ttl+ttl/2))
	secrets := c.client.CoreV1().Secrets(metav1.NamespaceSystem)
	found, err := secrets.Get(ctx, wanted.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = secrets.Create(ctx, wanted, metav1.CreateOptions{FieldManager: fieldManager})
		return c.explain(doing, err)
	case err != nil:
		return c.explain(doing, err)
	case found.Type != corev1.SecretTypeBootstrapToken:
		return fmt.Errorf("%s in cluster %s: Secret kube-system/%s is of another type, %q", doing, c.key, wanted.Name, found.Type)
	case goodToken(found, secret, time.Now().Add(ttl)):
		return nil
	}
	wanted.ResourceVersion = found.ResourceVersion
	_, err = secrets.Update(ctx, wanted, metav1.UpdateOptions{FieldManager: fieldManager})
	return c.explain(doing, err)
}

func tokenSecret(id, secret string, end time.Time) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id, Namespace: metav1.NamespaceSystem},
		Type:       corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			"description":                    []byte("Joins machines of Slipway"),
			"token-id":                       []byte(id),
			"token-secret":                   []byte(secret),
			"expiration":                     []byte(end.UTC().Format(time.RFC3339)),
			"usage-bootstrap-authentication": []byte("true"),
			"usage-bootstrap-signing":        []byte("true"),
			"auth-extra-groups":              []byte(joinGroup),
		},
	}
}

// goodToken says that a Secret lets machines join until the given time.
func goodToken(s *corev1.Secret, secret string, until time.Time) bool {
	end, err := time.Parse(time.RFC3339, string(s.Data["expiration"]))
	return err == nil && !end.Before(until) &&
		subtle.ConstantTimeCompare(s.Data["token-secret"], []byte(secret)) == 1 &&
		string(s.Data["usage-bootstrap-authentication"]) == "true" &&
		string(s.Data["usage-bootstrap-signing"]) == "true" &&
		string(s.Data["auth-extra-groups"]) == joinGroup
}
