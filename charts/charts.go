// Package charts embeds what is installed beside the operator: the CRDs that are generated from api/, and alerts.
package charts

import "embed"

// CRDs holds the generated CustomResourceDefinitions, one YAML file each, under slipway/crds.
//
//go:embed slipway/crds/*.yaml
var CRDs embed.FS

// Alerts holds the alerts as Prometheus rule files, one per domain, under slipway/alerts. Each has a page in docs/runbooks.
//
//go:embed slipway/alerts/*.yaml
var Alerts embed.FS
