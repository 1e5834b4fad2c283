package prometheusmigration

import (
	"context"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/slipway-dev/slipway/migration/course"
	"github.com/slipway-dev/slipway/migration/target"
)

// stamp writes the stage into everything that the server's configuration is made of, and one digest of it all: a change of a rule file is one
// of the configuration. The configuration itself comes last: what it has of the digest says that all was written.
func (s *scope) stamp(objects []client.Object, stage course.Stage) ([]client.Object, error) {
	var config []client.Object
	for _, o := range objects {
		if isConfig(o) {
			config = append(config, o)
		}
	}
	digest, err := digestOf(config)
	if err != nil {
		return nil, err
	}
	for _, o := range config {
		o.SetAnnotations(map[string]string{digestAnnotation: digest})
		if s.operated == nil { // whose patch carries it
			o.SetAnnotations(map[string]string{stageAnnotation: string(stage), digestAnnotation: digest})
		}
	}
	slices.SortStableFunc(objects, func(a, b client.Object) int { return s.isMain(a) - s.isMain(b) })
	return objects, nil
}

// isMain is 1 for the configuration itself.
func (s *scope) isMain(o client.Object) int {
	if isConfig(o) && o.GetName() == s.configName() {
		return 1
	}
	return 0
}

func (s *scope) configName() string {
	if set := s.migration.Spec.Target.StatefulSet; set != nil && set.ConfigMapName != "" {
		return set.ConfigMapName
	}
	return s.setName()
}

// checkMounts says which files the running server would not see. Its pod is not changed any more: that would be a restart.
func (s *scope) checkMounts(ctx context.Context, wanted []client.Object) error {
	_, patterns, err := target.Patterns(s.source.planned)
	if err != nil {
		return err
	}
	for _, o := range wanted {
		planned, ok := o.(*appsv1.StatefulSet)
		if !ok {
			continue
		}
		var running appsv1.StatefulSet
		if there, err := get(ctx, s, planned.Name, &running); !there || err != nil {
			return err
		}
		if lacks := target.Unmounted(planned, &running, patterns); len(lacks) > 0 {
			s.world.Invalid = append(s.world.Invalid, course.Finding{Where: "spec.source.config", Says: "the new server's pod has no mount for " + strings.Join(lacks, ", ") + ", and is not restarted for it",
				Fix: "put these files into a folder that is mounted, such as that of other rules, or roll back and begin again"})
		}
	}
	return nil
}
