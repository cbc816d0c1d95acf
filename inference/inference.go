// Package inference is the doorway to running models: what a caller may ask
// (Client), and what an engine must do (Engine, Session).
//
// It knows pixels and models, never pictures in files and never URLs. The
// implementations are host.Host (same process), sidecar.Client (over a
// socket) and Off.
package inference

import (
	"context"
	"encoding/json"
	"time"

	"focal/core/fault"
	"focal/core/pixel"
	"focal/models"
)

// Subject is what a question is about: a source by its content, and a way to
// see it that is used only when nobody knows the answer yet.
type Subject struct {
	// Content is the SHA-256 of the source bytes as they were fetched.
	Content pixel.Digest
	// Frame is the frame that the look shows; 0 is the first.
	Frame int
	// Source is the size of the oriented source, zero where it is not known.
	// It is stored with the answer, for callers who ask by content alone.
	Source pixel.Size
	// Look makes the pixels to be looked at, by the rules of
	// pixel.LookVersion. Nil means that only a known answer is wanted: the
	// answer is fault.NotFound where there is none.
	Look func(ctx context.Context) (pixel.Buffer, error)
	// Coming says, of a question without Look, that it will be asked again with one
	// if nothing is known: then it holds a place meanwhile.
	Coming bool
}

// FacesRequest asks for the faces of a subject.
type FacesRequest struct {
	Subject
	Model     string   // empty: the default face model
	Threshold *float64 // lowest score; nil: the manifest's
	MaxFaces  int      // 0: all
	Class     Class
	Priority  int // 1 is the highest; 0 means the default
}

// ForegroundRequest asks for the foreground mask of a subject.
type ForegroundRequest struct {
	Subject
	Model    string // empty: the default foreground model
	Class    Class
	Priority int
}

// Class is where a request comes from; each class has its share of the device.
type Class uint8

// The classes.
const (
	ClassServer Class = iota // the image server, weight 4
	ClassDirect              // callers of the inference endpoint, weight 1
)

// How says where an answer came from.
type How string

// The ways.
const (
	Run       How = "run"       // the model ran for this request
	Hit       How = "hit"       // the answer was known
	Coalesced How = "coalesced" // another request's run answered this one too
)

// Facts are what is known about how an answer was made.
type Facts struct {
	Model    string
	File     pixel.Digest // SHA-256 of the model file
	Recipe   pixel.Digest // recipe digest
	Provider string       // "cpu" or "cuda": what ran, not what was asked for
	How      How
	// Threshold is the manifest's: which faces are left out for those who name
	// none. Zero for a task without one.
	Threshold float64
	Source    pixel.Size    // the size of the oriented source; the look's where it is not known
	Prepare   time.Duration // look to tensor; zero unless How is Run, and over a socket
	Queue     time.Duration // waited for the device; zero unless How is Run
	Run       time.Duration // the batch ran; zero unless How is Run
	Decode    time.Duration // tensors to the answer; as Prepare
	Batch     int           // pictures in that batch; zero unless How is Run
}

// Faces is an answer: faces by falling score, in fractions of the source.
type Faces struct {
	Facts
	Faces []pixel.Face
}

// Foreground is an answer: a mask at the model's output size.
type Foreground struct {
	Facts
	Mask pixel.Mask
}

// Client answers questions about pictures. Errors are of the kinds of
// core/fault: Busy (with RetryAfter) when the answer would be too late,
// Unavailable when the part is down or starting, NotFound when Look is nil and
// nothing is known, Invalid for an unknown model.
type Client interface {
	Faces(ctx context.Context, r FacesRequest) (Faces, error)
	Foreground(ctx context.Context, r ForegroundRequest) (Foreground, error)
	Status(ctx context.Context) Status
}

// TensorsRequest asks for a run of raw tensors on any model.
type TensorsRequest struct {
	Model   string
	Version string // that it must have; empty: the one that serves
	// Inputs come by position, with a common batch axis. Nobody changes them
	// until the answer is there.
	Inputs   []models.Tensor
	Class    Class
	Priority int
}

