package sidecar

import (
	"context"
	"net/http"

	"focal/core/pixel"
	"focal/inference"
)

// facesParams are the parameters of both faces routes.
var facesParams = [...]string{"model", "threshold", "max_faces", "frame", "priority"}

// getFaces answers what is known about a content; nothing is computed.
func (s *Server) getFaces(ctx context.Context, r *request) (answer, error) {
	q, _, err := parseQuestion(r.URL.RawQuery, facesParams[:]...)
	if err != nil {
		return answer{}, err
	}
	subject, err := known(r, q)
	if err != nil {
		return answer{}, err
	}
	found, err := s.client.Faces(ctx, facesRequest(r, q, subject))
	if err != nil {
		return answer{}, err
	}
	return facesAnswer(subject.Content, found.Source, found), nil
}

// postFaces finds the faces of the picture in the body.
func (s *Server) postFaces(ctx context.Context, r *request) (answer, error) {
	q, _, err := parseQuestion(r.URL.RawQuery, facesParams[:]...)
	if err != nil {
		return answer{}, err
	}
	p, release, err := s.readPicture(ctx, r)
	defer release()
	if err != nil {
		return answer{}, err
	}
	found, err := ask(ctx, s.looker, &p, q.frame, func(ctx context.Context, subject inference.Subject) (inference.Faces, error) {
		return s.client.Faces(ctx, facesRequest(r, q, subject))
	})
	if err != nil {
		return answer{}, err
	}
	return facesAnswer(p.content, sentSize(p, found.Facts), found), nil
}

func facesRequest(r *request, q question, subject inference.Subject) inference.FacesRequest {
	return inference.FacesRequest{
		Subject: subject, Model: q.model, Threshold: q.threshold, MaxFaces: q.maxFaces,
		Class: r.class(), Priority: q.priority,
	}
}

func facesAnswer(content pixel.Digest, image pixel.Size, found inference.Faces) answer {
	a := jsonAnswer(http.StatusOK, encodeFaces(content, image, found))
	a.state("face", content, image, found.Facts)
	return a
}
