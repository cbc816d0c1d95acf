// Package bucket reads and writes objects of S3 and of servers that speak its
// protocol.
//
// It is the one place that knows the protocol and where credentials come from:
// the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN,
// else the profile of ~/.aws/credentials that AWS_PROFILE names (read by the
// library), else none, which public buckets accept. It must not know what the
// objects are.
//
// A Bucket owns no goroutine but those of its idle connections, which Close
// ends. The bytes of an Object belong to who got it, and its Body must be
// closed.
package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"focal/core/fault"
)

// Scheme starts the address of a bucket: s3://bucket/prefix.
const Scheme = "s3://"

// Config says which server has the buckets.
type Config struct {
	// Endpoint is the base URL of the server. Other servers than Amazon's are
	// asked in path style, http://host/bucket/key.
	Endpoint string // --s3-endpoint
	// Region of the buckets; empty: the server is asked.
	Region string // --s3-region
}

// DefaultConfig returns Amazon's server.
func DefaultConfig() Config { return Config{Endpoint: amazon} }

const amazon = "https://s3.amazonaws.com"

// Validate reports an endpoint that is no plain base URL.
func (c Config) Validate() error {
	_, err := c.endpoint()
	return err
}

func (c Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.New(fault.Invalid, "bucket.Config", "--s3-endpoint: want http[s]://host[:port]")
	}
	return u, nil
}

// What an object's absence or sameness is told by.
var (
	// ErrNotFound means that there is no such object or no such bucket.
	ErrNotFound = errors.New("object does not exist")
	// ErrUnchanged answers a Get that named the version which is still there.
	ErrUnchanged = errors.New("object is unchanged")
)

// DeniedError is a refusal of the server: any 4xx but those above.
type DeniedError struct {
	Status int
	Code   string // the protocol's word, such as AccessDenied
}

// Error names the status and the server's word.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("object denied with status %d (%s)", e.Status, e.Code)
}

// Bucket is a bucket, or what has a prefix in it. It is safe for concurrent
// use.
type Bucket struct {
	name, prefix string // prefix has no slashes at its ends
	core         *minio.Core
	transport    *http.Transport
}

// Object is what the server said of an object, and its body, unread.
type Object struct {
	Body   io.ReadCloser
	Size   int64
	Header http.Header
}

// Parse reads the address of a bucket, s3://bucket[/prefix].
func Parse(address string) (name, prefix string, err error) {
	refuse := func(why string) (string, string, error) {
		return "", "", fmt.Errorf("%s: want s3://bucket[/prefix]: %s", address, why)
	}
	rest, ok := strings.CutPrefix(address, Scheme)
	if !ok {
		return refuse("it does not start so")
	}
	name, prefix, _ = strings.Cut(rest, "/")
	if err := s3utils.CheckValidBucketNameStrict(name); err != nil {
		return refuse(err.Error())
	}
	if prefix = strings.Trim(prefix, "/"); prefix == "" {
		return name, "", nil
	}
	if path.Clean("/"+prefix) != "/"+prefix || strings.ContainsAny(prefix, "\\?#%") {
		return refuse("the prefix is written plainly")
	}
	return name, prefix, nil
}

// Open makes the Bucket of an address; it asks the server nothing.
func Open(cfg Config, address string) (*Bucket, error) {
	const op = "bucket.Open"
	endpoint, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}
	name, prefix, err := Parse(address)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "%w", err)
	}
	lookup := minio.BucketLookupPath
	if strings.TrimRight(cfg.Endpoint, "/") == amazon {
		lookup = minio.BucketLookupAuto
	}
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		DisableCompression:     true, // a digest is that of the bytes as stored
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
		}),
		Secure: endpoint.Scheme == "https", Region: cfg.Region, Transport: transport,
		BucketLookup: lookup, MaxRetries: 3,
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "--s3-endpoint: %w", err)
	}
	return &Bucket{name: name, prefix: prefix, core: core, transport: transport}, nil
}

// Close ends idle connections.
func (b *Bucket) Close(context.Context) error {
	b.transport.CloseIdleConnections()
	return nil
}

// key returns the whole name of an object.
func (b *Bucket) key(name string) string {
	if b.prefix == "" {
		return name
	}
	return b.prefix + "/" + name
}

// Get opens the object of that name. A known ETag, if not empty, makes it
// ErrUnchanged where the object still has it.
func (b *Bucket) Get(ctx context.Context, name, known string) (*Object, error) {
	var options minio.GetObjectOptions
	if known != "" {
		// Not SetMatchETagExcept, which puts quotes round the quotes.
		options.Set("If-None-Match", known)
	}
	body, info, header, err := b.core.GetObject(ctx, b.name, b.key(name), options)
	if err != nil {
		return nil, failure(err)
	}
	return &Object{Body: body, Size: info.Size, Header: header}, nil
}

// Put writes an object in one piece; readers see all of it or what was before.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	_, err := b.core.Client.PutObject(ctx, b.name, b.key(name), bytes.NewReader(data), int64(len(data)),
		minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true})
	return failure(err)
}

// List returns the names, without folder and slash, of all objects whose names
// start with these.
func (b *Bucket) List(ctx context.Context, folder string) ([]string, error) {
	prefix := b.key(folder) + "/"
	var names []string
	for o := range b.core.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return names, failure(o.Err)
		}
		names = append(names, strings.TrimPrefix(o.Key, prefix))
	}
	return names, nil
}

// DeleteBelow deletes every object whose name starts with folder and a slash.
func (b *Bucket) DeleteBelow(ctx context.Context, folder string) error {
	var errs []error
	list := minio.ListObjectsOptions{Prefix: b.key(folder) + "/", Recursive: true}
	for o := range b.core.ListObjectsIter(ctx, b.name, list) {
		if o.Err != nil {
			errs = append(errs, failure(o.Err))
			break
		}
		if err := failure(b.core.RemoveObject(ctx, b.name, o.Key, minio.RemoveObjectOptions{})); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// failure sorts an error of the library; what has no status, such as a server
// that is not there, stays as it is.
func failure(err error) error {
	if err == nil {
		return nil
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	switch code := answer.StatusCode; {
	case code == http.StatusNotModified:
		return ErrUnchanged
	case code == http.StatusNotFound:
		return ErrNotFound
	case code >= 400 && code < 500:
		return &DeniedError{Status: code, Code: answer.Code}
	default:
		return err
	}
}
