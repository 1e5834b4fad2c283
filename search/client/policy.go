package client

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-dev/slipway/search/state"
)

// ilm is the engine of Elasticsearch with x-pack. No server that can be started here has it: it is held to its documentation alone.
type ilm struct{ withSLM bool }

// phaseOrder is the order in which ILM goes through its phases.
func phaseOrder() []string { return []string{"hot", "warm", "cold", "frozen", "delete"} }

func (e ilm) readPolicies(ctx context.Context, c *Client) ([]state.Policy, error) {
	type entry struct {
		Policy struct {
			Phases map[string]struct {
				MinAge  string         `json:"min_age"`
				Actions map[string]any `json:"actions"`
			} `json:"phases"`
		} `json:"policy"`
	}
	var list []state.Policy
	_, err := c.read(ctx, "/_ilm/policy", nil, eachField(func(name string, e entry) {
		p := state.Policy{Kind: state.KindILM, Name: name}
		for _, phase := range phaseOrder() {
			if body, ok := e.Policy.Phases[phase]; ok {
				p.Steps = append(p.Steps, state.PolicyStep{Name: phase, AfterMillis: parseAge(body.MinAge), Actions: slices.Sorted(maps.Keys(body.Actions))})
			}
		}
		list = append(list, p)
	}))
	if err != nil || !e.withSLM {
		return list, err
	}
	slm, err := readSLM(ctx, c)
	return append(list, slm...), err
}

func readSLM(ctx context.Context, c *Client) ([]state.Policy, error) {
	type moment struct {
		Millis int64 `json:"time"`
	}
	type entry struct {
		Policy struct {
			Schedule   string `json:"schedule"`
			Repository string `json:"repository"`
			Config     struct {
				Indices any `json:"indices"`
			} `json:"config"`
		} `json:"policy"`
		Success moment `json:"last_success"`
		Failure moment `json:"last_failure"`
	}
	var list []state.Policy
	_, err := c.read(ctx, "/_slm/policy", nil, eachField(func(name string, e entry) {
		list = append(list, state.Policy{Kind: state.KindSLM, Name: name, Patterns: patterns(e.Policy.Config.Indices), Schedule: e.Policy.Schedule,
			Repository: e.Policy.Repository, LastSuccessMillis: e.Success.Millis, LastFailureMillis: e.Failure.Millis})
	}))
	return list, err
}

func patterns(value any) []string {
	if joined := text(value); joined != "" {
		return strings.Split(joined, ",")
	}
	return nil
}

func (e ilm) attach(ctx context.Context, c *Client, indices map[string]*state.Index) error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(indices)), func(x *state.Index) bool { return x.Policy != nil }) {
		return nil
	}
	type entry struct {
		Policy   string         `json:"policy"`
		Phase    string         `json:"phase"`
		Action   string         `json:"action"`
		Step     string         `json:"step"`
		Failed   string         `json:"failed_step"`
		Origin   int64          `json:"lifecycle_date_millis"`
		StepInfo map[string]any `json:"step_info"`
	}
	const of = "indices.*."
	params := url.Values{"only_managed": {"true"}, "filter_path": {strings.Join([]string{of + "policy", of + "phase", of + "action", of + "step", of + "failed_step",
		of + "lifecycle_date_millis", of + "step_info.reason"}, ",")}}
	var share state.Sharer
	_, err := c.read(ctx, "/*/_ilm/explain", params, withList(&struct{}{}, "indices", eachField(func(name string, e entry) {
		x := indices[name]
		if x == nil {
			return
		}
		a := &state.Attachment{Kind: state.KindILM, Policy: e.Policy, Phase: e.Phase, Action: e.Action, Step: e.Step, OriginMillis: e.Origin, Failed: e.Step == "ERROR"}
		if a.Failed {
			a.Step, a.Why = e.Failed, clip(text(e.StepInfo["reason"]), 300)
		}
		share.Attachment(a)
		x.Policy = a
	})))
	return err
}

