package billyfs

import (
	"log/slog"

	"github.com/go-git/go-billy/v5"

	"deltafs/deltalog"
)

type base struct{}

type place struct {
	parent Ino
	name   string
}

type baseOptions struct {
	immutable bool
	log       *slog.Logger
	origin    func(Ino) (place, bool, error)
	now       func() int64
}

type driftState int

const (
	driftNone driftState = iota
	driftSoft
	driftHard
)

func openBase(fs billy.Filesystem, key [32]byte, o baseOptions) (*base, error) { panic("not built") }

func (b *base) Root() Ino                                        { panic("not built") }
func (b *base) Lookup(dir Ino, name string) (Ino, error)         { panic("not built") }
func (b *base) Attr(ino Ino) (Attr, error)                       { panic("not built") }
func (b *base) ReadDir(dir Ino) ([]DirEntry, error)              { panic("not built") }
func (b *base) ReadAt(ino Ino, p []byte, off int64) (int, error) { panic("not built") }
func (b *base) Readlink(ino Ino) (string, error)                 { panic("not built") }

func (b *base) place(ino Ino) (place, error)                               { panic("not built") }
func (b *base) gen(ino Ino) (uint32, error)                                { panic("not built") }
func (b *base) shared(ino Ino) (bool, error)                               { panic("not built") }
func (b *base) fingerprint(ino Ino) (deltalog.Fingerprint, error)          { panic("not built") }
func (b *base) drift(ino Ino, fp deltalog.Fingerprint) (driftState, error) { panic("not built") }
func (b *base) find(h Handle) (Ino, error)                                 { panic("not built") }
func (b *base) close() error                                               { panic("not built") }

func cookieOf(key [32]byte, name string) uint64 { panic("not built") }
