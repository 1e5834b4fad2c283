package proof

import (
	"context"
	"errors"

	"github.com/slipway-dev/slipway/migration/server"
)

var (
	// ErrDiffers is the error of a proof that found a difference.
	ErrDiffers = errors.New("the servers differ")
	// ErrUnknown is the error of a proof that could not see everything.
	ErrUnknown = errors.New("not everything could be seen")
)

// kindOf is the word for an error in a report.
func kindOf(err error) Kind {
	var warning *server.WarningError
	var status *server.StatusError
	switch {
	case errors.As(err, &warning):
		return Warned
	case errors.Is(err, server.ErrTooLarge):
		return TooLarge
	case errors.Is(err, server.ErrBroken):
		return Broken
	case errors.As(err, &status):
		return Refused
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	}
	return Unreachable
}
