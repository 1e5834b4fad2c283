// Package charts embeds what is installed into a management cluster: the CRDs that are generated from api/.
package charts

import "embed"

// CRDs holds the generated CustomResourceDefinitions, one YAML file each, under slipway/crds.
//
//go:embed slipway/crds/*.yaml
var CRDs embed.FS
