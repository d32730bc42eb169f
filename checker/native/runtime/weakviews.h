/* Views, and the messages and views of a state: part of weakmachine.h. */

enum { DEPTH = LZ_HISTORY + 1, PARTS = (LZ_LOCATIONS + 15) / 16 };

typedef int8_t entries __attribute__((vector_size(16)));
typedef uint64_t halves __attribute__((vector_size(16)));

struct view {
	entries part[PARTS];
};

/* -- states */

enum { HAS_CF = 1, HAS_FV = 2, HAS_OWNV = 4, HAS_ATT = 8, HAS_DEP = 16 };

struct agent {
	struct view cur, acq, wmb, own, f, ul_acq, ul_own;
};

/* An access that is put off: its number among those that may be, and its location + 1. */
struct deferred {
	uint16_t late;
	uint8_t location;
	bool flagged;
};

struct weak {
	struct view barriers;
	struct agent agents[LZ_AGENTS];
	struct view registers[LZ_REGISTERS + 1];
	bool unlocked[LZ_AGENTS]; /* ul_acq and ul_own are set */
	uint8_t pending[LZ_AGENTS];
	struct deferred deferred[LZ_AGENTS][LZ_DEFER + 1];
	uint8_t count[LZ_LOCATIONS];
	uint8_t flags[LZ_LOCATIONS][DEPTH]; /* which views of a message are there: a missing one is zero */
	/* from here on only what the counts and flags say is there */
	uint64_t values[LZ_LOCATIONS][DEPTH][LZ_SPREAD]; /* of the older messages */
	struct view cf[LZ_LOCATIONS][DEPTH], fv[LZ_LOCATIONS][DEPTH], ownv[LZ_LOCATIONS][DEPTH];
#if LZ_REGISTERS
	struct view dep[LZ_LOCATIONS][DEPTH];
	uint8_t stored_by[LZ_LOCATIONS][DEPTH]; /* whose dependency `dep` is */
#endif
};

struct found {
	uint32_t rule;
	struct state state;
};

/* The state that is being expanded, and its successors so far. */
struct memory {
	struct weak now, work;
	const struct state *from;
	const struct state *seen; /* as a step sees it: where something is made that was put off, its thread is there */
	const struct late *made;  /* what that is, if anything */
	bool flagged;             /* and smp_rmb() came behind it */
	bool faulted;             /* a fault is possible at the place at hand */
	uint64_t told;            /* the walkers that hear of the step at hand */
	struct found *found;
	size_t count, room;
};

static const struct view zero;

/* -- views */

static inline int8_t *entry(struct view *v, int l)
{
	return (int8_t *)v + l;
}

static inline int at(const struct view *v, int l)
{
	return ((const int8_t *)v)[l];
}

static inline entries most(entries a, entries b)
{
	entries more = a > b;

	return (a & more) | (b & ~more);
}

static inline entries least(entries a, entries b)
{
	entries less = a < b;

	return (a & less) | (b & ~less);
}

static inline void join(struct view *v, const struct view *other)
{
	for (int i = 0; i < PARTS; i++)
		v->part[i] = most(v->part[i], other->part[i]);
}

static inline void meet(struct view *v, const struct view *other)
{
	for (int i = 0; i < PARTS; i++)
		v->part[i] = least(v->part[i], other->part[i]);
}

static inline bool any(const struct view *v)
{
	entries all = v->part[0];

	for (int i = 1; i < PARTS; i++)
		all |= v->part[i];
	return ((halves)all)[0] | ((halves)all)[1];
}

static inline void at_least(struct view *v, int l, int i)
{
	if (at(v, l) < i)
		*entry(v, l) = (int8_t)i;
}

/* A view after a message was put in at p. */
static inline void moved(struct view *v, int l, int p)
{
	*entry(v, l) = (int8_t)(at(v, l) + (at(v, l) >= p));
}

static inline const struct view *cf_of(const struct weak *w, int l, int i)
{
	return w->flags[l][i] & HAS_CF ? &w->cf[l][i] : &zero;
}

static inline const struct view *fv_of(const struct weak *w, int l, int i)
{
	return w->flags[l][i] & HAS_FV ? &w->fv[l][i] : &zero;
}

static inline bool quiet(const struct weak *w, int l)
{
	return w->count[l] == 1 && !w->flags[l][0];
}

enum { MOST_VIEWS = 1 + 7 * LZ_AGENTS + LZ_REGISTERS + 4 * LZ_LOCATIONS * DEPTH };

/* All views of a state; how many they are. */
static int views_of(struct weak *w, struct view **all)
{
	int count = 0;

	all[count++] = &w->barriers;
	for (int a = 0; a < LZ_AGENTS; a++)
		for (int k = 0; k < (w->unlocked[a] ? 7 : 5); k++)
			all[count++] = &w->agents[a].cur + k;
	for (int r = 0; r < LZ_REGISTERS; r++)
		all[count++] = &w->registers[r];
	for (int l = 0; l < LZ_LOCATIONS; l++)
		for (int i = 0; i < w->count[l]; i++) {
			uint8_t flags = w->flags[l][i];

			if (flags & HAS_CF)
				all[count++] = &w->cf[l][i];
			if (flags & HAS_FV)
				all[count++] = &w->fv[l][i];
			if (flags & HAS_OWNV)
				all[count++] = &w->ownv[l][i];
#if LZ_REGISTERS
			if (flags & HAS_DEP)
				all[count++] = &w->dep[l][i];
#endif
		}
	return count;
}

static inline void copy_message(struct weak *to, int k, const struct weak *from, int l, int i)
{
	uint8_t flags = from->flags[l][i];

	memmove(to->values[l][k], from->values[l][i], sizeof to->values[l][k]);
	if (flags & HAS_CF)
		to->cf[l][k] = from->cf[l][i];
	if (flags & HAS_FV)
		to->fv[l][k] = from->fv[l][i];
	if (flags & HAS_OWNV)
		to->ownv[l][k] = from->ownv[l][i];
#if LZ_REGISTERS
	to->stored_by[l][k] = from->stored_by[l][i];
	if (flags & HAS_DEP)
		to->dep[l][k] = from->dep[l][i];
#endif
	to->flags[l][k] = flags;
}

static void copy(struct weak *to, const struct weak *from)
{
	memcpy(to, from, offsetof(struct weak, values));
	for (int l = 0; l < LZ_LOCATIONS; l++)
		for (int i = 0; i < from->count[l] && !quiet(from, l); i++)
			copy_message(to, i, from, l, i);
}

/* -- parts of values */

static inline int piece_value(const uint64_t *word, const struct piece *p)
{
	return (int)(*word >> p->shift & p->mask) + p->lo;
}

static inline void set_piece(uint64_t *word, const struct piece *p, int value)
{
	*word = (*word & ~(p->mask << p->shift)) | (uint64_t)(value - p->lo) << p->shift;
}

/* Where a piece of message i of location l is; in the packed state if there is no location, or for the latest. */
static inline uint64_t *piece_word(struct weak *w, struct state *n, int l, int i, const struct piece *p)
{
	return l < 0 || i == w->count[l] - 1 ? &n->w[p->word] : &w->values[l][i][p->part];
}
