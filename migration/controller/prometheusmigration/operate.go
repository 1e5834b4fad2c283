package prometheusmigration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/api/migration/v1alpha1"
	"github.com/slipway-dev/slipway/kube"
	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
)

// makeOperatedClaim makes the claim that the operator's StatefulSet would make: the volume is measured before data comes.
func (s *scope) makeOperatedClaim(ctx context.Context) error {
	x, err := s.operator(course.StageBridge)
	if err != nil {
		return err
	}
	claim, err := x.Claim()
	if err != nil {
		return kube.Human(v1alpha1.ReasonRefused, err)
	}
	return s.create(ctx, claim)
}

// patchOperated brings the Prometheus to a stage. The patch carries the stage, so that both are there or neither.
func (r *Reconciler) patchOperated(ctx context.Context, s *scope, stage course.Stage, except ...string) error {
	x, err := s.operator(stage)
	if err != nil {
		return err
	}
	spec, err := x.PatchWithout(except...)
	if err != nil {
		return err
	}
	if err := s.mergeOperated(ctx, spec, map[string]any{v1alpha1.NameLabel: s.migration.Name, stageAnnotation: string(stage)}); err != nil {
		return err
	}
	return s.prune(ctx, stage)
}

// reconfigureOperated brings it to another stage without a restart, and gives the operator some seconds to write the configuration: then the kubelet
// can be told to bring it.
func (r *Reconciler) reconfigureOperated(ctx context.Context, s *scope, stage course.Stage) error {
	before, err := s.generated(ctx)
	if err != nil {
		return err
	}
	if err := r.patchOperated(ctx, s, stage, target.Shapes()...); err != nil {
		return err
	}
	if s.world.Target.Stage == stage {
		return nil
	}
	err = wait.PollUntilContextTimeout(ctx, generatedEvery, generatedWithin, true, func(ctx context.Context) (bool, error) {
		now, err := s.generated(ctx)
		return now != before, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return nil // the operator is slow, or away; the pods of the move wait for what the server shows
	}
	return err
}

// How long the operator is waited for. It writes within a second or so.
const (
	generatedEvery  = 250 * time.Millisecond
	generatedWithin = 5 * time.Second
)

// generated is the version of the configuration that the operator has written, empty where there is none.
func (s *scope) generated(ctx context.Context) (string, error) {
	var secret metav1.PartialObjectMetadata
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if _, err := get(ctx, s, s.setName(), &secret); err != nil { // it is called as the StatefulSet
		return "", err
	}
	return secret.ResourceVersion, nil
}

// mergeOperated names only what is the move's: edits of other fields stay. A field that the operator's kind does not have would be dropped
// without a word, so that is an error.
func (s *scope) mergeOperated(ctx context.Context, spec, annotations map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}, "spec": spec})
	if err != nil {
		return fmt.Errorf("writing the patch: %w", err)
	}
	live := s.operated.live.DeepCopy()
	err = s.cluster.Patch(ctx, live, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager), client.FieldValidation(metav1.FieldValidationStrict))
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return kube.Human(v1alpha1.ReasonRefused, fmt.Errorf("patching Prometheus %s: its kind, which Prometheus Operator brought, does not take it: %w", live.GetName(), err))
	}
	if err != nil {
		return fmt.Errorf("patching Prometheus %s: %w", live.GetName(), err)
	}
	return nil
}

// prune deletes rules and files that the source has no more.
func (s *scope) prune(ctx context.Context, stage course.Stage) error {
	wanted, err := s.objects(stage)
	if err != nil {
		return err
	}
	there, err := s.operatedConfig(ctx)
	if err != nil {
		return err
	}
	for i := range there {
		o := &there[i]
		if slices.ContainsFunc(wanted, func(w client.Object) bool { return kindOf(w) == kindOf(o) && w.GetName() == o.Name }) {
			continue
		}
		if kindOf(o) == "ConfigMap/" {
			continue // the pod may mount it still
		}
		if err := s.remove(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *scope) remove(ctx context.Context, o client.Object) error {
	if err := s.cluster.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %s%s: %w", kindOf(o), o.GetName(), err)
	}
	return nil
}

// letGo gives the Prometheus back what the move has set, and then takes away what it refers to: the other way round the operator would
// find nothing there. Its server, its claim and the users' Service stay.
func (r *Reconciler) letGo(ctx context.Context, s *scope) error {
	o := s.operated
	if o == nil {
		return nil
	}
	if o.ours(s.migration) {
		if o.problem != nil {
			return kube.Human(v1alpha1.ReasonRefused, o.problem)
		}
		spec, err := target.TakeBack(o.cr, o.original)
		if err != nil {
			return err
		}
		if err := s.mergeOperated(ctx, spec, map[string]any{v1alpha1.NameLabel: nil, stageAnnotation: nil}); err != nil {
			return err
		}
		r.Kit.Point("migration.takenBack")
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.migration.Namespace, Name: target.PodServiceName(s.migration.Spec.Target)}}
	service.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
	if err := s.remove(ctx, service); err != nil {
		return err
	}
	there, err := s.operatedConfig(ctx)
	if err != nil {
		return err
	}
	for i := range there {
		if err := s.remove(ctx, &there[i]); err != nil {
			return err
		}
	}
	return nil
}
