package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

var (
	// ErrTooLarge is an answer, or a part of one, above a limit of memory.
	ErrTooLarge = errors.New("the answer is larger than the limit")
	// ErrBroken is an answer that is not what the API promises: cut off, a wrong sum, not decodable.
	ErrBroken = errors.New("the answer is broken")
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
	return fmt.Sprintf("the answer has a warning and may be partial: %s", Clip(strings.Join(e.Warnings, "; "), 300))
}

// StatusError is an answer that says no.
type StatusError struct {
	Code int
	Text string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Text) }

// IsAbsent says that a server does not know what it was asked for, being too old.
func IsAbsent(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}

// Clip makes text of a server fit for a page and a terminal: one line, no control characters, at most n runes and an ellipsis.
func Clip(text string, n int) string {
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
