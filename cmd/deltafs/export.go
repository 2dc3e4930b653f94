package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"deltafs/billyfs"
	"deltafs/deltalog"
)

const exportLong = `Write the changes of a line, or all that it shows, to somewhere else. One of

  --tar FILE    what is new or changed, as a tar archive. What was removed is not in it
  --oci FILE    the same as a layer of an OCI image, with whiteouts for what was removed
  --patch FILE  what diff prints
  --to DIR      all that the line shows, base and changes, in a new directory

FILE may be - for standard output; one that ends in .gz or .tgz is compressed. What was
renamed is written whole under its new name. Clients may go on meanwhile; what they
change may be there or not. Sockets are left out, and with --to all special files.`

// exportForms are the forms of an archive.
var exportForms = map[string]billyfs.ExportOptions{
	"tar": {}, "oci": {Whiteouts: true}, "tree": {All: true},
}

// exported is what an archive holds, and how much is not in it, in numbers.
type exported struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	Gone  int   `json:"gone"`
	Left  int   `json:"left"`
}

// exportFlags are the flags of export.
type exportFlags struct {
	tar, oci, patch, to string
	fork                string
	ignore              []string
}

func newExport(u *ui) *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export [STORE] --tar FILE|--oci FILE|--patch FILE|--to DIR",
		Short: "Write the changes, or all that a line shows, somewhere else",
		Long:  exportLong,
		Example: `  deltafs export ~/delta --oci layer.tar.gz
  deltafs export ~/delta --to /var/tmp/merged
  deltafs export --fork try-this ~/delta --tar - | tar t`,
		Args:              takesStore(),
		ValidArgsFunction: directories,
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := findStore(first(args))
			if err != nil {
				return err
			}
			return f.run(c.Context(), u, dir)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.tar, "tar", "", "write what is new or changed to this `FILE`")
	fl.StringVar(&f.oci, "oci", "", "write an image layer to this `FILE`")
	fl.StringVar(&f.patch, "patch", "", "write a patch to this `FILE`")
	fl.StringVar(&f.to, "to", "", "write all that the line shows to this new `DIR`")
	forkFlag(c, &f.fork)
	ignoreFlag(c, &f.ignore)
	return c
}

func (f exportFlags) run(ctx context.Context, u *ui, dir string) error {
	if _, err := ignoring(f.ignore); err != nil {
		return err
	}
	n := 0
	for _, s := range []string{f.tar, f.oci, f.patch, f.to} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return &fault{Err: usagef("export takes one of --tar, --oci, --patch and --to"), Code: exitUsage, Hint: "deltafs export --help"}
	}
	switch {
	case f.patch != "":
		_, err := toFile(u, f.patch, func(w io.Writer) (e exported, err error) {
			return e, diff(ctx, w, dir, f.fork, nil, f.ignore)
		})
		return err
	case f.to != "":
		return f.toDir(ctx, u, dir)
	}
	form, name := "tar", f.tar
	if f.oci != "" {
		form, name = "oci", f.oci
	}
	e, err := toFile(u, name, func(w io.Writer) (exported, error) { return archive(ctx, w, dir, form, f.fork, f.ignore) })
	if err != nil || name == "-" {
		return err
	}
	s := fmt.Sprintf("%s: %d files, %s", quote(name), e.Files, humanize.IBytes(uint64(e.Bytes)))
	switch {
	case form == "oci":
		s += fmt.Sprintf(", %d whiteouts", e.Gone)
	case e.Gone > 0:
		s += fmt.Sprintf("; removed paths are not in it: %d", e.Gone)
	}
	if e.Left > 0 {
		s += fmt.Sprintf("; sockets left out: %d", e.Left)
	}
	return u.printf("%s\n", s)
}

// toFile lets write write a file, which is there in whole or not at all.
func toFile(u *ui, name string, write func(io.Writer) (exported, error)) (e exported, err error) {
	if name == "-" {
		b := bufio.NewWriter(u.out)
		e, err = write(b)
		return e, errors.Join(err, b.Flush())
	}
	wrap := func(err error) error { return &fault{Op: "write", Path: name, Err: bare(err)} }
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return e, wrap(err)
	}
	defer os.Remove(tmp.Name()) // there is none by that name any more if all went well
	b := bufio.NewWriterSize(tmp, 256<<10)
	var w io.Writer = b
	end := func() error { return nil }
	if strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".tgz") {
		z := gzip.NewWriter(b)
		w, end = z, z.Close
	}
	e, err = write(w)
	if err != nil {
		tmp.Close()
		return e, err
	}
	if err := errors.Join(end(), b.Flush(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return e, wrap(err)
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return e, wrap(err)
	}
	return e, nil
}

// archive asks the server of a store, or else the store itself.
func archive(ctx context.Context, w io.Writer, dir, form, fork string, ignore []string) (e exported, err error) {
	if r, ok := dialServer(ctx, dir); ok {
		return r.archive(ctx, w, form, fork, ignore)
	}
	err = withLines(dir, deltalog.Options{ReadOnly: true}, func(ls *lines) error {
		e, err = ls.archive(w, form, fork, ignore)
		return err
	})
	return e, err
}

