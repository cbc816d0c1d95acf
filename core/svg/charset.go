package svg

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"focal/core/fault"
)

// ErrMaxBytes is in the chain of an error that Options.MaxBytes, or the limit of
// Unzip, is the reason of: a caller who set it knows a better name for it.
var ErrMaxBytes = errors.New("the SVG has too many bytes")

// limited fails after so many bytes, where io.LimitedReader would feign an end.
type limited struct {
	r     io.Reader
	left  int64
	limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if int64(n) > l.left {
		return 0, fault.New(fault.TooLarge, op, "%w: more than %d (limit MaxBytes)", ErrMaxBytes, l.limit)
	}
	l.left -= int64(n)
	return n, err
}

// declared finds the encoding that an XML declaration names (XML 1.0, 2.8).
var declared = regexp.MustCompile(`^<\?xml[ \t\r\n][^>]*?encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._:-]*)["']`)

// declarationBytes is how far into a file the declaration is looked for.
const declarationBytes = 1024

// decode returns the text of an XML file as UTF-8, by XML 1.0, appendix F: a
// byte order mark decides, else zeros round the first "<", else the declaration,
// whose labels are those of the WHATWG Encoding Standard. UTF-8 is not checked
// here: the scanner does that.
func decode(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 32<<10)
	head, err := in.Peek(declarationBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, readError(err)
	}
	little := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	big := unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := in.Discard(3)
		return in, err
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("<\x00")):
		return decoded(in, little), nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\x00<")):
		return decoded(in, big), nil
	}
	label := declared.FindSubmatch(head)
	if label == nil {
		return in, nil
	}
	enc, err := htmlindex.Get(string(label[1]))
	if err != nil {
		return nil, fault.New(fault.Unsupported, op, "the SVG's encoding %q is not known", label[1])
	}
	// The declaration was readable as ASCII, so that it cannot be UTF-16.
	switch name, err := htmlindex.Name(enc); {
	case err != nil:
		return nil, fault.New(fault.Unsupported, op, "the SVG's encoding %q: %w", label[1], err)
	case name == "utf-8", name == "utf-16le", name == "utf-16be":
		return in, nil
	}
	return decoded(in, enc), nil
}

func decoded(r io.Reader, enc encoding.Encoding) *bufio.Reader {
	return bufio.NewReaderSize(enc.NewDecoder().Reader(r), 32<<10)
}

// readError gives an error of the source a kind, and keeps one that it has.
func readError(err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Corrupt, op, "the SVG is cut short: %w", err)
	default:
		return fault.New(fault.KindOf(err), op, "reading the SVG: %w", err)
	}
}
