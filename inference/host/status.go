package host

import (
	"context"
	"fmt"
	"time"

	"focal/inference"
	"focal/inference/sched"
	"focal/models"
)

var tasks = [...]models.Task{models.TaskFace, models.TaskForeground}

// Status describes the models of the repository and which of them are loaded.
// One that can never be loaded within the budget has failed, asked for or not.
func (h *Host) Status(context.Context) inference.Status {
	st := inference.Status{State: inference.StateReady, Provider: h.engine.Provider(), Reason: h.cfg.Reason}
	list, err := h.repo.Models()
	if err != nil && st.Reason == "" {
		st.Reason = err.Error()
	}
	all, ok := h.standings(list)
	if !ok {
		st.State, st.Reason = inference.StateDown, "inference has been closed"
	}
	defaults := map[models.Task]string{}
	for _, task := range tasks {
		defaults[task], _ = h.catalog.defaultName(task)
	}
	present := map[string]bool{}
	for i, m := range list {
		present[m.Name] = true
		ms := inference.ModelStatus{
			Name: m.Name, Version: m.Version, Task: m.Task, SHA256: m.File.String(),
			Recipe: models.RecipeDigest(m.Manifest).String(), Threshold: m.Defaults.Threshold,
			State: "idle", Default: defaults[m.Task] == m.Name,
		}
		if ms.Default {
			ms.Instead = h.catalog.instead(m)
		}
		if ms.Instead != "" {
			st.Missing = append(st.Missing, ms.Instead)
		}
		all[i].describe(&ms)
		if h.catalog.isAway(m.Name) {
			ms.State, ms.Memory = "unloaded", all[i].Booked
		}
		st.Models = append(st.Models, ms)
	}
	for _, task := range tasks {
		switch name := defaults[task]; {
		case name == "":
			st.Missing = append(st.Missing, fmt.Sprintf("a model for task %s", task))
		case !present[name]:
			st.Missing = append(st.Missing, name)
		}
	}
	return st
}

// standing is what the scheduler knows of a model.
type standing struct {
	sched.ModelSnapshot
	never error // why it can never be loaded
}

// standings returns those of list, in its order; false after the end.
func (h *Host) standings(list []models.Model) ([]standing, bool) {
	specs := make([]sched.Spec, len(list))
	for i, m := range list {
		specs[i] = h.catalog.spec(m)
	}
	reply := make(chan []standing, 1)
	if !h.loop.do(func(time.Time) {
		known := map[sched.ModelID]sched.ModelSnapshot{}
		for _, m := range h.loop.sched.Snapshot().Models {
			known[m.ID] = m
		}
		all := make([]standing, len(specs))
		for i, spec := range specs {
			all[i] = standing{known[spec.ID], h.loop.sched.Never(spec)}
		}
		reply <- all
	}) {
		return make([]standing, len(list)), false
	}
	return <-reply, true
}

// describe adds s to ms.
func (s standing) describe(ms *inference.ModelStatus) {
	switch {
	case s.State == "loading":
		ms.State = "loading"
	case s.State == "resident":
		ms.State, ms.Memory = "resident", s.Booked
	case s.never != nil:
		ms.State, ms.Error = "failed", s.never.Error()
	case s.Err != nil:
		ms.State, ms.Error = "failed", s.Err.Error()
	}
}
