package target

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// planSize holds the size of the claim against the need, by the rule of migration/volume.
func (p *Plan) planSize() {
	need := p.o.Source.Need.Total()
	storage := p.o.Migration.Spec.Target.StatefulSet.Storage
	const where, more = "target.statefulSet.storage.size", "slipway prometheus blocks lists the blocks with their sizes; the head's is the size of wal and chunks_head"
	switch {
	case need == 0 && storage.Size == nil:
		p.found(RuleCapacity, Refused, where, "neither the size of the volume nor of the data is known", "give one of them; "+more)
	case need == 0:
		p.found(RuleCapacity, Look, where, storage.Size.String()+" was not held against the data, whose size is not known", more)
	case storage.Size != nil && storage.Size.Value() < need:
		p.found(RuleCapacity, Refused, where, fmt.Sprintf("%s is too small: %s are needed for all blocks, the largest of them written anew, the head, and a fifth to spare", storage.Size, gibi(need)),
			"ask for "+gibi(need)+", or shorten the retention on the source first")
	}
}

// Size is that of the claim: what the spec asks for, or else what is needed, in whole GiB.
func (p *Plan) Size() resource.Quantity {
	if s := p.o.Migration.Spec.Target.StatefulSet.Storage.Size; s != nil {
		return *s
	}
	return resource.MustParse(gibi(p.o.Source.Need.Total()))
}

// gibi rounds up to GiB, at least one.
func gibi(bytes int64) string { return fmt.Sprintf("%dGi", max((bytes+1<<30-1)>>30, 1)) }
