package kube

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Kind says what has to happen after an error.
type Kind string

// The kinds of Error. An error without a kind is retried with growing pauses.
const (
	// NeedsHuman is not retried: a person has to change something, and that change wakes the controller.
	NeedsHuman Kind = "NeedsHuman"
	// Waits is tried again after a set time: the other side needs it.
	Waits Kind = "Waits"
)

// Error is an error that knows what has to happen next.
type Error struct {
	Kind Kind
	// Reason is the reason of the condition and of the event, in CamelCase.
	Reason string
	// After is the wait of kind Waits.
	After time.Duration
	Err   error
}

// Error gives the text of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Human marks an error that only a person can mend.
func Human(reason string, err error) error {
	return &Error{Kind: NeedsHuman, Reason: reason, Err: err}
}

// Wait marks an error that is worth another try after d.
func Wait(reason string, d time.Duration, err error) error {
	return &Error{Kind: Waits, Reason: reason, After: d, Err: err}
}

// Reason gives the reason of an error, or the fallback where it has none.
func Reason(err error, fallback string) string {
	var e *Error
	if errors.As(err, &e) && e.Reason != "" {
		return e.Reason
	}
	return fallback
}

// Finish writes the status if it changed and turns what came out of the phases into requeue, event and log level.
func Finish(ctx context.Context, kit Kit, obj client.Object, patch *Patch, result Result, err error) (ctrl.Result, error) {
	changed, patchErr := patch.Status(ctx, obj)
	if patchErr != nil && !apierrors.IsNotFound(patchErr) {
		err = errors.Join(err, patchErr)
	}
	return kit.outcome(ctx, obj, changed, result, err)
}

// outcome is the one place that turns the kind of an error into requeue, event and log level.
func (k Kit) outcome(ctx context.Context, obj client.Object, changed bool, result Result, err error) (ctrl.Result, error) {
	var kind *Error
	switch {
	case err == nil:
		return ctrl.Result{RequeueAfter: result.RequeueAfter}, nil
	case apierrors.IsConflict(err):
		// Somebody else wrote the object between our read and our write; the cache is about to show it.
		log.FromContext(ctx).V(1).Info("Trying again after a conflict", "error", err.Error())
		return ctrl.Result{RequeueAfter: 50*time.Millisecond + rand.N(50*time.Millisecond)}, nil
	case errors.As(err, &kind) && kind.Kind == NeedsHuman:
		if changed {
			log.FromContext(ctx).Info("Waiting for a person", "reason", kind.Reason, "error", err.Error())
			k.Event(obj, corev1.EventTypeWarning, kind.Reason, "Wait", err.Error())
		}
		return ctrl.Result{RequeueAfter: result.RequeueAfter}, nil
	case errors.As(err, &kind):
		log.FromContext(ctx).V(1).Info("Waiting", "reason", kind.Reason, "error", err.Error())
		return ctrl.Result{RequeueAfter: Sooner(kind.After, result.RequeueAfter)}, nil
	}
	return ctrl.Result{}, err
}
