package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"focal/core/fault"
)

// PullOptions say how a model is fetched. The zero value is good.
type PullOptions struct {
	// Mirror is a directory or base URL that is asked for each artefact's file
	// name before any address of the manifest.
	Mirror string
	// AcceptLicence allows weights whose licence forbids commercial use.
	AcceptLicence bool
	// Progress is told the bytes that are here and those that there will be,
	// -1 where nobody knows, for every address anew.
	Progress func(done, total int64)
}

// Pulled is what Pull did.
type Pulled struct {
	Model Model
	From  string // the address that had it; empty if it was there already
}

const (
	connectTimeout = 10 * time.Second
	stallTimeout   = time.Minute // without a single byte
)

// Pull fetches a model of the catalogue, or one whose model.yaml lies in the
// repository, and installs it as a new version:
//
//  1. A licence that forbids commercial use must have been accepted.
//  2. A version whose bytes are one of the artefacts' is there: nothing to do.
//  3. The mirror is asked for each artefact, the best first.
//  4. The addresses of each artefact are asked in turn.
//
// What does not have the artefact's SHA-256 is thrown away. What was cut off
// stays, and the next Pull asks the same address for the rest. Errors:
// fault.Forbidden (1), fault.NotFound for an unknown name, fault.Upstream with
// every address and its reason, fault.Busy while another process pulls.
func (r *Repository) Pull(ctx context.Context, name string, o PullOptions) (Pulled, error) {
	const op = "models.Pull"
	m, text, err := r.wanted(name)
	if err != nil {
		return Pulled{}, err
	}
	if m.Licence.NonCommercial && !o.AcceptLicence { // 1
		return Pulled{}, fault.New(fault.Forbidden, op, "model %s is licensed %s (%s), which forbids commercial use (--accept-licence)",
			name, m.Licence.SPDX, m.Licence.URL)
	}
	if here, err := r.Model(name); err == nil { // 2
		if _, ok := m.artefact(here.File); ok {
			if err := r.writeManifest(name, text); err != nil {
				return Pulled{}, err
			}
			here, err = r.Model(name)
			return Pulled{Model: here}, err
		}
	}
	var errs []error
	for _, p := range places(m, o.Mirror) { // 3, 4
		model, err := r.pullFrom(ctx, p, name, text, o.Progress)
		if err == nil {
			return Pulled{Model: model, From: p.address}, nil
		}
		if ctx.Err() != nil || fault.Is(err, fault.Busy) || fault.Is(err, fault.Unavailable) {
			return Pulled{}, err // the caller left, or the trouble is at home
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.address, err))
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("its manifest has no address; set FOCAL_MODEL_MIRROR to a folder that has the file"))
	}
	return Pulled{}, fault.New(fault.Upstream, op, "model %s: %w", name, errors.Join(errs...))
}

// wanted returns the manifest to pull by, and its text.
func (r *Repository) wanted(name string) (Manifest, []byte, error) {
	const op = "models.Pull"
	if err := checkName(name); err != nil {
		return Manifest{}, nil, fault.New(fault.Invalid, op, "model name %w", err)
	}
	if text, ok := catalogText(name); ok {
		m, err := ParseManifest("catalog/"+name+".yaml", text)
		return m, text, err
	}
	m, err := r.manifest(name)
	if fault.Is(err, fault.NotFound) {
		return Manifest{}, nil, fault.New(fault.NotFound, op, "no model %s in the catalogue (focal models ls) or the repository", name)
	}
	if err != nil {
		return Manifest{}, nil, err
	}
	text, err := os.ReadFile(filepath.Join(r.dir, name, manifestFile))
	if err != nil {
		return Manifest{}, nil, fault.New(fault.Unavailable, op, "%w", err)
	}
	return m, text, nil
}

// place is one address of one artefact: a URL, or the path of a file.
type place struct {
	artefact Artefact
	address  string
}

func (p place) remote() bool {
	return strings.HasPrefix(p.address, "http://") || strings.HasPrefix(p.address, "https://")
}

func places(m Manifest, mirror string) []place {
	var all []place
	for _, a := range m.Artefacts {
		p := place{a, filepath.Join(mirror, a.File)}
		if (place{address: mirror}).remote() {
			p.address = strings.TrimRight(mirror, "/") + "/" + url.PathEscape(a.File)
		}
		if mirror != "" {
			all = append(all, p)
		}
	}
	for _, a := range m.Artefacts {
		for _, u := range a.URLs {
			all = append(all, place{a, u})
		}
	}
	return all
}

