package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Digest identifies the content of a run as sha256:<hex>, secrets included (they are hashed, not shown). An empty
// field and an absent one are the same.
func (r Run) Digest() (string, error) {
	b, err := json.Marshal(r.normal())
	if err != nil {
		return "", fmt.Errorf("encoding run %s: %w", r.Name, err)
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// normal is the run with empty fields as nil, so that a run read back from an API has the digest that it had before.
func (r Run) normal() Run {
	for _, b := range []*[]byte{&r.Inventory, &r.Vars, &r.SecretVars, &r.KnownHosts} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	if len(r.Keys) == 0 {
		r.Keys = nil
	}
	if len(r.Labels) == 0 {
		r.Labels = nil
	}
	return r
}
