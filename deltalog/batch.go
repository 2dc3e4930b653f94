package deltalog

// Batch collects the changes of one operation. It is not for concurrent use.
// Data slices are kept, not copied, until Append returns. After Append it can
// be Reset and used again.
type Batch struct{}

func (b *Batch) Reset()                                                       {}
func (b *Batch) Inode(l LayerID, ino Ino, r *Inode)                           {}
func (b *Batch) Entry(l LayerID, dir Ino, cookie uint64, name string, e Entry) {}
func (b *Batch) EntryGone(l LayerID, dir Ino, cookie uint64, name string)     {}
func (b *Batch) Data(l LayerID, ino Ino, off int64, p []byte)                 {}
func (b *Batch) Truncate(l LayerID, ino Ino, length uint64)                   {}
func (b *Batch) Drop(l LayerID, ino Ino)                                      {}
func (b *Batch) Origin(l LayerID, ino Ino, o Origin)                          {}
func (b *Batch) Tag(tag []byte)                                               {}
