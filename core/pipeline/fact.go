package pipeline

import (
	"fmt"

	"focal/core/pixel"
	"focal/core/transform"
)

// Task is a question to vision.
type Task string

// The tasks, by the names that answers and models have for them.
const (
	TaskFace       Task = "face"
	TaskForeground Task = "foreground"
)

// Tasks lists what the answer to o depends on besides o and the source.
func Tasks(o transform.Options) []Task {
	var tasks []Task
	if o.NeedsFaces() {
		tasks = append(tasks, TaskFace)
	}
	if o.NeedsForeground() {
		tasks = append(tasks, TaskForeground)
	}
	return tasks
}

// Fact is what an answer says of one finding.
type Fact struct {
	Task     Task
	Model    string
	Digest   pixel.Digest // of the model
	Provider string
	How      string
	Detail   string // what was found, in the form name=value
}

func (f Findings) facts() []Fact {
	var all []Fact
	if v, ok := f.faceFact(); ok {
		all = append(all, v)
	}
	if v := f.Foreground; v != nil {
		all = append(all, v.fact(TaskForeground, fmt.Sprintf("coverage=%.4g", Coverage(v.Value))))
	}
	return all
}

func (f *Finding[T]) fact(t Task, detail string) Fact {
	return Fact{Task: t, Model: f.Model, Digest: f.Digest, Provider: f.Provider, How: f.How, Detail: detail}
}

// faceFact is one fact of both questions about faces. Did two models answer
// them, which a change of models may do, it has no digest.
func (f Findings) faceFact() (Fact, bool) {
	crop, hidden := f.Faces, f.Hidden
	switch {
	case crop == nil && hidden == nil:
		return Fact{}, false
	case hidden == nil:
		return crop.fact(TaskFace, fmt.Sprintf("count=%d", len(crop.Value))), true
	case crop == nil:
		return hidden.fact(TaskFace, fmt.Sprintf("blurred=%d", len(hidden.Value))), true
	}
	v := crop.fact(TaskFace, fmt.Sprintf("count=%d; blurred=%d", len(crop.Value), len(hidden.Value)))
	if crop.Digest != hidden.Digest {
		v.Digest = pixel.Digest{}
	}
	return v, true
}
