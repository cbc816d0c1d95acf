package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"focal/core/fault"
)

// fetchFile reads a regular file under Root. os.Root sees to it that neither
// the path nor a symbolic link in it leaves the directory; absolute links are
// refused even if they lead back inside. Root is opened for each file, so that
// an operator may swap the directory, or a link to it, under a running server.
func (f *Fetcher) fetchFile(ctx context.Context, path string) (*Original, error) {
	root, err := os.OpenRoot(f.cfg.Root)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "source.Fetch", "%w", &failure{"the source directory cannot be opened (--root)", err})
	}
	defer root.Close()
	// Non-blocking, or opening a FIFO would wait for its writer.
	file, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileFailure(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fileFailure(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.NotFound, "source.Fetch", "source is not a file")
	}
	o, err := f.read(ctx, file, info.Size())
	switch {
	case errors.Is(err, errCut), errors.Is(err, errTooLong):
		return nil, fault.New(fault.Upstream, "source.Fetch", "source changed while it was read")
	case err != nil && ctx.Err() != nil:
		return nil, f.failure(ctx, err)
	case err != nil:
		return nil, fileFailure(err)
	}
	o.LastModified = info.ModTime()
	o.ETag = `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
	return o, nil
}

// fileFailure keeps paths out of the text. An error without a number of the
// operating system is os.Root's: the path leads outside.
func fileFailure(err error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	var number syscall.Errno
	k, public := fault.Internal, "source cannot be read"
	switch {
	case errors.Is(err, fs.ErrPermission):
		k, public = fault.Denied, "source may not be read"
	case !errors.As(err, &number), errors.Is(err, fs.ErrNotExist), number == syscall.ENOTDIR, number == syscall.EISDIR,
		number == syscall.ENAMETOOLONG, number == syscall.ELOOP, number == syscall.ENXIO, number == syscall.EINVAL:
		k, public = fault.NotFound, "source does not exist"
	}
	return fault.New(k, "source.Fetch", "%w", &failure{public, err})
}
