package ssh

import (
	"errors"
	"fmt"
)

// Reason classifies what went wrong.
type Reason string

// The reasons of an Error.
const (
	// Unreachable: no connection, or none any more.
	Unreachable Reason = "Unreachable"
	// HostKeyChanged: the host shows another key than the pinned one; nothing was sent to it.
	HostKeyChanged Reason = "HostKeyChanged"
	// AuthRefused: the host does not accept the key for the user.
	AuthRefused Reason = "AuthRefused"
	// KeyInvalid: our private key, or the pinned host key, cannot be used.
	KeyInvalid Reason = "KeyInvalid"
)

// ErrTooMuchOutput says that a command printed more than it may; it was ended.
var ErrTooMuchOutput = errors.New("the command printed more than it may")

// Error says why a host cannot be reached.
type Error struct {
	Reason Reason
	// Address is the host:port that it is about: the host, or its bastion.
	Address string
	// Bastion says that Address is the bastion's.
	Bastion bool
	// Pinned and Shown are host keys in authorized_keys form, for HostKeyChanged. Shown is empty when it was not seen.
	Pinned, Shown string
	Err           error
}

// Error gives the text.
func (e *Error) Error() string {
	role := "host"
	if e.Bastion {
		role = "bastion"
	}
	return fmt.Sprintf("reaching %s %s: %v", role, e.Address, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ForwardError says that a host opens no connections for a user.
type ForwardError struct {
	Address, User string
	Err           error
}

// Error gives the text.
func (e *ForwardError) Error() string {
	return fmt.Sprintf("the SSH server %s opens no connections for %s: allow it (AllowStreamLocalForwarding, AllowTcpForwarding, no \"restrict\" before the key): %v", e.Address, e.User, e.Err)
}

// Unwrap gives the cause.
func (e *ForwardError) Unwrap() error { return e.Err }
