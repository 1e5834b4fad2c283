package view

import (
	"slices"

	"github.com/slipway-dev/slipway/bundle"
)

// Release is one content version together with one bundle that it can install.
type Release struct {
	// ContentVersion is the version of the playbooks.
	ContentVersion string
	// BundleDigest is the digest of the bundle's manifest.
	BundleDigest string
	// Manifest is the bundle's manifest; its Kubernetes is the version that it installs.
	Manifest *bundle.Manifest
}

// Content is what the operator carries.
type Content struct {
	// Version is the content version for clusters that name none: the newest.
	Version string
	// Releases gives all that can be installed now. It is asked often and must be cheap.
	Releases func() []Release
}

// Carries says that the operator has the playbooks of a content version.
func (c Content) Carries(contentVersion string) bool {
	return slices.ContainsFunc(c.Releases(), func(r Release) bool { return r.ContentVersion == contentVersion })
}

// Newest finds a release of the newest content version: the one with the highest version of Kubernetes.
func (c Content) Newest() (Release, bool) {
	versions := c.Versions("")
	if len(versions) == 0 {
		return Release{}, false
	}
	return c.ForVersion("", versions[len(versions)-1])
}

// ForVersion finds the release of a content version (empty: the newest) that installs a version of Kubernetes.
func (c Content) ForVersion(contentVersion, kubernetes string) (Release, bool) {
	if contentVersion == "" {
		contentVersion = c.Version
	}
	return c.find(func(r Release) bool { return r.ContentVersion == contentVersion && r.Manifest.Kubernetes == kubernetes })
}

// Built finds the release that a cluster was built with.
func (c Content) Built(contentVersion, bundleDigest string) (Release, bool) {
	return c.find(func(r Release) bool { return r.ContentVersion == contentVersion && r.BundleDigest == bundleDigest })
}

// Versions lists the versions of Kubernetes that a content version can install, sorted.
func (c Content) Versions(contentVersion string) []string {
	if contentVersion == "" {
		contentVersion = c.Version
	}
	var versions []string
	for _, r := range c.Releases() {
		if r.ContentVersion == contentVersion {
			versions = append(versions, r.Manifest.Kubernetes)
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

func (c Content) find(fits func(Release) bool) (Release, bool) {
	releases := c.Releases()
	if i := slices.IndexFunc(releases, fits); i >= 0 {
		return releases[i], true
	}
	return Release{}, false
}
