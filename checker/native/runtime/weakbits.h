/*
 * Messages and views as bits, behind the packed state: part of weakmachine.h.
 *
 * First how many messages each location has.  An entry of a view can only be other than zero where there are
 * several, so views have entries for these locations only, and where a view is zero or the same as the one before
 * it that is all that is written.  A memory in which nothing has happened is all zeros.
 */

struct bits {
	uint64_t *words;
	unsigned at, end;
	bool full;
};

/* Of the state at hand: the locations that have entries in views. */
struct shape {
	unsigned count;
	uint8_t of[LZ_LOCATIONS];
};

enum { LATE_BITS = 12, PENDING_BITS = LZ_DEFER > 3 ? 3 : LZ_DEFER > 1 ? 2 : LZ_DEFER };
enum { ENTRY_BITS = LZ_HISTORY > 8 ? 4 : LZ_HISTORY > 4 ? 3 : LZ_HISTORY > 2 ? 2 : LZ_HISTORY > 1 };

static inline void give(struct bits *b, uint64_t value, unsigned count)
{
	unsigned word = b->at / 64, shift = b->at % 64;

	if (!count)
		return;
	b->at += count;
	if (b->at > b->end) {
		b->full = true;
		return;
	}
	b->words[word] |= value << shift;
	if (shift + count > 64)
		b->words[word + 1] |= value >> (64 - shift);
}

static inline uint64_t take(struct bits *b, unsigned count)
{
	unsigned word = b->at / 64, shift = b->at % 64;
	uint64_t value;

	if (!count)
		return 0;
	b->at += count;
	value = b->words[word] >> shift;
	if (shift + count > 64)
		value |= b->words[word + 1] << (64 - shift);
	return count == 64 ? value : value & ((UINT64_C(1) << count) - 1);
}

static inline void give_view(struct bits *b, const struct shape *shape, const struct view *v)
{
	uint64_t gathered = 0;
	unsigned used = 0;

	for (unsigned k = 0; k < shape->count; k++) {
		gathered |= (uint64_t)at(v, shape->of[k]) << used;
		used += ENTRY_BITS;
		if (used > 64 - ENTRY_BITS) {
			give(b, gathered, used);
			gathered = used = 0;
		}
	}
	give(b, gathered, used);
}

static inline void take_view(struct bits *b, const struct shape *shape, struct view *v)
{
	*v = zero;
	for (unsigned k = 0; k < shape->count;) {
		unsigned count = shape->count - k, fit = 64 / (ENTRY_BITS + !ENTRY_BITS);
		uint64_t gathered;

		count = count < fit ? count : fit;
		gathered = take(b, count * ENTRY_BITS);
		for (unsigned end = k + count; k < end; k++) {
			*entry(v, shape->of[k]) = (int8_t)(gathered & ((1u << ENTRY_BITS) - 1));
			gathered >>= ENTRY_BITS;
		}
	}
}

/* A view that may be zero. */
static inline bool give_some(struct bits *b, const struct shape *shape, const struct view *v)
{
	bool some = any(v);

	if (!shape->count)
		return false;
	give(b, some, 1);
	if (some)
		give_view(b, shape, v);
	return some;
}

static inline bool take_some(struct bits *b, const struct shape *shape, struct view *v)
{
	bool some = shape->count && take(b, 1);

	if (some)
		take_view(b, shape, v);
	else
		*v = zero;
	return some;
}

/* A view that may be the same as another. */
static void give_like(struct bits *b, const struct shape *shape, const struct view *v, const struct view *other)
{
	bool same = !memcmp(v, other, sizeof *v);

	if (!shape->count)
		return;
	give(b, !same, 1);
	if (!same)
		give_some(b, shape, v);
}

static void take_like(struct bits *b, const struct shape *shape, struct view *v, const struct view *other)
{
	if (shape->count && take(b, 1))
		take_some(b, shape, v);
	else
		*v = *other;
}

/* The bits of a location's value, one run of its mask after the other. */
static inline void give_value(struct bits *b, int l, const uint64_t *value)
{
	for (int c = 0; c < places[l].words; c++)
		for (uint64_t mask = places[l].mask[c]; mask;) {
			unsigned shift = (unsigned)__builtin_ctzll(mask);
			uint64_t rest = ~(mask >> shift);
			unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : 64;
			uint64_t ones = count == 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1;

			give(b, value[c] >> shift & ones, count);
			mask &= ~(ones << shift);
		}
}

static inline void take_value(struct bits *b, int l, uint64_t *value)
{
	for (int c = 0; c < places[l].words; c++) {
		value[c] = 0;
		for (uint64_t mask = places[l].mask[c]; mask;) {
			unsigned shift = (unsigned)__builtin_ctzll(mask);
			uint64_t rest = ~(mask >> shift);
			unsigned count = rest ? (unsigned)__builtin_ctzll(rest) : 64;
			uint64_t ones = count == 64 ? ~UINT64_C(0) : (UINT64_C(1) << count) - 1;

			value[c] |= take(b, count) << shift;
			mask &= ~(ones << shift);
		}
	}
}

static void give_message(struct bits *b, const struct shape *shape, const struct view *cf, const struct view *fv)
{
	bool views = any(cf) || any(fv);

	if (!shape->count)
		return;
	give(b, views, 1);
	if (views) {
		give_some(b, shape, cf);
		give_some(b, shape, fv);
	}
}

