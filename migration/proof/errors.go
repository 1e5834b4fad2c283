package proof

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrTooLarge is an answer, frame or series above the limit of memory.
	ErrTooLarge = errors.New("the answer is larger than the limit")
	// ErrBroken is an answer that is not what the API promises: cut off, a wrong sum, not decodable.
	ErrBroken = errors.New("the answer is broken")
	// ErrDiffers is the error of a proof that found a difference.
	ErrDiffers = errors.New("the servers differ")
	// ErrUnknown is the error of a proof that could not see everything.
	ErrUnknown = errors.New("not everything could be seen")
)

// AskError is a request that got no whole answer.
type AskError struct {
	Server, Path string
	Err          error
}

func (e *AskError) Error() string {
	path, _, _ := strings.Cut(e.Path, "?")
	return fmt.Sprintf("asking the %s for %s: %v", e.Server, path, e.Err)
}

func (e *AskError) Unwrap() error { return e.Err }

// WarningError is an answer with warnings: Prometheus says with them that it may be partial.
type WarningError struct{ Warnings []string }

func (e *WarningError) Error() string {
	return fmt.Sprintf("the answer has a warning and may be partial: %s", clip(strings.Join(e.Warnings, "; "), 300))
}

// StatusError is an answer that says no.
type StatusError struct {
	Code int
	Text string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Text) }

// kindOf is the word for an error in a report.
func kindOf(err error) Kind {
	var warning *WarningError
	var status *StatusError
	switch {
	case errors.As(err, &warning):
		return Warned
	case errors.Is(err, ErrTooLarge):
		return TooLarge
	case errors.Is(err, ErrBroken):
		return Broken
	case errors.As(err, &status):
		return Refused
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	}
	return Unreachable
}

// clip makes text of a server fit for a page and a terminal.
func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return text
}
