package bundle

import "context"

const contentLicences = "licences"

func (b *Builder) licencesContent(ctx context.Context) (Content, *entry, []Component, error) {
	return Content{}, nil, nil, nil
}
func (b *Builder) addLicences(ctx context.Context, a *assembly) error { return nil }
func (b *Builder) addFlags(ctx context.Context, a *assembly) error    { return nil }
func (b *Builder) addSchemas(ctx context.Context, a *assembly) error  { return nil }
