package svg

import (
	"bufio"
	"strings"
)

// writer writes XML. Its first error stays; what follows is dropped.
type writer struct {
	w    *bufio.Writer
	open bool // a start tag lacks its ">", so that an empty element can close itself
	err  error
}

var (
	valueEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;",
		"\n", "&#xA;", "\t", "&#x9;", "\r", "&#xD;")
	textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
)

func (w *writer) declaration() { w.put(`<?xml version="1.0" encoding="utf-8"?>`, "\n") }

func (w *writer) start(name string, attributes []attribute) {
	w.closeTag()
	w.put("<", name)
	for _, a := range attributes {
		w.put(" ", a.name, `="`)
		w.escaped(valueEscapes, a.value)
		w.put(`"`)
	}
	w.open = true
}

func (w *writer) text(s string) {
	w.closeTag()
	w.escaped(textEscapes, s)
}

func (w *writer) end(name string) {
	if w.open {
		w.open = false
		w.put("/>")
		return
	}
	w.put("</", name, ">")
}

func (w *writer) closeTag() {
	if w.open {
		w.open = false
		w.put(">")
	}
}

func (w *writer) put(parts ...string) {
	for _, p := range parts {
		if w.err == nil {
			_, w.err = w.w.WriteString(p)
		}
	}
}

func (w *writer) escaped(r *strings.Replacer, s string) {
	if w.err == nil {
		_, w.err = r.WriteString(w.w, s)
	}
}

func (w *writer) flush() error {
	if w.err != nil {
		return w.err
	}
	return w.w.Flush()
}
