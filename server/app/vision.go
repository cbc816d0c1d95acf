package app

import (
	"context"

	"focal/core/pipeline"
	"focal/core/pixel"
	"focal/inference"
)

// asker lets the pipeline ask an inference client: the pipeline declares what
// it needs, and the two halves of the house meet only here.
type asker struct{ client inference.Client }

var _ pipeline.Vision = asker{}

func (a asker) Faces(ctx context.Context, s pipeline.Subject, lowest *float64) (pipeline.Finding[[]pixel.Face], error) {
	found, err := a.client.Faces(ctx, inference.FacesRequest{Subject: subject(s), Threshold: lowest})
	if err != nil {
		return pipeline.Finding[[]pixel.Face]{}, err
	}
	return finding(found.Facts, found.Faces), nil
}

func (a asker) Foreground(ctx context.Context, s pipeline.Subject) (pipeline.Finding[pixel.Mask], error) {
	found, err := a.client.Foreground(ctx, inference.ForegroundRequest{Subject: subject(s)})
	if err != nil {
		return pipeline.Finding[pixel.Mask]{}, err
	}
	return finding(found.Facts, found.Mask), nil
}

func subject(s pipeline.Subject) inference.Subject {
	return inference.Subject{Content: s.Content, Source: s.Source, Look: s.Look}
}

func finding[T any](f inference.Facts, value T) pipeline.Finding[T] {
	return pipeline.Finding[T]{Value: value, Model: f.Model, Provider: f.Provider, How: string(f.How)}
}
