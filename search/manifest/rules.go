package manifest

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/slipway-dev/slipway/api/search/v1alpha1"
)

func (d *reading) at(path, format string, args ...any) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	d.say(d.find(parts), path, format, args...)
}

// cluster holds the rules that the CRD has in CEL.
func (d *reading) cluster(c *v1alpha1.SearchCluster) {
	if a := c.Spec.Auth; a != nil && (count(a.SecretName != "", a.PasswordFile != "", a.APIKeyFile != "") != 1 || (a.User != "") != (a.PasswordFile != "")) {
		d.at("spec.auth", "give one of secretName (with the keys username and password, or apiKey), user with passwordFile, or apiKeyFile")
	}
	if t := c.Spec.TLS; t != nil && (t.CASecretName != "") == (t.CAFile != "") {
		d.at("spec.tls", "give caSecretName, or caFile where there is no Kubernetes")
	}
	tiers, repositories := map[string]bool{}, map[string]bool{}
	for i, t := range c.Spec.Tiers {
		if (t.NodeAttribute != nil) == (t.DataRole != "") {
			d.at(fmt.Sprintf("spec.tiers[%d]", i), "give nodeAttribute or dataRole")
		}
		d.once(fmt.Sprintf("spec.tiers[%d].name", i), tiers, t.Name)
	}
	for i, r := range c.Spec.Repositories {
		if (r.Type == v1alpha1.RepositoryS3) != (r.S3 != nil) {
			d.at(fmt.Sprintf("spec.repositories[%d]", i), "s3 belongs to the type S3, and no other type has it")
		}
		d.once(fmt.Sprintf("spec.repositories[%d].name", i), repositories, r.Name)
	}
	d.positive("spec.budgets.relocationBytesPerSecond", c.Spec.Budgets.RelocationBytesPerSecond)
}

// once refuses a name of a list that stands there twice, as the API server does for lists with keys.
func (d *reading) once(path string, seen map[string]bool, name string) {
	if seen[name] {
		d.at(path, "%s stands there twice", name)
	}
	seen[name] = true
}

// lifecycle holds the rules that the CRD has in CEL.
func (d *reading) lifecycle(l *v1alpha1.IndexLifecycle) {
	s := &l.Spec
	if s.Write == v1alpha1.WriteByName && s.Aliases != nil && s.Aliases.Write != "" {
		d.at("spec", "aliases.write is for write: Alias; writers by name need none")
	}
	if v := s.Template.Shards; v != nil && (v.Type == intstr.Int && (v.IntVal < 1 || v.IntVal > 1024) || v.Type == intstr.String && v.StrVal != "Auto") {
		d.at("spec.template.shards", "shards is Auto, or a number of primaries from 1 to 1024")
	}
	d.positive("spec.template.bytesPerSlot", s.Template.BytesPerSlot)
	d.positive("spec.template.maxShardBytes", s.Template.MaxShardBytes)
	d.positive("spec.budget.bytesPerSecond", s.Budget.BytesPerSecond)
	names := map[string]bool{}
	for i := range s.Phases {
		path := fmt.Sprintf("spec.phases[%d]", i)
		d.once(path+".name", names, s.Phases[i].Name)
		d.phase(path, &s.Phases[i])
		if i > 0 && hours(&s.Phases[i-1]) > hours(&s.Phases[i]) {
			d.at(path+".afterHours", "phases are done in their order: afterHours of one may not be less than that of the one before it")
		}
	}
}

func hours(p *v1alpha1.Phase) int32 {
	if p.AfterHours == nil {
		return 0
	}
	return *p.AfterHours
}

func (d *reading) phase(path string, p *v1alpha1.Phase) {
	if count(p.Shrink != nil, p.ForceMerge != nil, p.Snapshot != nil, p.Replicas != nil, p.Move != nil, p.Mount != nil, p.Freeze != nil, p.Close != nil, p.Delete != nil) != 1 {
		d.at(path, "a phase does one thing: shrink, forceMerge, snapshot, replicas, move, mount, freeze, close or delete")
	}
	if p.Shrink == nil {
		return
	}
	if (p.Shrink.MaxShardBytes != nil) == (p.Shrink.Shards != 0) {
		d.at(path+".shrink", "give maxShardBytes or shards")
	}
	d.positive(path+".shrink.maxShardBytes", p.Shrink.MaxShardBytes)
}

// positive refuses a size that cannot be, which no schema says of a quantity.
func (d *reading) positive(path string, q *resource.Quantity) {
	if q != nil && (q.Sign() <= 0 || q.Value() < 1) {
		d.at(path, "%s is no number of bytes above 0", q)
	}
}

func count(of ...bool) (n int) {
	for _, one := range of {
		if one {
			n++
		}
	}
	return n
}