func (ls *lines) archive(w io.Writer, form, fork string, ignore []string) (exported, error) {
	o, ok := exportForms[form]
	if !ok {
		return exported{}, fmt.Errorf("form %q is not one of tar, oci, tree", form)
	}
	var err error
	if o.Ignore, err = ignoring(ignore); err != nil {
		return exported{}, err
	}
	t, err := ls.tree(fork)
	if err != nil {
		return exported{}, err
	}
	x, err := t.Export(w, o)
	return exported{Files: x.Files, Bytes: x.Bytes, Gone: len(x.Gone), Left: len(x.Left)}, err
}

// exportTrailer is the trailer of an archive from a server: exported as JSON, or
// nothing, and diffTrailer says why.
const exportTrailer = "Deltafs-Exported"

// handleExport answers GET /v1/export?form=FORM&fork=LINE&ignore=PATTERN.
func handleExport(w http.ResponseWriter, r *http.Request, e *export) {
	q := r.URL.Query()
	w.Header().Set("Trailer", diffTrailer+", "+exportTrailer)
	w.Header().Set("Content-Type", "application/x-tar")
	b := bufio.NewWriterSize(w, 256<<10)
	x, err := e.lines.archive(b, q.Get("form"), q.Get("fork"), q["ignore"])
	if err = errors.Join(err, b.Flush()); err != nil {
		w.Header().Set(diffTrailer, strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	numbers, _ := json.Marshal(x) // of numbers: never fails
	w.Header().Set(exportTrailer, string(numbers))
	w.Header().Set(diffTrailer, "ok")
}

func (r *remote) archive(ctx context.Context, w io.Writer, form, fork string, ignore []string) (e exported, err error) {
	q := url.Values{"form": {form}, "fork": {fork}, "ignore": ignore}
	err = r.callFor(ctx, http.MethodGet, "/v1/export?"+q.Encode(), func(resp *http.Response) error {
		if _, err := io.Copy(w, resp.Body); err != nil {
			return err
		}
		if err := ended(resp); err != nil {
			return err
		}
		return json.Unmarshal([]byte(resp.Trailer.Get(exportTrailer)), &e)
	})
	return e, err
}

// toDir makes a new directory of all that a line shows.
func (f exportFlags) toDir(ctx context.Context, u *ui, dir string) error {
	empty, err := missingOrEmpty(f.to)
	if err != nil {
		return err
	}
	if !empty {
		return &fault{Op: "export", Path: f.to, Err: errors.New("the directory is not empty"), Hint: "give a new one"}
	}
	if err := os.MkdirAll(f.to, 0o777); err != nil {
		return &fault{Op: "create", Path: f.to, Err: bare(err)}
	}
	root, err := os.OpenRoot(f.to)
	if err != nil {
		return &fault{Op: "open", Path: f.to, Err: bare(err)}
	}
	defer root.Close()
	pr, pw := io.Pipe()
	var e exported
	go func() {
		var err error
		e, err = archive(ctx, pw, dir, "tree", f.fork, f.ignore)
		pw.CloseWithError(err) // nil is the end
	}()
	x := unpacker{root: root}
	err = x.run(tar.NewReader(pr))
	if err == nil {
		_, err = io.Copy(io.Discard, pr) // until e is there
	}
	pr.CloseWithError(err)
	if err != nil {
		return &fault{Op: "export to", Path: f.to, Err: bare(err), Hint: "what is there is not all; remove it"}
	}
	s := fmt.Sprintf("%s: %d files, %s", quote(f.to), e.Files-x.left, humanize.IBytes(uint64(e.Bytes)))
	if n := e.Left + x.left; n > 0 {
		s += fmt.Sprintf("; special files left out: %d", n)
	}
	if x.owners > 0 {
		s += fmt.Sprintf("; owners that only root can give: %d", x.owners)
	}
	return u.printf("%s\n", s)
}

// unpacker makes files of an archive of ours.
type unpacker struct {
	root   *os.Root
	left   int // special files
	owners int // that could not be set
	dirs   []*tar.Header
}

func (x *unpacker) run(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := x.member(h, r); err != nil {
			return err
		}
	}
	for _, h := range x.dirs { // what is in them is there
		if err := x.attributes(h); err != nil {
			return err
		}
	}
	return nil
}

func (x *unpacker) member(h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		x.dirs = append(x.dirs, h)
		return x.root.MkdirAll(h.Name, 0o700)
	case tar.TypeSymlink:
		if err := x.root.Symlink(h.Linkname, h.Name); err != nil {
			return err
		}
		return x.owner(h)
	case tar.TypeLink:
		return x.root.Link(h.Linkname, h.Name)
	case tar.TypeReg:
	default:
		x.left++
		return nil
	}
	f, err := x.root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return x.attributes(h)
}

func (x *unpacker) owner(h *tar.Header) error {
	err := x.root.Lchown(h.Name, h.Uid, h.Gid)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		x.owners++
		return nil
	}
	return err
}

// attributes sets owner, mode and times, in this order: a change of owner takes the
// set-user-id bit away.
func (x *unpacker) attributes(h *tar.Header) error {
	if err := x.owner(h); err != nil {
		return err
	}
	name := strings.TrimSuffix(h.Name, "/")
	if err := x.root.Chmod(name, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return x.root.Chtimes(name, h.AccessTime, h.ModTime)
}
