package billyfs

// MaxAncestors is how many bytes of numbers of directories a handle can carry.
const MaxAncestors = 22