// Tensors is an answer: outputs by position, with the batch axis of the inputs.
// Its facts are those of the item that waited longest; Queue, Run and Batch of
// the batch that it was in.
type Tensors struct {
	Facts
	Version string // of the model that ran
	Outputs []models.Tensor
}

// Batching is how a model's requests share runs on this device.
type Batching struct {
	Most      int           // items of the largest run
	Sizes     []int         // the only ones that run, rising; nil: any up to Most
	Delay     time.Duration // how long a run that is not full waits for company while the device is free
	Instances int           // runs of the model side by side
	Lowest    int           // priority; 1 is the highest
	Default   int           // priority of those who name none
}

// Statistics is what has happened to one version of a model since the start,
// pictures and raw tensors together.
type Statistics struct {
	Model, Version string
	Last           time.Time // of the last request
	Items          int64     // that ran well
	Runs           int64     // that they shared
	// Success and Fail are whole requests. Of those that ran, Queue is their
	// wait for the device, Input pixels to tensors, Infer the batch that they
	// were in, Output tensors to the answer. Hit are those whose answer was
	// known, Miss those that ran although it could have been.
	Success, Fail, Queue, Input, Infer, Output, Hit, Miss Tally
	Batches                                               []BatchTally // by rising size
	Memory                                                int64        // bytes booked now, at rest and running
}

// Tally is how often something happened, and how long it took all together.
type Tally struct {
	Count int64
	Time  time.Duration
}

// Add counts something that took d.
func (t *Tally) Add(d time.Duration) { t.Count, t.Time = t.Count+1, t.Time+d }

// BatchTally is the runs of one batch size.
type BatchTally struct {
	Size int
	Tally
}

// State is the condition of the inference half.
type State string

// The states.
const (
	StateReady    State = "ready"
	StateStarting State = "starting"
	StateDown     State = "down"
	StateOff      State = "off"
)

// Status is what /readyz says of the inference half.
type Status struct {
	State    State         `json:"state"`
	Provider string        `json:"provider,omitempty"`
	Reason   string        `json:"reason,omitempty"` // why it is down, or why auto chose the CPU
	Models   []ModelStatus `json:"models"`
	Missing  []string      `json:"missing"` // default models that are not in the repository, served by one of the program or not
	// Sidecars are those behind a pool, each for itself; nil where there is none.
	Sidecars []SidecarStatus `json:"sidecars,omitempty"`
}

// MarshalJSON writes a list that is empty as [] and never as null: whoever reads
// /readyz walks through them.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status // without this method
	if s.Models == nil {
		s.Models = []ModelStatus{}
	}
	if s.Missing == nil {
		s.Missing = []string{}
	}
	return json.Marshal(plain(s))
}

// SidecarStatus is one of several sidecars.
type SidecarStatus struct {
	Address  string `json:"address"`
	State    State  `json:"state"`
	Provider string `json:"provider,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// ModelStatus is one model of the repository.
type ModelStatus struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Task    models.Task `json:"task"`
	SHA256  string      `json:"sha256"`
	Recipe  string      `json:"recipe"`               // recipe digest, in hex
	State   string      `json:"state"`                // resident, loading, idle (not loaded), failed, unloaded (on request)
	Default bool        `json:"default"`              // used when no model is named
	Instead string      `json:"instead_of,omitempty"` // the model that a pull would get, for which this one of the program serves
	Error   string      `json:"error,omitempty"`      // why it failed
	Memory  int64       `json:"memory,omitempty"`     // booked bytes while resident
	// Threshold is the manifest's; 0 for a task without one.
	Threshold float64 `json:"threshold,omitempty"`
}

// Off is the Client of `--inference=off`: it refuses politely.
type Off struct{}

var _ Client = Off{}

func (Off) refuse() error {
	return fault.New(fault.Unavailable, "inference.Off", "inference is switched off (--inference=off)")
}

// Faces refuses.
func (o Off) Faces(context.Context, FacesRequest) (Faces, error) { return Faces{}, o.refuse() }

// Foreground refuses.
func (o Off) Foreground(context.Context, ForegroundRequest) (Foreground, error) {
	return Foreground{}, o.refuse()
}

// Status says that inference is off.
func (Off) Status(context.Context) Status { return Status{State: StateOff} }