/* False if there is no room for it. */
static bool pack(const struct weak *w, struct state *n)
{
	struct bits b = {.words = n->w + LZ_BASE, .end = (LZ_WORDS - LZ_BASE) * 64};
	struct shape shape = {0};

	for (int l = 0; l < LZ_LOCATIONS; l++) {
		give(&b, w->count[l] - 1u, ENTRY_BITS);
		if (w->count[l] > 1)
			shape.of[shape.count++] = (uint8_t)l;
	}
	for (int l = 0; l < LZ_LOCATIONS; l++)
		for (int i = 0; i < w->count[l]; i++) {
			uint8_t flags = w->flags[l][i];
			bool owned = flags & HAS_OWNV;

			give_message(&b, &shape, cf_of(w, l, i), fv_of(w, l, i));
			if (places[l].lock) {
				give(&b, owned, 1);
				if (owned)
					give_view(&b, &shape, &w->ownv[l][i]);
			}
#if LZ_REGISTERS
			if (shape.count) {
				give(&b, (flags & HAS_DEP) != 0, 1);
				if (flags & HAS_DEP) {
					give(&b, w->stored_by[l][i], 6);
					give_view(&b, &shape, &w->dep[l][i]);
				}
			}
#endif
			if (i < w->count[l] - 1) {
				give(&b, (flags & HAS_ATT) != 0, 1);
				give_value(&b, l, w->values[l][i]);
			}
		}
	give_some(&b, &shape, &w->barriers);
	for (int a = 0; a < LZ_AGENTS; a++) {
		const struct agent *agent = &w->agents[a];

		give_like(&b, &shape, &agent->acq, &w->barriers);
		give_like(&b, &shape, &agent->cur, &agent->acq);
		give_like(&b, &shape, &agent->own, &agent->cur);
		give_like(&b, &shape, &agent->wmb, &agent->own);
		give_like(&b, &shape, &agent->f, &agent->wmb);
		if (!LZ_LOCKS)
			continue;
		give(&b, w->unlocked[a], 1);
		if (w->unlocked[a]) {
			give_some(&b, &shape, &agent->ul_acq);
			give_some(&b, &shape, &agent->ul_own);
		}
	}
	for (int r = 0; r < LZ_REGISTERS; r++)
		give_some(&b, &shape, &w->registers[r]);
	for (int a = 0; LZ_DEFER && a < LZ_AGENTS; a++) {
		give(&b, w->pending[a], PENDING_BITS);
		for (int k = 0; k < w->pending[a]; k++) {
			give(&b, w->deferred[a][k].late, LATE_BITS);
			give(&b, w->deferred[a][k].location, 6);
			give(&b, w->deferred[a][k].flagged, 1);
		}
	}
	return !b.full;
}

static void unpack(struct weak *w, const struct state *from)
{
	struct bits b = {.words = (uint64_t *)from->w + LZ_BASE, .end = (LZ_WORDS - LZ_BASE) * 64};
	struct shape shape = {0};

	for (int l = 0; l < LZ_LOCATIONS; l++) {
		w->count[l] = (uint8_t)(take(&b, ENTRY_BITS) + 1);
		if (w->count[l] > 1)
			shape.of[shape.count++] = (uint8_t)l;
	}
	for (int l = 0; l < LZ_LOCATIONS; l++)
		for (int i = 0; i < w->count[l]; i++) {
			uint8_t flags = 0;

			if (shape.count && take(&b, 1)) {
				flags |= take_some(&b, &shape, &w->cf[l][i]) ? HAS_CF : 0;
				flags |= take_some(&b, &shape, &w->fv[l][i]) ? HAS_FV : 0;
			}
			if (places[l].lock && take(&b, 1)) {
				flags |= HAS_OWNV;
				take_view(&b, &shape, &w->ownv[l][i]);
			}
#if LZ_REGISTERS
			if (shape.count && take(&b, 1)) {
				flags |= HAS_DEP;
				w->stored_by[l][i] = (uint8_t)take(&b, 6);
				take_view(&b, &shape, &w->dep[l][i]);
			}
#endif
			if (i < w->count[l] - 1) {
				flags |= take(&b, 1) ? HAS_ATT : 0;
				take_value(&b, l, w->values[l][i]);
			}
			w->flags[l][i] = flags;
		}
	take_some(&b, &shape, &w->barriers);
	for (int a = 0; a < LZ_AGENTS; a++) {
		struct agent *agent = &w->agents[a];

		take_like(&b, &shape, &agent->acq, &w->barriers);
		take_like(&b, &shape, &agent->cur, &agent->acq);
		take_like(&b, &shape, &agent->own, &agent->cur);
		take_like(&b, &shape, &agent->wmb, &agent->own);
		take_like(&b, &shape, &agent->f, &agent->wmb);
		agent->ul_acq = agent->ul_own = zero;
		w->unlocked[a] = LZ_LOCKS && take(&b, 1);
		if (w->unlocked[a]) {
			take_some(&b, &shape, &agent->ul_acq);
			take_some(&b, &shape, &agent->ul_own);
		}
	}	for (int r = 0; r < LZ_REGISTERS; r++)
		take_some(&b, &shape, &w->registers[r]);
	for (int a = 0; a < LZ_AGENTS; a++) {
		w->pending[a] = LZ_DEFER ? (uint8_t)take(&b, PENDING_BITS) : 0;
		for (int k = 0; k < w->pending[a]; k++)
			w->deferred[a][k] = (struct deferred){
				.late = (uint16_t)take(&b, LATE_BITS),
				.location = (uint8_t)take(&b, 6),
				.flagged = take(&b, 1),
			};
	}
}
