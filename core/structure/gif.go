package structure

import "bytes"

// Introducers and labels of GIF89a, appendix A.
const (
	gifHeader      = 13 // signature and logical screen descriptor
	gifExtension   = 0x21
	gifImage       = 0x2c
	gifTrailer     = 0x3b
	labelControl   = 0xf9
	labelComment   = 0xfe
	labelPlainText = 0x01
	labelApp       = 0xff
)

// gif returns the offset after the trailer, by the grammar of GIF89a.
func (w *walk) gif() (end int, err error) {
	if len(w.file) < gifHeader {
		return 0, w.short(len(w.file), "the header")
	}
	at := gifHeader + gifTable(w.file[10])
	for picture := false; ; {
		if at >= len(w.file) {
			return 0, w.short(len(w.file), "the picture: no trailer")
		}
		start := at
		switch w.file[at] {
		case gifTrailer:
			if !picture {
				return 0, w.corrupt(at, "the trailer comes before any picture")
			}
			return at + 1, nil
		case gifImage:
			picture = true
			// Descriptor, local colour table, minimum code size.
			if len(w.file)-at < 10 {
				return 0, w.short(at, "a picture's descriptor")
			}
			at += 11 + gifTable(w.file[at+9])
			at, err = w.blocks(at)
		case gifExtension:
			if len(w.file)-at < 2 {
				return 0, w.short(at, "an extension")
			}
			if at, err = w.blocks(at + 2); err == nil {
				err = w.extension(start, at)
			}
		default:
			return 0, w.corrupt(at, "block %02X is not known", w.file[at])
		}
		if err != nil {
			return 0, err
		}
	}
}

// gifTable returns the bytes of the colour table that a packed field announces.
func gifTable(packed byte) int {
	if packed&0x80 == 0 {
		return 0
	}
	return 3 << (packed&7 + 1)
}

// blocks returns the offset after the data sub-blocks at.
func (w *walk) blocks(at int) (int, error) {
	for at < len(w.file) {
		n := int(w.file[at])
		at += 1 + n
		if n == 0 {
			return at, nil
		}
	}
	return 0, w.short(len(w.file), "a block")
}

// extension notes the extension w.file[from:to].
func (w *walk) extension(from, to int) error {
	body := w.file[from+2 : to]
	switch w.file[from+1] {
	case labelControl, labelPlainText:
		return nil
	case labelComment:
		return w.note("comment", Comment, from, to)
	case labelApp:
		kind := Other
		switch {
		case bytes.HasPrefix(body, []byte("\x0bNETSCAPE2.0")), bytes.HasPrefix(body, []byte("\x0bANIMEXTS1.0")):
			kind = 0
		case bytes.HasPrefix(body, []byte("\x0bXMP DataXMP")):
			kind = xmpKind(body)
		case bytes.HasPrefix(body, []byte("\x0bICCRGBG1012")):
			kind = ICC
		case bytes.HasPrefix(body, []byte("\x0bC2PA_GIF")):
			kind = Credentials
		}
		return w.note("application", kind, from, to)
	default:
		return w.note("extension", Other, from, to)
	}
}
