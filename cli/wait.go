package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// errCancelled says that the operation that was waited for was cancelled.
var errCancelled = errors.New("the operation was cancelled")

// waiting is how a command waits for its end, with progress on the way.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(f *pflag.FlagSet) {
	f.BoolVar(&w.wait, "wait", false, "wait for the end and say how it goes")
	f.DurationVar(&w.timeout, "timeout", time.Hour, "how long to wait")
}

// lookAgain is how often a command that waits looks; what it waits for takes seconds to minutes.
const lookAgain = 250 * time.Millisecond

// until asks step again and again until it says that it is done, and prints each new line of progress once.
func (w *waiting) until(cmd *cobra.Command, step func(ctx context.Context) (progress string, done bool, err error)) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), w.timeout)
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	started, last := time.Now(), ""
	for {
		progress, done, err := step(ctx)
		if away(err) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			if ctx.Err() != nil {
				return w.over(cmd.Context(), last)
			}
			progress, err = "the management cluster does not answer; waiting for it", nil
		}
		if strings.Trim(progress, ": ") != "" && progress != last {
			last = progress
			fmt.Fprintf(cmd.ErrOrStderr(), "%6s  %s\n", time.Since(started).Round(time.Second), progress)
		}
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return w.over(cmd.Context(), last)
		case <-tick.C:
		}
	}
}

// over is the end of the wait, not of the work.
func (w *waiting) over(command context.Context, last string) error {
	if command.Err() != nil {
		return errors.New("stopped waiting; the work goes on: `slipway tree` shows it")
	}
	return fmt.Errorf("it is not done after %s; the work goes on: `slipway tree` shows it. Last seen: %s", w.timeout, worded(last, "nothing yet"))
}

// away says that the management cluster does not answer now, as while `slipway up` starts again.
func away(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err)
}

// operation waits for the end of an operation; nothing when --wait was not given.
func (w *waiting) operation(cmd *cobra.Command, cl client.Reader, o *v1alpha1.Operation) error {
	if !w.wait {
		return nil
	}
	return w.until(cmd, func(ctx context.Context) (string, bool, error) {
		now, err := getOperation(ctx, cl, o.Namespace, o.Name)
		if err != nil {
			return "", false, err
		}
		message := conditionMessage(now.Status.Conditions, v1alpha1.ConditionComplete)
		switch now.Status.Phase {
		case v1alpha1.OperationSucceeded:
			return message, true, nil
		case v1alpha1.OperationFailed:
			return "", true, fmt.Errorf("operation %s failed: %s", o.Name, message)
		case v1alpha1.OperationCancelled:
			return "", true, fmt.Errorf("operation %s: %w", o.Name, errCancelled)
		}
		return message, false, nil
	})
}
