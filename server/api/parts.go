package api

import (
	"bytes"
	"mime"
	"strings"

	"focal/core/fault"
)

// part is one part of a multipart/form-data body (RFC 7578).
type part struct {
	name string
	body []byte // in the memory of the whole
}

// partsOf splits a body of the given Content-Type into at most most parts, in
// their order. It copies nothing: pictures are large.
func partsOf(contentType string, body []byte, most int) ([]part, error) {
	const op = "api.parts"
	media, params, err := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if err != nil || media != "multipart/form-data" || boundary == "" {
		return nil, fault.New(fault.Invalid, op, "want multipart/form-data with a boundary")
	}
	cut := fault.New(fault.Invalid, op, "a multipart body that is broken or breaks off")
	delimiter := []byte("\r\n--" + boundary)
	// The first delimiter has its line break only if something stands before it.
	if !bytes.HasPrefix(body, delimiter[2:]) {
		_, rest, found := bytes.Cut(body, delimiter)
		if !found {
			return nil, cut
		}
		body = rest
	} else {
		body = body[len(delimiter)-2:]
	}
	var parts []part
	for !bytes.HasPrefix(body, []byte("--")) {
		if len(parts) == most {
			return nil, fault.New(fault.Invalid, op, "more than %d parts", most)
		}
		line, rest, found := bytes.Cut(body, []byte("\r\n"))
		if !found || len(bytes.Trim(line, " \t")) > 0 {
			return nil, cut
		}
		p := part{}
		if p.name, rest, err = partHead(rest); err != nil {
			return nil, err
		}
		// An empty body shares its line break with the head's end.
		if bytes.HasPrefix(rest, delimiter[2:]) {
			body = rest[len(delimiter)-2:]
		} else if p.body, body, found = cutDelimiter(rest, delimiter); !found {
			return nil, cut
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// cutDelimiter cuts s at the first delimiter. What only begins like one, with
// more on its line, belongs to the part.
func cutDelimiter(s, delimiter []byte) (before, after []byte, found bool) {
	for at := 0; ; {
		i := bytes.Index(s[at:], delimiter)
		if i < 0 {
			return s, nil, false
		}
		before, after = s[:at+i], s[at+i+len(delimiter):]
		if blank := bytes.TrimLeft(after, " \t"); bytes.HasPrefix(after, []byte("--")) || bytes.HasPrefix(blank, []byte("\r\n")) {
			return before, after, true
		}
		at += i + len(delimiter)
	}
}

// maxPartHead bounds the head of a part: a disposition, and perhaps a type.
const maxPartHead = 4 << 10

// partHead reads a part's name, and returns what comes behind its head.
func partHead(s []byte) (name string, rest []byte, err error) {
	const op = "api.parts"
	for n := 0; n < maxPartHead; {
		line, _, found := bytes.Cut(s[:min(len(s), maxPartHead-n)], []byte("\r\n"))
		if !found || bytes.IndexByte(line, '\n') >= 0 { // readers differ on where such a line ends
			break
		}
		n += len(line) + 2
		s = s[len(line)+2:]
		if len(line) == 0 {
			if name == "" {
				break
			}
			return name, s, nil
		}
		key, value, _ := strings.Cut(string(line), ":")
		if !strings.EqualFold(key, "Content-Disposition") {
			continue
		}
		_, params, err := mime.ParseMediaType(value)
		if err != nil {
			break
		}
		name = params["name"]
	}
	return "", nil, fault.New(fault.Invalid, op, "a part of the body has no name")
}