// ism is the engine of OpenSearch's plugin. No server that can be started here has it: it is held to its documentation alone.
type ism struct{}

func (ism) readPolicies(ctx context.Context, c *Client) ([]state.Policy, error) {
	var got struct {
		Policies []struct {
			ID   string `json:"_id"`
			Body struct {
				Templates []struct {
					Patterns []string `json:"index_patterns"`
				} `json:"ism_template"`
				States []ismState `json:"states"`
			} `json:"policy"`
		} `json:"policies"`
	}
	if _, err := c.read(ctx, "/_plugins/_ism/policies", url.Values{"size": {"1000"}}, into(&got)); err != nil {
		return nil, err
	}
	var list []state.Policy
	for _, p := range got.Policies {
		one := state.Policy{Kind: state.KindISM, Name: p.ID, Steps: ismSteps(p.Body.States)}
		for _, t := range p.Body.Templates {
			one.Patterns = append(one.Patterns, t.Patterns...)
		}
		list = append(list, one)
	}
	return list, nil
}

type ismState struct {
	Name        string           `json:"name"`
	Actions     []map[string]any `json:"actions"`
	Transitions []struct {
		To         string `json:"state_name"`
		Conditions struct {
			MinAge string `json:"min_index_age"`
		} `json:"conditions"`
	} `json:"transitions"`
}

// ismSteps gives each state the age at which another one leads to it; the first begins at once.
func ismSteps(states []ismState) []state.PolicyStep {
	after := map[string]int64{}
	for _, s := range states {
		for _, t := range s.Transitions {
			after[t.To] = -1
			if t.Conditions.MinAge != "" {
				after[t.To] = parseAge(t.Conditions.MinAge)
			}
		}
	}
	var steps []state.PolicyStep
	for _, s := range states {
		step := state.PolicyStep{Name: s.Name, AfterMillis: after[s.Name]}
		for _, action := range s.Actions {
			for name := range action {
				if name != "retry" && name != "timeout" {
					step.Actions = append(step.Actions, name)
				}
			}
		}
		steps = append(steps, step)
	}
	return steps
}

func (ism) attach(ctx context.Context, c *Client, indices map[string]*state.Index) error {
	type part struct {
		Name   string `json:"name"`
		Failed bool   `json:"failed"`
	}
	type entry struct {
		Policy string         `json:"policy_id"`
		State  part           `json:"state"`
		Action part           `json:"action"`
		Step   part           `json:"step"`
		Info   map[string]any `json:"info"`
	}
	params := url.Values{"size": {"100000"}, "filter_path": {"*.policy_id,*.state.name,*.action.name,*.action.failed,*.step.name,*.info.message"}}
	_, err := c.read(ctx, "/_plugins/_ism/explain/*", params,
		eachField(func(name string, e entry) {
			if x := indices[name]; x != nil && e.Policy != "" {
				x.Policy = &state.Attachment{Kind: state.KindISM, Policy: e.Policy, Phase: e.State.Name, Action: e.Action.Name, Step: e.Step.Name, Failed: e.Action.Failed}
				if e.Action.Failed {
					x.Policy.Why = clip(text(e.Info["message"]), 300)
				}
			}
		}))
	return err
}

// errAge is a text that is no age.
var errAge = errors.New("want a number and a unit such as 15d")

// parseAge reads 15d, 360h, 0ms as milliseconds; -1 where it cannot be read.
func parseAge(text string) int64 {
	ms, err := age(text)
	if err != nil {
		return -1
	}
	return ms
}

func age(text string) (int64, error) {
	digits := strings.TrimRight(text, "abcdehimnorsuy")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return 0, errAge
	}
	unit, ok := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
		"micros": time.Microsecond, "nanos": time.Nanosecond, "": time.Millisecond}[text[len(digits):]]
	switch {
	case !ok:
		return 0, errAge
	case unit < time.Millisecond:
		return n / int64(time.Millisecond/unit), nil
	case n > math.MaxInt64/unit.Milliseconds():
		return 0, errAge
	}
	return n * unit.Milliseconds(), nil
}
