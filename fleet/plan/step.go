package plan

import (
	"github.com/slipway-dev/slipway/api/fleet/v1alpha1"
)

// Kind says what a step does. Every step is safe to do twice.
type Kind string

// The kinds of steps, in the order in which a plan lists them.
const (
	// StepSetPhase writes status.phase and status.attempts of Machine. It is bookkeeping and comes also while paused.
	StepSetPhase Kind = "SetPhase"
	// StepMakePKI makes the Secrets with the PKI and the kubeconfig.
	StepMakePKI Kind = "MakePKI"
	// StepCancelOperation sets spec.cancel of Operation.
	StepCancelOperation Kind = "CancelOperation"
	// StepMarkLeaving sets claimRef.release of Machine to Release; its set then claims another.
	StepMarkLeaving Kind = "MarkLeaving"
	// StepDrain calls remote.Drain for Machine; put the result into Observed.Drains and plan again.
	StepDrain Kind = "Drain"
	// StepDeleteNode deletes the Node named Machine from the cluster.
	StepDeleteNode Kind = "DeleteNode"
	// StepFreeClaim clears claimRef of Machine; the pool cleans and inspects it.
	StepFreeClaim Kind = "FreeClaim"
	// StepQuarantine sets spec.quarantine of Machine to Reason and Message and clears claimRef, in one write.
	StepQuarantine Kind = "Quarantine"
	// StepCreateOperation makes the Operation named Operation: EntryPoint on Machines, with Reason as spec.reason and RetryOf.
	StepCreateOperation Kind = "CreateOperation"
	// StepWait starts nothing; Message says what is waited for. AfterSeconds > 0: look again then, even if nothing changes.
	StepWait Kind = "Wait"
)

// Step is one thing to do. Which fields are set depends on Kind.
type Step struct {
	Kind       Kind                   `json:"kind"`
	Machine    string                 `json:"machine,omitempty"`
	Operation  string                 `json:"operation,omitempty"`
	EntryPoint v1alpha1.EntryPoint    `json:"entryPoint,omitempty"`
	Machines   []string               `json:"machines,omitempty"`
	RetryOf    string                 `json:"retryOf,omitempty"`
	Phase      v1alpha1.MachinePhase  `json:"phase,omitempty"`
	Attempts   int                    `json:"attempts,omitempty"`
	Release    v1alpha1.ReleaseReason `json:"release,omitempty"`
	// Reason is one word for Quarantine, and spec.reason for CreateOperation.
	Reason string `json:"reason,omitempty"`
	// Message says in words why.
	Message      string `json:"message,omitempty"`
	AfterSeconds int    `json:"afterSeconds,omitempty"`
}

// Refusal says which rule held something back.
type Refusal struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	// Human is set when nothing will change until a person acts.
	Human bool `json:"human,omitempty"`
}

// Plan is what happens next, in order, and why other things do not.
type Plan struct {
	Cluster string `json:"cluster"`
	// State is the word for ClusterDeployment.status.state: Pending, Installing, Scaling, Available, Deleting, Invalid,
	// Paused or Failing.
	State string `json:"state"`
	// Reason and Message are those of the condition Progressing; Blocked is set when it is False: a person must act.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Blocked bool   `json:"blocked,omitempty"`
	// Installed and Verified are what the Cluster's conditions should say.
	Installed bool   `json:"installed"`
	Verified  bool   `json:"verified"`
	Steps     []Step `json:"steps,omitempty"`
	// Refusals are sorted by rule.
	Refusals []Refusal `json:"refusals,omitempty"`
	// Overridden are the rules that would have refused something and were switched off by a person.
	Overridden []string `json:"overridden,omitempty"`
	// Finished is set when the cluster is being deleted and no machine is left.
	Finished bool `json:"finished,omitempty"`
}

// AfterSeconds is the soonest time to look again even if nothing changes; 0: none.
func (p Plan) AfterSeconds() int {
	soonest := 0
	for _, s := range p.Steps {
		if s.AfterSeconds > 0 && (soonest == 0 || s.AfterSeconds < soonest) {
			soonest = s.AfterSeconds
		}
	}
	return soonest
}
