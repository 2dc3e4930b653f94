package billyfs

// Handle returns the identity of an object; Resolve finds it again, also in a
// later process. An object that is gone is Stale.
func (t *Tree) Handle(ino Ino) (Handle, error) { panic("not built") }
func (t *Tree) Resolve(h Handle) (Ino, error)  { panic("not built") }
