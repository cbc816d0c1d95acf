package api

import (
	"bytes"
	"io"
	"mime/multipart"
	"reflect"
	"strings"
	"testing"

	"focal/core/fault"
)

const formType = "multipart/form-data; boundary=b"

func TestPartsOf_KeepsThePartsInTheirOrder(t *testing.T) {
	body := "--b\r\ncontent-disposition: form-data; name=\"image\"; filename=\"image\"\r\n\r\nab\r\n--bc\r\ncd\r\n" +
		"--b\r\ncontent-disposition: form-data; name=\"empty\"\r\n\r\n\r\n--b\r\nX: y\r\nContent-Disposition: form-data; name=last\r\n\r\n--x\r\n--b--\r\n"
	got, err := partsOf(formType, []byte(body), 3)
	want := []part{{"image", []byte("ab\r\n--bc\r\ncd")}, {"empty", []byte{}}, {"last", []byte("--x")}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := partsOf(formType, []byte(body), 2); !fault.Is(err, fault.Invalid) {
		t.Errorf("three where two are allowed: %v", err)
	}
	for _, bad := range []string{
		"", "--b", "--b\r\n", "--b\r\n\r\n", body[:len(body)-8], strings.ReplaceAll(body, "name=", "nam="), "--b\r\n" + strings.Repeat("X: y\r\n", maxPartHead) + body,
	} {
		if p, err := partsOf(formType, []byte(bad), 9); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40q: %q %v", bad, p, err)
		}
	}
	for _, bad := range []string{"", "image/jpeg", "multipart/form-data", "multipart/mixed; boundary=b", "multipart/form-data; boundary=\"b"} {
		if _, err := partsOf(bad, []byte(body), 9); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Of what this reader takes, Go's own, which is laxer, makes the same.
func FuzzPartsOf(f *testing.F) {
	f.Add([]byte("--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b\r\ncontent-disposition: form-data; name=c\r\n\r\n\r\n--b--\r\n"))
	f.Add([]byte("before\r\n--b \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--b--"))
	f.Fuzz(func(t *testing.T, body []byte) {
		parts, err := partsOf(formType, body, 8)
		if err != nil {
			return
		}
		r := multipart.NewReader(bytes.NewReader(body), "b")
		for _, p := range parts {
			q, err := r.NextRawPart()
			if err != nil {
				return // a head that Go does not like
			}
			other, err := io.ReadAll(q)
			if err != nil {
				return
			}
			if q.FormName() != "" && (q.FormName() != p.name || !bytes.Equal(other, p.body)) {
				t.Errorf("%q: %q, for Go %q %q", p.name, p.body, q.FormName(), other)
			}
		}
	})
}
