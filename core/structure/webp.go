package structure

import "encoding/binary"

const riffHeader = 12 // "RIFF", size, "WEBP"

// webp returns the offset after the RIFF container (RFC 9649, 2.3 to 2.7). Its
// size must be even and its chunks must fill it exactly.
func (w *walk) webp() (end int, err error) {
	size := uint64(binary.LittleEndian.Uint32(w.file[4:]))
	if size+8 > uint64(len(w.file)) {
		return 0, w.short(len(w.file), "the container")
	}
	if size < riffHeader-8 || size%2 != 0 {
		return 0, w.corrupt(4, "a container of %d bytes", size)
	}
	end = int(size) + 8
	picture := false
	for at := riffHeader; at < end; {
		if end-at < 8 {
			return 0, w.corrupt(at, "the container ends inside a chunk's header")
		}
		name, length := string(w.file[at:at+4]), uint64(binary.LittleEndian.Uint32(w.file[at+4:]))
		if length+length%2 > uint64(end-at-8) {
			return 0, w.corrupt(at, "chunk %q is longer than its container", name)
		}
		after := at + 8 + int(length+length%2)
		body := w.file[at+8 : at+8+int(length)]
		switch name {
		case "VP8 ", "VP8L", "ANMF":
			picture = true
		case "VP8X", "ALPH", "ANIM":
		case "EXIF":
			err = w.note(name, exifKind(body), at, after)
		case "XMP ":
			err = w.note(name, xmpKind(body), at, after)
		case "ICCP":
			err = w.note(name, ICC, at, after)
		case "C2PA":
			err = w.note(name, Credentials, at, after)
		default:
			err = w.note("chunk", Other, at, after)
		}
		if err != nil {
			return 0, err
		}
		at = after
	}
	if !picture {
		return 0, w.corrupt(end, "no picture in the container")
	}
	return end, nil
}