// pullFrom fetches from one place, checks and installs.
func (r *Repository) pullFrom(ctx context.Context, p place, name string, manifest []byte, progress func(done, total int64)) (Model, error) {
	part, err := r.partial(strings.ToLower(p.artefact.SHA256))
	if err != nil {
		return Model{}, err
	}
	defer part.close()
	switch {
	case part.size > 0 && part.check(p.artefact) == nil: // complete, and not moved
	case p.remote():
		err = download(ctx, p, part, progress)
	default:
		err = copyFile(ctx, p, part, progress)
	}
	if err != nil {
		return Model{}, err
	}
	if err := part.check(p.artefact); err != nil {
		part.discard()
		return Model{}, err
	}
	model, err := r.install(part, name, manifest)
	part.discard()
	return model, err
}

// counter writes to a part, tells how far it is, and puts off the stall.
type counter struct {
	part     *part
	total    int64
	progress func(done, total int64)
	stall    *time.Timer // nil for a file
}

func (c counter) Write(b []byte) (int, error) {
	if c.stall != nil {
		c.stall.Reset(stallTimeout)
	}
	n, err := c.part.Write(b)
	if err != nil {
		// A full disk is no fault of the address.
		return n, fault.New(fault.Unavailable, "models.Pull", "%w", err)
	}
	if c.progress != nil {
		c.progress(c.part.size, c.total)
	}
	return n, nil
}

func copyFile(ctx context.Context, p place, part *part, progress func(done, total int64)) error {
	const op = "models.Pull"
	f, err := os.Open(p.address)
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.NotFound, op, "not there")
	}
	if err != nil {
		return fault.New(fault.Upstream, op, "%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return fault.New(fault.NotFound, op, "not a file")
	}
	if err := part.restart(); err != nil {
		return err
	}
	if _, err := io.Copy(counter{part: part, total: info.Size(), progress: progress}, reader{ctx, f}); err != nil {
		return transferFailure(ctx, err)
	}
	return nil
}

// download fetches p, or the rest of it if the part came from the same address
// and the address can tell that it still has the same file.
func download(ctx context.Context, p place, part *part, progress func(done, total int64)) error {
	const op = "models.Pull"
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTimeout, func() {
		cancel(fault.New(fault.Timeout, op, "no byte came for %v", stallTimeout))
	})
	defer stall.Stop()

	client := newClient()
	defer client.CloseIdleConnections()
	resp, err := ask(ctx, client, p.address, part.size, part.validator(p.address))
	if err != nil {
		return transferFailure(ctx, err)
	}
	defer resp.Body.Close()
	resumed, err := resumes(resp, part.size)
	if err != nil {
		// Nothing is known of the rest any more: the next attempt starts anew.
		return errors.Join(err, part.restart())
	}
	if !resumed {
		if err := part.restart(); err != nil {
			return err
		}
		if err := part.remember(p.address, strongValidator(resp.Header)); err != nil {
			return err
		}
	}
	total := int64(-1)
	if resp.ContentLength >= 0 {
		total = part.size + resp.ContentLength
	}
	if want := p.artefact.Bytes; want > 0 && total >= 0 && total != want {
		return fault.New(fault.Corrupt, op, "has %d bytes, not %d", total, want)
	}
	if _, err := io.Copy(counter{part, total, progress, stall}, resp.Body); err != nil {
		return transferFailure(ctx, err)
	}
	return nil
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		DisableCompression:  true,
		ForceAttemptHTTP2:   true,
	}}
}

// ask sends the request; with a validator it asks for what is after have.
func ask(ctx context.Context, client *http.Client, address string, have int64, validator string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if have > 0 && validator != "" {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		req.Header.Set("If-Range", validator)
	}
	return client.Do(req)
}

// resumes reports whether resp goes on after have, or starts anew.
func resumes(resp *http.Response, have int64) (bool, error) {
	const op = "models.Pull"
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		return false, nil
	case code == http.StatusPartialContent:
		var first int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &first); err != nil || first != have {
			return false, fault.New(fault.Upstream, op, "sent another part (%s) than the one from %d", resp.Header.Get("Content-Range"), have)
		}
		return true, nil
	case code == http.StatusNotFound:
		return false, fault.New(fault.NotFound, op, "not there (status 404)")
	default:
		return false, fault.New(fault.Upstream, op, "answered with status %d", code)
	}
}

// strongValidator returns what If-Range may hold (RFC 9110 §13.1.5): a strong
// ETag, else the date.
func strongValidator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// transferFailure keeps the kind of an error of ours, and names the cause of a
// stall instead of its cancellation.
func transferFailure(ctx context.Context, err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fault.New(fault.KindOf(cause), "models.Pull", "%w", cause)
	}
	return fault.New(fault.Upstream, "models.Pull", "%w", err)
}
