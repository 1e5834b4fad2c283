package plane

import (
	"context"
)

// Program is how one program of a plane does.
type Program struct {
	Name    string `json:"name"`
	PID     int    `json:"pid,omitempty"`
	Running bool   `json:"running"`
	Ready   bool   `json:"ready"`
	// Message says why it is not ready.
	Message string `json:"message,omitempty"`
}

// Programs looks at the programs of the plane in a directory from outside: any process that may read it can ask.
func Programs(ctx context.Context, dir string) ([]Program, error) {
	state, err := ReadState(dir)
	if err != nil {
		return nil, err
	}
	seen, err := openRegister(dir)
	if err != nil {
		return nil, err
	}
	p := &Plane{options: Options{Dir: dir}, state: state, pki: newPKI(dir, false)}
	var out []Program
	for _, name := range []string{Etcd, APIServer, ControllerManager} {
		program := Program{Name: name}
		if process, ok := seen.get(name); ok && process.Alive() {
			program.PID, program.Running = process.PID, true
			if err := p.readiness(name)(ctx); err != nil {
				program.Message = err.Error()
			} else {
				program.Ready = true
			}
		}
		out = append(out, program)
	}
	return out, nil
}
