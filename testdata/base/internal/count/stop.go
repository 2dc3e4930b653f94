package count

// English lists words too common to be worth counting.
var English = []string{
	"a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "is", "it",
	"no", "not", "of", "on", "or", "so", "that", "the", "to", "was", "with",
}
