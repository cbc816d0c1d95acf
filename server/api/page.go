package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"maps"
	"net/url"
	"slices"

	"focal/core/fault"

	"github.com/valyala/fasthttp"
)

//go:embed start.html
var startHTML string

var startPage = template.Must(template.New("start").Parse(startHTML))

// pageContentPolicy allows the start page its own style and pictures, nothing
// else.
const pageContentPolicy = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

// recipe is one link of the start page.
type recipe struct{ Title, Options string }

var recipes = []recipe{
	{"Crop to the faces", "gravity=face,fit=cover,width=320,height=320"},
	{"Closer: zoom 0.5", "gravity=face,zoom=0.5,fit=cover,width=320,height=320"},
	{"The largest face alone", "gravity=face,faces=largest,face-padding=1.8,fit=cover,width=320,height=320"},
	{"Faces made unrecognisable, where they are found", "blur-faces=1,width=640"},
	{"Crop to the subject", "gravity=foreground,fit=cover,width=320,height=320"},
	{"Cut out the subject, on white", "segment=foreground,background=white,width=320,height=320"},
	{"Faces, cut out, on white", "gravity=face,zoom=0.5,segment=foreground,background=white,width=320,height=320"},
	{"A product card: cut out, with a shadow", "segment=foreground,shadow=1,gravity=foreground,zoom=0.8,background=white,fit=pad,width=320,height=320"},
	{"Why this crop", "gravity=face,zoom=0.5,fit=cover,width=320,height=320,debug=crop"},
	{"What is in it, as JSON", "gravity=face,segment=foreground,format=json"},
}

// served returns the options of a small picture and the recipes, as far as this
// server makes them: where only presets are served, these.
func (s *Server) served() (thumb string, served []recipe) {
	if !s.presets.only {
		return "width=240,height=160,fit=cover,gravity=auto", recipes
	}
	for _, name := range slices.Sorted(maps.Keys(s.presets.named)) {
		served = append(served, recipe{"Preset", name})
	}
	return served[0].Options, served // there is one: newPresets
}

// start answers the start page: links that work, or how to give it pictures.
func (s *Server) start(ctx *fasthttp.RequestCtx) {
	type link struct{ Title, Options, URL string }
	type sample struct {
		Name  string
		Thumb string
		Links []link
	}
	page := struct {
		Version    string
		Configured bool
		Signed     bool
		Samples    []sample
	}{Version: s.config.Version, Configured: s.config.Configured, Signed: len(s.config.SignKeys) > 0}
	thumb, served := s.served()
	var names []string
	if !page.Signed { // no link would work, and names are not for everybody
		names = s.config.Samples()
	}
	for _, name := range names {
		source := (&url.URL{Path: name}).EscapedPath()
		one := sample{Name: name, Thumb: imagePrefix + thumb + "/" + source}
		for _, r := range served {
			one.Links = append(one.Links, link{r.Title, r.Options, imagePrefix + r.Options + "/" + source})
		}
		page.Samples = append(page.Samples, one)
	}
	var b bytes.Buffer
	if err := startPage.Execute(&b, page); err != nil {
		s.fail(ctx, fault.New(fault.Internal, "api.start", "%w", err))
		return
	}
	ctx.Response.Header.Set("Content-Security-Policy", pageContentPolicy)
	ctx.SetContentType("text/html; charset=utf-8")
	ctx.SetBody(b.Bytes())
}
