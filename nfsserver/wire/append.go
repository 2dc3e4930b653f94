package wire

// Append methods append a message. They are no generic function, since what is
// called through an interface would be allocated.

func (a *ObjectArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *SetattrArgs) Append(b []byte) []byte     { x := appender(b); a.Code(&x); return x.b }
func (a *LookupArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *AccessArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *RangeArgs) Append(b []byte) []byte       { x := appender(b); a.Code(&x); return x.b }
func (a *WriteArgs) Append(b []byte) []byte       { x := appender(b); a.Code(&x); return x.b }
func (a *CreateArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *MkdirArgs) Append(b []byte) []byte       { x := appender(b); a.Code(&x); return x.b }
func (a *SymlinkArgs) Append(b []byte) []byte     { x := appender(b); a.Code(&x); return x.b }
func (a *MknodArgs) Append(b []byte) []byte       { x := appender(b); a.Code(&x); return x.b }
func (a *RemoveArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *RenameArgs) Append(b []byte) []byte      { x := appender(b); a.Code(&x); return x.b }
func (a *LinkArgs) Append(b []byte) []byte        { x := appender(b); a.Code(&x); return x.b }
func (a *ReaddirArgs) Append(b []byte) []byte     { x := appender(b); a.Code(&x); return x.b }
func (a *ReaddirplusArgs) Append(b []byte) []byte { x := appender(b); a.Code(&x); return x.b }
func (r *GetattrRes) Append(b []byte) []byte      { x := appender(b); r.Code(&x); return x.b }
func (r *WccRes) Append(b []byte) []byte          { x := appender(b); r.Code(&x); return x.b }
func (r *LookupRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (r *AccessRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (r *ReadlinkRes) Append(b []byte) []byte     { x := appender(b); r.Code(&x); return x.b }
func (r *ReadRes) Append(b []byte) []byte         { x := appender(b); r.Code(&x); return x.b }
func (r *WriteRes) Append(b []byte) []byte        { x := appender(b); r.Code(&x); return x.b }
func (r *MakeRes) Append(b []byte) []byte         { x := appender(b); r.Code(&x); return x.b }
func (r *RenameRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (r *LinkRes) Append(b []byte) []byte         { x := appender(b); r.Code(&x); return x.b }
func (r *ReaddirRes) Append(b []byte) []byte      { x := appender(b); r.Code(&x); return x.b }
func (r *ReaddirplusRes) Append(b []byte) []byte  { x := appender(b); r.Code(&x); return x.b }
func (r *FsstatRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (r *FsinfoRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (r *PathconfRes) Append(b []byte) []byte     { x := appender(b); r.Code(&x); return x.b }
func (r *CommitRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (a *MntArgs) Append(b []byte) []byte         { x := appender(b); a.Code(&x); return x.b }
func (r *MntRes) Append(b []byte) []byte          { x := appender(b); r.Code(&x); return x.b }
func (r *MountDumpRes) Append(b []byte) []byte    { x := appender(b); r.Code(&x); return x.b }
func (r *ExportRes) Append(b []byte) []byte       { x := appender(b); r.Code(&x); return x.b }
func (m *Mapping) Append(b []byte) []byte         { x := appender(b); m.Code(&x); return x.b }
func (r *Number) Append(b []byte) []byte          { x := appender(b); r.Code(&x); return x.b }
func (r *PmapDumpRes) Append(b []byte) []byte     { x := appender(b); r.Code(&x); return x.b }
func (*Void) Append(b []byte) []byte              { return b }
