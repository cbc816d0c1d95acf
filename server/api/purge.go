package api

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"focal/core/fault"

	"github.com/valyala/fasthttp"
)

// maxPurged is how many sources one request may name, maxPurgeBody how large it
// may be.
const (
	maxPurged    = 1000
	maxPurgeBody = 1 << 20
)

// purgeRequest is the body of POST /purge, in the shape of Cloudflare's
// purge_cache: sources as they stand in a transform's URL, behind its options.
type purgeRequest struct {
	Files []string `json:"files"`
}

// purgeAnswer tells what was forgotten.
type purgeAnswer struct {
	Purged []purged `json:"purged"`
}

type purged struct {
	File string `json:"file"`
	// Content lists the digests of all bytes that the source has had, as far as
	// anything was kept of them.
	Content []string `json:"content"`
}

// purge forgets sources and every picture made of them, in this server's memory
// and in its stores.
func (s *Server) purge(ctx *fasthttp.RequestCtx) {
	work, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	a, err := s.purgeAll(work, ctx)
	if err != nil {
		s.config.Log.Info("purge refused", "error", err.Error())
		s.fail(ctx, err)
		return
	}
	body, err := json.Marshal(a)
	if err != nil {
		s.fail(ctx, fault.New(fault.Internal, "api.purge", "%w", err))
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

func (s *Server) purgeAll(work context.Context, ctx *fasthttp.RequestCtx) (purgeAnswer, error) {
	const op = "api.purge"
	a := purgeAnswer{Purged: []purged{}}
	if err := s.mayPurge(string(ctx.Request.Header.Peek("Authorization"))); err != nil {
		return a, err
	}
	body, err := small(ctx, maxPurgeBody)
	if err != nil {
		return a, err
	}
	var r purgeRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return a, fault.New(fault.Invalid, op, `want {"files":["photo.jpg", …]}: %w`, err)
	}
	if n := len(r.Files); n == 0 || n > maxPurged {
		return a, fault.New(fault.Invalid, op, "%d files: want 1 to %d", n, maxPurged)
	}
	for _, file := range r.Files {
		place, forgotten, err := s.sources.Purge(file)
		if err != nil {
			return a, err
		}
		contents, err := s.pictures.Purge(work, place, forgotten)
		if err != nil {
			return a, err
		}
		p := purged{File: file, Content: []string{}}
		for _, d := range contents {
			p.Content = append(p.Content, "sha256:"+d.String())
		}
		a.Purged = append(a.Purged, p)
		s.config.Log.Info("purged", "source", file, "content", p.Content)
	}
	return a, nil
}

// mayPurge checks a bearer token (RFC 6750).
func (s *Server) mayPurge(authorization string) error {
	const op = "api.purge"
	tokens := s.config.SignKeys
	if s.config.PurgeToken != "" {
		tokens = append(tokens[:len(tokens):len(tokens)], s.config.PurgeToken)
	}
	if len(tokens) == 0 {
		return fault.New(fault.Forbidden, op, "nobody may purge here: there is neither --purge-token nor --sign-key")
	}
	if !bears(authorization, tokens) {
		return fault.New(fault.Forbidden, op, "want Authorization: Bearer with --purge-token or a --sign-key")
	}
	return nil
}

// bears says whether a header carries one of tokens as a bearer.
func bears(authorization string, tokens []string) bool {
	scheme, given, _ := strings.Cut(authorization, " ")
	good := false
	for _, token := range tokens {
		good = hmac.Equal([]byte(token), []byte(strings.TrimSpace(given))) || good
	}
	return good && strings.EqualFold(scheme, "Bearer")
}

// Purge has a running server, named by its base URL, purge files, and returns
// its answer.
func Purge(server, token string, files []string, timeout time.Duration) ([]byte, error) {
	const op = "api.Purge"
	body, err := json.Marshal(purgeRequest{files})
	if err != nil {
		return nil, fault.New(fault.Internal, op, "%w", err)
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(strings.TrimRight(server, "/") + "/purge")
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	req.SetBody(body)
	if err := fasthttp.DoTimeout(req, resp, timeout); err != nil {
		return nil, fault.New(fault.Unavailable, op, "%s: %w", server, err)
	}
	answer := append([]byte(nil), resp.Body()...)
	if status := resp.StatusCode(); status != fasthttp.StatusOK {
		return nil, fault.New(fault.Denied, op, "%s", fmt.Sprintf("%s answered %d: %s", server, status, strings.TrimSpace(string(answer))))
	}
	return answer, nil
}
