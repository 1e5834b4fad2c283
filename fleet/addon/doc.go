// Package addon renders the addons that Slipway ships: Helm charts of its own, rendered by Helm's engine and loader,
// with values that the chart's schema checks. It applies nothing and keeps no releases; hooks are refused.
package addon
