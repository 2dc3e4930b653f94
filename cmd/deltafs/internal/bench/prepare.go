package bench

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"deltafs/nfsserver/wire"
)

// Dir is the name of the directory, in what is exported, that holds the files of
// the load.
const Dir = "deltafs-bench"

// Fresh is how many rounds of the rows can be run that need files which nobody
// has touched.
const Fresh = 5

// Sizes of the load, in bytes but for the last two.
type Sizes struct {
	Big                        int64 // the file that is read
	Written                    int64 // of write-1m and write-4k
	Synced                     int64 // of sync-4k
	First1M, First1G, First10G int64 // files that a block is written into
	Listed                     int   // entries of a directory that is listed
	Writes                     int   // of write-4k before its COMMIT
}

// Full is what figures are to be measured with, Small what a try is made with.
var (
	Full  = Sizes{Big: gib, Written: 256 * mib, Synced: 64 * mib, First1M: mib, First1G: gib, First10G: 10 * gib, Listed: 20000, Writes: 20000}
	Small = Sizes{Big: 8 * mib, Written: 8 * mib, Synced: 2 * mib, First1M: mib, First1G: 4 * mib, First10G: 16 * mib, Listed: 500, Writes: 500}
)

const (
	preparedFiles = 1000 // of getattr and lookup
	fileSize      = 4 * kib
)

// fileName is the name of a file of a directory that has many.
func fileName(i int) string { return fmt.Sprintf("file-%06d", i) }

// maker makes files, locally or on a server.
type maker interface {
	mkdir(name string) error
	// files makes the files 0 to n-1 of a directory, with size bytes each.
	files(dir string, n, size int) error
	// file makes one. One that is sparse has nothing but its last byte.
	file(name string, size int64, sparse bool) error
}

// prepare makes the files of the load in directory Dir, which must not exist.
func prepare(m maker, z *Sizes) error {
	if err := m.mkdir(Dir); err != nil {
		return err
	}
	dirs := []struct {
		name    string
		n, size int
	}{{"files", preparedFiles, fileSize}}
	for i := range Fresh {
		dirs = append(dirs, struct {
			name    string
			n, size int
		}{fmt.Sprint("list-", i), z.Listed, 0})
	}
	for _, d := range dirs {
		name := path.Join(Dir, d.name)
		if err := m.mkdir(name); err != nil {
			return err
		}
		if err := m.files(name, d.n, d.size); err != nil {
			return err
		}
	}
	if err := m.file(path.Join(Dir, "big"), z.Big, false); err != nil {
		return err
	}
	for i := range Fresh {
		for _, f := range []struct {
			name   string
			size   int64
			sparse bool
		}{{"first-1m", z.First1M, false}, {"first-1g", z.First1G, false}, {"first-10g", z.First10G, true}} {
			if err := m.file(path.Join(Dir, fmt.Sprint(f.name, "-", i)), f.size, f.sparse); err != nil {
				return err
			}
		}
	}
	return nil
}

// Prepare makes the files of the load below a directory of this machine, that is
// then exported. They take some 6 GiB with the full sizes. An error says which
// file could not be made; what was made is left.
func Prepare(dir string, z *Sizes) error { return prepare(localMaker(dir), z) }

type localMaker string

func (m localMaker) path(name string) string {
	return filepath.Join(string(m), filepath.FromSlash(name))
}

func (m localMaker) mkdir(name string) error { return os.Mkdir(m.path(name), 0o755) }

func (m localMaker) files(dir string, n, size int) error {
	for i := range n {
		if err := os.WriteFile(filepath.Join(m.path(dir), fileName(i)), content(0, size, 0), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (m localMaker) file(name string, size int64, sparse bool) (err error) {
	f, err := os.OpenFile(m.path(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	off := int64(0)
	if sparse {
		off = size - 1
	}
	for off < size {
		n := int(min(mib, size-off))
		if _, err := f.WriteAt(content(off, n, 0), off); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// remoteMaker makes files through a server.
type remoteMaker struct {
	*session
	dirs map[string][]byte // handles
}

func (m remoteMaker) mkdir(name string) error {
	dir, base := path.Split(name)
	h, err := m.newDir(m.dirs[strings.TrimSuffix(dir, "/")], base)
	m.dirs[name] = h
	return err
}

func (m remoteMaker) files(dir string, n, size int) error {
	_, err := m.run(m.ctx, 16, n, 0, load{
		call: func(o *op, c *conn) error {
			if o.step == 0 {
				o.create = wire.CreateArgs{Where: wire.DirOp{Dir: m.dirs[dir], Name: []byte(fileName(o.i))}, Attr: wire.Sattr{SetMode: true, Mode: 0o644}}
				return c.send(o, wire.ProcCreate, &o.create)
			}
			o.write = wire.WriteArgs{File: o.fh, Count: uint32(size), Data: content(0, size, 0)}
			return c.send(o, wire.ProcWrite, &o.write)
		},
		reply: func(o *op, res []byte) (bool, error) {
			if o.step > 0 {
				return false, written(res, size, wire.Unstable)
			}
			h, err := handleMade(res)
			o.fh = h
			return size > 0, err
		},
	})
	return err
}

func (m remoteMaker) file(name string, size int64, sparse bool) error {
	dir, base := path.Split(name)
	h, err := m.create(m.dirs[strings.TrimSuffix(dir, "/")], base)
	if err != nil {
		return err
	}
	if sparse {
		_, err = m.run(m.ctx, 1, 1, 0, write(h, 1, wire.FileSync, func(int) int64 { return size - 1 }, original))
		return err
	}
	_, err = m.run(m.ctx, 8, int(size/mib), 0, write(h, mib, wire.Unstable, func(i int) int64 { return int64(i) * mib }, original))
	return errors.Join(err, m.commit(h))
}

// handleMade is the handle in the results of CREATE or MKDIR.
func handleMade(res []byte) ([]byte, error) {
	var r wire.MakeRes
	if err := decode(res, r.Code); err != nil {
		return nil, err
	}
	if err := status("CREATE or MKDIR", r.Status); err != nil {
		return nil, err
	}
	if !r.Object.OK {
		return nil, errors.New("CREATE or MKDIR: no handle in its results")
	}
	return slices.Clone(r.Object.Handle), nil
}

// create makes an empty file.
func (s *session) create(dir []byte, name string) (h []byte, err error) {
	a := wire.CreateArgs{Where: wire.DirOp{Dir: dir, Name: []byte(name)}, Attr: wire.Sattr{SetMode: true, Mode: 0o644}}
	return s.made(wire.ProcCreate, a.Append, name)
}

func (s *session) newDir(dir []byte, name string) (h []byte, err error) {
	a := wire.MkdirArgs{Where: wire.DirOp{Dir: dir, Name: []byte(name)}, Attr: wire.Sattr{SetMode: true, Mode: 0o755}}
	return s.made(wire.ProcMkdir, a.Append, name)
}

func (s *session) made(proc uint32, args func([]byte) []byte, name string) (h []byte, err error) {
	var res []byte
	err = s.conns[0].one(s.ctx, wire.ProgNFS, proc, args, func(x *wire.XDR) { res = x.Rest() })
	if err == nil {
		h, err = handleMade(res)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return h, err
}
