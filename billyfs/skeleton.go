package billyfs

func (t *Tree) Lookup(dir Ino, name string) (Attr, error)              { panic("not built") }
func (t *Tree) Attr(ino Ino) (Attr, error)                             { panic("not built") }
func (t *Tree) SetAttr(c Caller, ino Ino, s SetAttr) (Change, error)   { panic("not built") }
func (t *Tree) Readlink(ino Ino) (string, error)                       { panic("not built") }
func (t *Tree) ReadAt(ino Ino, p []byte, off int64) (int, bool, error) { panic("not built") }
func (t *Tree) WriteAt(c Caller, ino Ino, p []byte, off int64) (Change, error) {
	panic("not built")
}
func (t *Tree) Create(c Caller, dir Ino, name string, how CreateHow) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Mkdir(c Caller, dir Ino, name string, s SetAttr) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Symlink(c Caller, dir Ino, name, target string, s SetAttr) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Mknod(c Caller, dir Ino, name string, typ, major, minor uint32, s SetAttr) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Link(c Caller, ino, dir Ino, name string) (Attr, Change, error) {
	panic("not built")
}
func (t *Tree) Remove(c Caller, dir Ino, name string) (Change, error) { panic("not built") }
func (t *Tree) Rmdir(c Caller, dir Ino, name string) (Change, error)  { panic("not built") }
func (t *Tree) Rename(c Caller, fromDir Ino, fromName string, toDir Ino, toName string) (from, to Change, err error) {
	panic("not built")
}
func (t *Tree) ReadDir(dir Ino, cookie uint64, fn func(DirEntry) bool) (eof bool, err error) {
	panic("not built")
}
