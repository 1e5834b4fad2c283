package cutover

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/slipway-dev/slipway/migration/server"
)

// alertmanager is one Alertmanager, which is only read.
type alertmanager struct{ *server.Client }

// heldAlert is an alert that an Alertmanager holds (its api/v2/openapi.yaml, gettableAlert).
type heldAlert struct {
	Labels labels.Labels `json:"labels"`
	// UpdatedAt is when it was told last, by whomever, by the clock of the Alertmanager.
	UpdatedAt time.Time `json:"updatedAt"`
}

// held lists alerts that are not resolved, silenced and inhibited ones too, by their labels.
func (a *alertmanager) held(ctx context.Context) (map[string]heldAlert, error) {
	var list []heldAlert
	err := a.Ask(ctx, http.MethodGet, "/api/v2/alerts", nil, nil, func(res *http.Response, body io.Reader) error {
		if res.StatusCode != http.StatusOK {
			return server.Refusal(res.StatusCode, body)
		}
		if err := json.NewDecoder(body).Decode(&list); err != nil {
			return fmt.Errorf("reading its alerts: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all := make(map[string]heldAlert, len(list))
	for _, h := range list {
		all[h.Labels.String()] = h
	}
	return all, nil
}
